#define BOOST_TEST_MODULE options
#include "support/child.hpp"
#include "support/outcome.hpp"
#include "support/witness.hpp"

#include <gpa/resource.hpp>

#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using gpa::checks;
using gpa::test::witness;

// What `body` writes to stderr, run in a child.
template <class Body>
std::string stderr_of(Body body)
{
  std::array<int, 2> ends{};
  BOOST_REQUIRE(::pipe(ends.data()) == 0);
  BOOST_TEST(gpa::test::true_in_child([&] {
    ::dup2(ends[1], 2);
    ::close(ends[0]);
    body();
    return true;
  }));
  ::close(ends[1]);
  std::string text;
  std::array<char, 4096> piece{};
  for (ssize_t n; (n = ::read(ends[0], piece.data(), piece.size())) > 0;)
    text.append(piece.data(), static_cast<std::size_t>(n));
  ::close(ends[0]);
  return text;
}

std::vector<std::string> lines_of(const std::string& text)
{
  std::vector<std::string> lines;
  std::size_t begin = 0;
  for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    lines.push_back(text.substr(begin, end - begin));
  if (begin != text.size()) lines.push_back(text.substr(begin));
  return lines;
}

bool starts_with(const std::string& line, std::string_view words)
{
  return line.compare(0, words.size(), words) == 0;
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_default_is_decided_at_construction)
{
  gpa::resource r;
  const gpa::options& o = r.options();
  BOOST_TEST(o.name == "resource");
  BOOST_TEST(o.checks.decided());
  BOOST_TEST(o.thread_safe);
  BOOST_TEST(o.memory_limit == gpa::unlimited);
  BOOST_TEST(o.quarantine_bytes != gpa::default_quarantine);
  BOOST_TEST(o.quarantine_bytes >= 16u * 1024);
  BOOST_TEST(o.quarantine_bytes <= 64u * 1024 * 1024);
  BOOST_TEST(o.stack_frames == 32u);
  BOOST_TEST((o.after_mistake == gpa::after_mistake::abort));
  BOOST_TEST(!o.on_report);
  BOOST_TEST(!o.log_operations);
  BOOST_TEST(o.leak_exit_status == 0);
}

BOOST_AUTO_TEST_CASE(what_was_given_is_in_effect)
{
  gpa::resource r({.name = "parser",
                   .checks = checks::one_in(7),
                   .thread_safe = false,
                   .memory_limit = 1'000,
                   .quarantine_bytes = 12'345,
                   .stack_frames = 5,
                   .after_mistake = gpa::after_mistake::carry_on,
                   .on_report = [](const gpa::report&) {},
                   .leak_exit_status = 3,
                   .poison_bytes = 4'000,
                   .protect_large = gpa::protect_large::never});
  const gpa::options& o = r.options();
  BOOST_TEST(o.name == "parser");
  BOOST_TEST((o.checks == checks::one_in(7)));
  BOOST_TEST(!o.thread_safe);
  BOOST_TEST(o.memory_limit == 1'000u);
  BOOST_TEST(r.memory_limit() == 1'000u);
  BOOST_TEST(o.quarantine_bytes == 12'345u);
  BOOST_TEST(o.stack_frames == 5u);
  BOOST_TEST((o.after_mistake == gpa::after_mistake::carry_on));
  BOOST_TEST(!!o.on_report);
  BOOST_TEST(o.leak_exit_status == 3);
  BOOST_TEST(o.poison_bytes == 4'000u);
  BOOST_TEST((o.protect_large == gpa::protect_large::never));
}

BOOST_AUTO_TEST_CASE(options_out_of_range_are_brought_into_it)
{
  gpa::resource r({.quarantine_bytes = gpa::unlimited - 2, .stack_frames = 1'000'000});
  BOOST_TEST(r.options().stack_frames == 64u);
  BOOST_TEST(r.options().quarantine_bytes < gpa::unlimited - 2);
  gpa::resource none({.quarantine_bytes = 0, .stack_frames = 0, .poison_bytes = 0});
  BOOST_TEST(none.options().poison_bytes == gpa::default_poison);
  BOOST_TEST(none.options().stack_frames == 0u);
  BOOST_TEST(none.options().quarantine_bytes == 0u);
  gpa::resource all({.quarantine_bytes = gpa::unlimited});
  BOOST_TEST(all.options().quarantine_bytes == gpa::unlimited);
}

BOOST_AUTO_TEST_CASE(a_name_is_copied_and_cut_to_63_bytes)
{
  for (const std::size_t length : {1U, 62U, 63U, 64U, 1'000U}) {
    std::string name(length, 'n');
    gpa::resource r({.name = name});
    name.assign(name.size(), 'x');
    BOOST_TEST(r.options().name == std::string(length < 63 ? length : 63, 'n'));
  }
}

BOOST_AUTO_TEST_CASE(a_name_stays_valid_after_its_resource)
{
  witness w;
  {
    gpa::resource r(w.listening({.name = std::string("gone") + " with it", .checks = checks::always()}));
    r.deallocate(reinterpret_cast<void*>(16), 1, 1);
  }
  const auto told = w.take();
  BOOST_REQUIRE(told.size() == 1u);
  BOOST_TEST(told.front().resource == "gone with it");
}

BOOST_AUTO_TEST_CASE(checks_are_values)
{
  BOOST_TEST(!checks().decided());
  BOOST_TEST((checks() == checks{}));
  for (const checks c : {checks::always(), checks::never(), checks::one_in(10), checks::by_build()})
    BOOST_TEST(c.decided());
  BOOST_TEST((checks::always().is_always() && !checks::always().is_never() && checks::always().interval() == 1));
  BOOST_TEST((checks::never().is_never() && !checks::never().is_always() && checks::never().interval() == 0));
  const checks sampled = checks::one_in(1'000);
  BOOST_TEST((!sampled.is_always() && !sampled.is_never() && sampled.interval() == 1'000));
  BOOST_TEST((checks::one_in(0) == checks::never()));
  BOOST_TEST((checks::one_in(1) == checks::always()));
  BOOST_TEST((checks::one_in(2) != checks::one_in(3)));
  BOOST_TEST((checks::by_build(gpa::build::release) == checks::never()));
  BOOST_TEST((checks::by_build(gpa::build::debug) == checks::always()));
}

// This file is compiled without NDEBUG, whatever the library under it was compiled with.
BOOST_AUTO_TEST_CASE(undecided_checks_are_those_of_the_file_that_constructs)
{
  gpa::resource here;
  BOOST_TEST(here.options().checks.is_always());
  gpa::resource released(gpa::options{}, gpa::build::release);
  BOOST_TEST(released.options().checks.is_never());
  gpa::resource decided(gpa::options{.checks = checks::always()}, gpa::build::release);
  BOOST_TEST(decided.options().checks.is_always());
}

BOOST_AUTO_TEST_CASE(without_frames_reports_have_no_stacks)
{
  witness w;
  gpa::resource r(w.listening({.checks = checks::always(), .stack_frames = 0}));
  void* const p = r.allocate(24, 8);
  r.deallocate(p, 24, 8);
  r.deallocate(p, 24, 8);
  const auto told = w.take();
  BOOST_REQUIRE(told.size() == 1u);
  BOOST_TEST((told.front().allocated.empty() && told.front().freed.empty() && told.front().here.empty()));
  BOOST_TEST(told.front().here.thread() != 0u);
}

BOOST_AUTO_TEST_CASE(as_many_frames_are_kept_as_were_asked_for)
{
  for (const std::size_t frames : {1U, 2U, 3U}) {
    witness w;
    gpa::resource r(w.listening({.checks = checks::always(), .stack_frames = frames}));
    r.deallocate(reinterpret_cast<void*>(16), 1, 1);
    const auto told = w.take();
    BOOST_REQUIRE(told.size() == 1u);
    BOOST_TEST(told.front().here.addresses().size() == frames);
  }
}

BOOST_AUTO_TEST_CASE(each_operation_is_one_line)
{
  for (const checks c : {checks::always(), checks::never(), checks::one_in(2)}) {
    const std::vector<std::string> lines = lines_of(stderr_of([c] {
      gpa::resource r({.name = "logged", .checks = c, .log_operations = true});
      void* const a = r.allocate(24, 8);
      void* const b = r.allocate(200'000, 64);
      static_cast<void>(r.try_resize(a, 24, 25, 8));
      r.deallocate(b, 200'000, 64);
      r.deallocate(a, 25, 8);
    }));
    BOOST_REQUIRE(lines.size() == 5u);
    BOOST_TEST(starts_with(lines[0], "gpa: resource \"logged\": allocate 24 bytes aligned to 8 at 0x"));
    BOOST_TEST(starts_with(lines[1], "gpa: resource \"logged\": allocate 200000 bytes aligned to 64 at 0x"));
    BOOST_TEST(starts_with(lines[2], "gpa: resource \"logged\": resize 25 bytes aligned to 8 at 0x"));
    BOOST_TEST(starts_with(lines[3], "gpa: resource \"logged\": deallocate 200000 bytes aligned to 64 at 0x"));
    BOOST_TEST(starts_with(lines[4], "gpa: resource \"logged\": deallocate 25 bytes aligned to 8 at 0x"));
    const auto from_address = [](const std::string& line) { return line.substr(line.rfind(" at 0x")); };
    BOOST_TEST(from_address(lines[0]) == from_address(lines[4]));
    for (const std::size_t first : {0U, 2U, 4U}) BOOST_TEST(lines[first].ends_with(", allocation no. 1"));
    for (const std::size_t second : {1U, 3U}) BOOST_TEST(lines[second].ends_with(", allocation no. 2"));
  }
}

BOOST_AUTO_TEST_CASE(a_refused_operation_has_its_line_too)
{
  for (const checks c : {checks::always(), checks::never(), checks::one_in(2)}) {
    const std::vector<std::string> lines = lines_of(stderr_of([c] {
      gpa::resource r({.name = "logged", .checks = c, .memory_limit = 100, .log_operations = true});
      static_cast<void>(r.try_allocate(101, 16));
      r.set_memory_limit(gpa::unlimited);
      static_cast<void>(r.try_allocate((std::size_t{1} << 47) - 65'536, 8));
      static_cast<void>(r.try_allocate(static_cast<std::size_t>(-8), 8));
    }));
    BOOST_REQUIRE(lines.size() == 3u);
    BOOST_TEST(lines[0] == "gpa: resource \"logged\": allocate 101 bytes aligned to 16 refused, allocation no. 1");
    for (const std::size_t i : {1U, 2U})
      BOOST_TEST(lines[i].ends_with(" bytes aligned to 8 refused, allocation no. " + std::to_string(i + 1)));
    BOOST_TEST(starts_with(lines[1], "gpa: resource \"logged\": allocate 140737488289792 bytes"));
    BOOST_TEST(starts_with(lines[2], "gpa: resource \"logged\": allocate 18446744073709551608 bytes"));
  }
}

BOOST_AUTO_TEST_CASE(wrong_and_late_operations_have_their_lines)
{
  const gpa::test::outcome o = gpa::test::outcome_of([] {
    gpa::resource r({.name = "logged",
                     .checks = gpa::checks::always(),
                     .after_mistake = gpa::after_mistake::carry_on,
                     .log_operations = true});
    void* const p = r.allocate(40);
    const volatile std::size_t no_power_of_two = 24;  // the compiler would say so, too
    try {
      static_cast<void>(r.allocate(10, no_power_of_two));
    } catch (const std::bad_alloc&) {
    }
    static_cast<void>(r.deinit());
    r.deallocate(p, 40);
    r.deallocate(p, 40);
    try {
      static_cast<void>(r.allocate(11));
    } catch (const std::bad_alloc&) {
    }
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.says("allocate 10 bytes aligned to 24 refused\n"));
    BOOST_TEST(o.says("allocate 11 bytes aligned to 16 refused\n"));
    const std::size_t late = o.err.find(": deallocate 40 bytes");
    BOOST_TEST_REQUIRE(late != std::string::npos);
    const auto line_at = [&o](std::size_t at) { return o.err.substr(at, o.err.find('\n', at) - at); };
    BOOST_TEST(!line_at(late).ends_with(", refused"));
    BOOST_TEST(line_at(o.err.find(": deallocate 40 bytes", late + 1)).ends_with(", refused"));
  }
}

BOOST_AUTO_TEST_CASE(of_frees_the_log_says_which_were_refused)
{
  const std::vector<std::string> lines = lines_of(stderr_of([] {
    gpa::resource r({.checks = checks::always(),
                     .after_mistake = gpa::after_mistake::carry_on,
                     .on_report = [](const gpa::report&) {},
                     .log_operations = true});
    void* const p = r.allocate(24, 8);
    r.deallocate(p, 25, 8);
    r.deallocate(p, 24, 8);
    r.deallocate(p, 24, 8);
  }));
  std::size_t done = 0;
  std::size_t refused = 0;
  for (const std::string& line : lines) {
    if (line.find(": deallocate ") != std::string::npos) ++(line.ends_with(", refused") ? refused : done);
  }
  BOOST_TEST(done == 1u);
  BOOST_TEST(refused == 2u);
}

BOOST_AUTO_TEST_CASE(without_the_log_nothing_is_written)
{
  const std::string text = stderr_of([] {
    gpa::resource r({.checks = checks::always()});
    r.deallocate(r.allocate(24, 8), 24, 8);
  });
  BOOST_TEST(text == "");
}

BOOST_AUTO_TEST_CASE(a_leak_of_a_sampled_resource_is_told_in_full_even_of_blocks_that_were_not_sampled)
{
  witness w;
  gpa::resource r(w.listening({.checks = checks::one_in(10)}));
  for (int i = 0; i != 1'000; ++i) static_cast<void>(r.allocate(24, 8));
  BOOST_TEST(r.stats().live_blocks == 1'000u);
  BOOST_TEST((r.deinit() == gpa::check::leak));
  std::size_t blocks = 0;
  std::size_t bytes = 0;
  std::size_t with_stack = 0;
  for (const gpa::report& told : w.take()) {
    BOOST_TEST(told.kind == gpa::mistake::leak);
    blocks += told.blocks;
    bytes += told.total_bytes;
    if (!told.allocated.empty()) with_stack += told.blocks;
  }
  BOOST_TEST(blocks == 1'000u);
  BOOST_TEST(bytes == 24'000u);
  BOOST_TEST(with_stack >= 50u);
  BOOST_TEST(with_stack <= 200u);
}

BOOST_AUTO_TEST_CASE(without_checks_a_leak_is_told_with_its_totals)
{
  witness w;
  gpa::resource r(w.listening({.name = "fast", .checks = checks::never()}));
  static_cast<void>(r.allocate(24, 8));
  static_cast<void>(r.allocate(200'000, 8));
  r.deallocate(r.allocate(24, 8), 24, 8);
  BOOST_TEST((r.deinit() == gpa::check::leak));
  const auto told = w.take();
  BOOST_REQUIRE(told.size() == 1u);
  BOOST_TEST(told.front().kind == gpa::mistake::leak);
  BOOST_TEST(told.front().blocks == 2u);
  BOOST_TEST(told.front().total_bytes == 200'024u);
  BOOST_TEST(told.front().resource == "fast");
  BOOST_TEST(told.front().allocated.empty());
  BOOST_TEST((r.deinit() == gpa::check::leak));
  BOOST_TEST(w.count() == 0u);
}

BOOST_AUTO_TEST_CASE(without_checks_and_without_a_leak_all_is_well)
{
  witness w;
  gpa::resource r(w.listening({.checks = checks::never()}));
  for (const std::size_t bytes : {24U, 200'000U}) r.deallocate(r.allocate(bytes, 8), bytes, 8);
  BOOST_TEST((r.deinit() == gpa::check::ok));
  BOOST_TEST(w.count() == 0u);
}
