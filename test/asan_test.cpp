#define BOOST_TEST_MODULE asan
#include <gpa/resource.hpp>

#include "support/not_run.hpp"
#include "support/outcome.hpp"
#include "support/upstreams.hpp"

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <cstring>
#include <memory_resource>
#include <string>
#include <vector>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GPA_TEST_ON_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define GPA_TEST_ON_ASAN 1
#endif

namespace {

using gpa::test::outcome;
using gpa::test::outcome_of;
using gpa::test::outcome_of_program;

struct kind {
  const char* name;
  gpa::checks checks;
  bool over_upstream;
};
const kind kinds[] = {
    {"checked", gpa::checks::always(), false},
    {"checked, over an upstream", gpa::checks::always(), true},
    {"fast", gpa::checks::never(), false},
    {"fast, over an upstream", gpa::checks::never(), true},
    {"sampled", gpa::checks::one_in(2), false},
};
constexpr std::size_t sizes[] = {1, 8, 13, 24, 100, 1000, 5000, 32'768, 200'000};

char read(const void* p, std::size_t offset)
{
  volatile std::size_t hidden = offset;
  return static_cast<const volatile char*>(p)[hidden];
}

template <class Work>
void with_each(Work work)
{
  for (const kind& k : kinds) {
    gpa::test::recording_upstream upstream;
    gpa::resource r({.checks = k.checks}, k.over_upstream ? &upstream : nullptr);
    BOOST_TEST_CONTEXT(k.name)
    {
      for (const std::size_t bytes : sizes)
        BOOST_TEST_CONTEXT(bytes << " bytes") { work(r, bytes); }
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_byte_of_a_live_block_may_be_used_and_memory_given_back_too)
{
  with_each([](gpa::resource& r, std::size_t bytes) {
    for (int round = 0; round != 20; ++round) {
      std::vector<void*> blocks(10);
      for (void*& p : blocks) p = r.allocate(bytes);
      for (void* const p : blocks) std::memset(p, round, bytes);
      void*& last = blocks.back();
      std::size_t last_bytes = bytes;
      for (const std::size_t wanted : {bytes + 2, bytes / 2}) {
        if (!r.try_resize(last, last_bytes, wanted)) continue;
        last_bytes = wanted;
        std::memset(last, 1, wanted);
      }
      for (void* const p : blocks) r.deallocate(p, p == last ? last_bytes : bytes);
      if (round % 5 == 0) r.trim();
      if (round % 7 == 0) r.release();
      BOOST_TEST(r.verify() == 0u);
    }
  });
}

BOOST_AUTO_TEST_CASE(a_block_stays_open_when_its_free_is_refused)
{
  with_each([](gpa::resource& r, std::size_t bytes) {
    gpa::resource other({.checks = gpa::checks::always(),
                         .after_mistake = gpa::after_mistake::carry_on,
                         .on_report = [](const gpa::report& told) { BOOST_TEST(told.kind == gpa::mistake::wrong_resource); }});
    void* const p = r.allocate(bytes);
    other.deallocate(p, bytes);
    std::memset(p, 1, bytes);
    r.deallocate(p, bytes);
    BOOST_TEST(other.stats().mistakes == 1u);
  });
}

BOOST_AUTO_TEST_CASE(what_an_upstream_gets_back_is_open)
{
  alignas(std::max_align_t) static std::byte room[4 << 20];
  std::memset(room, 0, sizeof room);
  for (const gpa::checks checks : {gpa::checks::always(), gpa::checks::never()}) {
    std::pmr::monotonic_buffer_resource arena(room, sizeof room, std::pmr::null_memory_resource());
    gpa::resource r({.checks = checks}, &arena);
    void* const p = r.allocate(100);
    std::memset(p, 1, 100);
    r.deallocate(p, 100);
    BOOST_TEST(r.deinit() == gpa::check::ok);
    std::memset(room, 0, sizeof room);
  }
}

#if defined(GPA_TEST_ON_ASAN)

extern "C" int __asan_address_is_poisoned(const volatile void* p);

BOOST_AUTO_TEST_CASE(slack_is_closed_from_its_first_byte_on)
{
  with_each([](gpa::resource& r, std::size_t bytes) {
    void* const p = r.allocate(bytes);
    const char* const begin = static_cast<const char*>(p);
    for (std::size_t i = 0; i != bytes; ++i) BOOST_REQUIRE(__asan_address_is_poisoned(begin + i) == 0);
    // A fast block that fills its slot has no slack.
    if (r.options().checks.is_always()) BOOST_TEST(__asan_address_is_poisoned(begin + bytes) == 1);
    r.deallocate(p, bytes);
    for (std::size_t i = 0; i != bytes && !r.options().checks.is_never(); ++i)
      BOOST_REQUIRE(__asan_address_is_poisoned(begin + i) == 1);
  });
}

BOOST_AUTO_TEST_CASE(a_stray_access_stops_at_the_instruction)
{
  with_each([](gpa::resource& r, std::size_t bytes) {
    const bool large_gone = bytes > 32'768 && !r.options().checks.is_always();  // its memory went back at once
    const outcome freed = outcome_of([&] {
      void* const p = r.allocate(bytes);
      r.deallocate(p, bytes);
      static_cast<void>(read(p, bytes / 2));
    });
    BOOST_TEST_CONTEXT(freed)
    {
      BOOST_TEST(freed.status != 0);
      BOOST_TEST((large_gone || freed.says("use-after-poison")));
      BOOST_TEST((large_gone || freed.says("asan_test.cpp:")));
    }
    if (!r.options().checks.is_always()) return;
    const outcome behind = outcome_of([&] { static_cast<void>(read(r.allocate(bytes), bytes)); });
    BOOST_TEST_CONTEXT(behind)
    {
      BOOST_TEST(behind.status != 0);
      BOOST_TEST(behind.says("use-after-poison"));
    }
  });
}

BOOST_AUTO_TEST_CASE(leak_sanitizer_finds_what_blocks_hold_and_misses_what_freed_ones_did)
{
  const auto run = [](const char* what, const std::string& of) {
    return outcome_of_program(
        {"env", "ASAN_OPTIONS=detect_leaks=1", gpa::test::beside_this("programs/under_tools"), what, of});
  };
  if (run("held", "checked").says("LeakSanitizer has encountered a fatal error"))
    return gpa::test::not_run_here("LeakSanitizer may not look at its process here");
  for (const char* const of : {"checked", "fast", "sampled", "upstream", "large", "huge", "aligned"}) {
    const outcome holds = run("holds", of);
    const outcome held = run("held", of);
    BOOST_TEST_CONTEXT(of << '\n' << holds << held)
    {
      BOOST_TEST(!holds.says("LeakSanitizer"));
      BOOST_TEST(held.says("LeakSanitizer: detected memory leaks"));
    }
  }
}

#else

BOOST_AUTO_TEST_CASE(without_the_sanitizer_a_stray_read_sees_poison)
{
  gpa::resource r({.checks = gpa::checks::always()});
  void* const p = r.allocate(100);
  const char behind = read(p, 100);
  r.deallocate(p, 100);
  const char freed = read(p, 50);
  BOOST_TEST(behind != freed);
  for (const char c : {behind, freed}) {
    BOOST_TEST(c != 0);
    BOOST_TEST(c != -1);
  }
}

#endif
