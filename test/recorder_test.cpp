#define BOOST_TEST_MODULE recorder
#include <gpa/recorder.hpp>
#include <gpa/resource.hpp>

#include "support/child.hpp"
#include "../bench/workloads/recording.hpp"

#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory_resource>
#include <random>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace {

using gpa::bench::read_recording;
using gpa::bench::recorded_call;
using gpa::bench::recording;
using kind = recorded_call::kind;

// A file of this test alone, gone with it.
struct file_fixture {
  std::string file =
      (std::filesystem::temp_directory_path() / ("gpa_recorder_test." + std::to_string(::getpid()) + ".gpatrace"))
          .string();
  ~file_fixture() { std::filesystem::remove(file); }

  [[nodiscard]] std::string bytes() const
  {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write(const std::string& bytes) const { std::ofstream(file, std::ios::binary) << bytes; }

  /// What reading the file is answered with; empty: nothing was wrong.
  [[nodiscard]] std::string complaint() const
  {
    try {
      static_cast<void>(read_recording(file));
      return "";
    } catch (const std::runtime_error& e) {
      return e.what();
    }
  }
};

bool contains(const std::string& text, std::string_view part)
{
  return text.find(part) != std::string::npos;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(recorder, file_fixture)

BOOST_AUTO_TEST_CASE(every_call_can_be_read_back)
{
  struct request {
    std::size_t bytes, alignment;
  };
  // Each length of a number, each way to write an alignment.
  constexpr std::array requests{request{0, 1},       request{1, 1},       request{3, 1},       request{4, 4},
                                request{24, 8},      request{64, 16},     request{64, 64},     request{128, 128},
                                request{4096, 4096}, request{100'000, 8}, request{3 << 20, 16}};
  {
    gpa::resource upstream({.name = "recorded", .checks = gpa::checks::always()});
    gpa::recorder r(file, &upstream);
    BOOST_TEST(r.upstream_resource() == &upstream);
    std::vector<void*> blocks;
    for (const request& q : requests) blocks.push_back(r.allocate(q.bytes, q.alignment));
    for (std::size_t i = 0; i < blocks.size(); i += 2)
      r.deallocate(blocks[i], requests[i].bytes, requests[i].alignment);
    for (std::size_t i = 1; i < blocks.size(); i += 2)
      r.deallocate(blocks[i], requests[i].bytes, requests[i].alignment);
    BOOST_CHECK_NO_THROW(r.close());
    BOOST_CHECK_NO_THROW(r.close());
    BOOST_CHECK(upstream.deinit() == gpa::check::ok);
  }
  const recording all = read_recording(file);
  BOOST_TEST(all.allocations == requests.size());
  BOOST_TEST(all.threads == 1U);
  BOOST_TEST(all.peak_blocks == requests.size());
  BOOST_REQUIRE(all.calls.size() == 2 * requests.size());
  std::size_t sum = 0;
  for (std::size_t i = 0; i != requests.size(); ++i) {
    const recorded_call& c = all.calls[i];
    BOOST_TEST((c.what == kind::allocation));
    BOOST_TEST(c.block == i);
    BOOST_TEST(c.bytes == requests[i].bytes);
    BOOST_TEST((std::size_t{1} << c.log2_alignment) == requests[i].alignment);
    sum += c.bytes;
  }
  BOOST_TEST(all.peak_bytes == sum);
  std::vector<std::uint32_t> freed;
  for (std::size_t i = requests.size(); i != all.calls.size(); ++i) {
    BOOST_TEST((all.calls[i].what == kind::free));
    freed.push_back(all.calls[i].block);
  }
  const std::vector<std::uint32_t> expected{0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9};
  BOOST_TEST(freed == expected, boost::test_tools::per_element());
}

// More than one buffer, and addresses that are used again and again.
BOOST_AUTO_TEST_CASE(a_long_recording_is_complete_and_takes_few_bytes_a_call)
{
  constexpr std::size_t steps = 100'000;
  std::vector<recorded_call> expected;
  {
    gpa::recorder r(file, std::pmr::new_delete_resource());
    struct held {
      void* p;
      std::size_t bytes;
      std::uint32_t block;
    };
    std::vector<held> live;
    std::mt19937 random(1);
    std::uint32_t blocks = 0;
    for (std::size_t i = 0; i != steps; ++i) {
      if (live.size() < 100 || (live.size() < 2'000 && random() % 2 == 0)) {
        const std::size_t bytes = 1 + random() % 500;
        live.push_back({r.allocate(bytes, 8), bytes, blocks++});
        expected.push_back({kind::allocation, 3, 1, live.back().block, bytes});
      } else {
        std::swap(live[random() % live.size()], live.back());
        r.deallocate(live.back().p, live.back().bytes, 8);
        expected.push_back({kind::free, 3, 1, live.back().block, live.back().bytes});
        live.pop_back();
      }
    }
    for (const held& h : live) {
      r.deallocate(h.p, h.bytes, 8);
      expected.push_back({kind::free, 3, 1, h.block, h.bytes});
    }
  }
  const recording all = read_recording(file);
  BOOST_REQUIRE(all.calls.size() == expected.size());
  std::size_t different = 0;
  for (std::size_t i = 0; i != expected.size(); ++i) {
    const recorded_call &a = all.calls[i], &b = expected[i];
    if (a.what != b.what || a.block != b.block || a.bytes != b.bytes || a.log2_alignment != b.log2_alignment)
      ++different;
  }
  BOOST_TEST(different == 0U);
  BOOST_TEST(std::filesystem::file_size(file) < 3 * expected.size());
}

// The reader refuses a free before its allocation, so that it reads this at all says that the order is right.
BOOST_AUTO_TEST_CASE(calls_of_several_threads_stand_in_one_order)
{
  constexpr std::size_t threads = 4, rounds = 20'000;
  gpa::resource upstream({.name = "recorded", .checks = gpa::checks::always(), .stack_frames = 0});
  {
    gpa::recorder r(file, &upstream);
    std::array<std::atomic<void*>, 64> shared{};
    std::vector<std::jthread> all;
    for (std::size_t t = 0; t != threads; ++t)
      all.emplace_back([&, t] {
        for (std::size_t i = 0; i != rounds; ++i)
          if (void* const found = shared[(i * 7 + t * 13) % shared.size()].exchange(r.allocate(48, 8)))
            r.deallocate(found, 48, 8);
      });
    all.clear();
    for (std::atomic<void*>& slot : shared)
      if (void* const p = slot.load()) r.deallocate(p, 48, 8);
  }
  BOOST_CHECK(upstream.deinit() == gpa::check::ok);
  const recording all = read_recording(file);
  BOOST_TEST(all.allocations == threads * rounds);
  BOOST_TEST(all.calls.size() == 2 * threads * rounds);
  BOOST_TEST(all.threads <= threads + 1);
  BOOST_TEST(all.threads >= threads);
}

BOOST_AUTO_TEST_CASE(what_the_upstream_refuses_is_not_recorded)
{
  {
    gpa::resource upstream({.name = "limited", .checks = gpa::checks::always(), .memory_limit = 100});
    gpa::recorder r(file, &upstream);
    void* const p = r.allocate(60);
    BOOST_CHECK_THROW(static_cast<void>(r.allocate(60)), std::bad_alloc);
    r.deallocate(p, 60);
  }
  const recording all = read_recording(file);
  BOOST_TEST(all.calls.size() == 2U);
  BOOST_TEST(all.peak_bytes == 60U);
}

BOOST_AUTO_TEST_CASE(a_wrong_free_is_left_to_the_upstream)
{
  std::vector<gpa::mistake> told;
  {
    gpa::resource upstream({.name = "judge",
                            .checks = gpa::checks::always(),
                            .after_mistake = gpa::after_mistake::carry_on,
                            .on_report = [&](const gpa::report& wrong) { told.push_back(wrong.kind); }});
    gpa::recorder r(file, &upstream);
    void* const p = r.allocate(24, 8);
    r.deallocate(p, 24, 8);
    r.deallocate(p, 24, 8);
  }
  BOOST_REQUIRE(told.size() == 1U);
  BOOST_CHECK(told.front() == gpa::mistake::double_free);
  BOOST_TEST(read_recording(file).calls.size() == 2U);
}

BOOST_AUTO_TEST_CASE(after_close_calls_are_passed_on_and_not_recorded)
{
  gpa::recorder r(file, std::pmr::new_delete_resource());
  void* const before = r.allocate(10, 1);
  r.close();
  void* const after = r.allocate(20, 1);
  r.deallocate(after, 20, 1);
  r.deallocate(before, 10, 1);
  const recording all = read_recording(file);
  BOOST_REQUIRE(all.calls.size() == 1U);
  BOOST_TEST(all.calls.front().bytes == 10U);
}

BOOST_AUTO_TEST_CASE(the_default_resource_is_the_upstream_when_none_is_named)
{
  gpa::resource chosen;
  const gpa::default_resource_guard guard(&chosen);
  const gpa::recorder r(file);
  BOOST_TEST(r.upstream_resource() == &chosen);
  BOOST_TEST(chosen.stats().live_blocks == 0U);  // its own memory comes from elsewhere
}

BOOST_AUTO_TEST_CASE(resources_are_equal_to_themselves_only)
{
  const gpa::recorder r(file, std::pmr::new_delete_resource());
  BOOST_TEST(r.is_equal(r));
  BOOST_TEST(!r.is_equal(*std::pmr::new_delete_resource()));
}

BOOST_AUTO_TEST_CASE(a_forked_child_records_nothing)
{
  {
    gpa::recorder r(file, std::pmr::new_delete_resource());
    void* const p = r.allocate(16);
    BOOST_TEST(gpa::test::true_in_child([&] {
      for (int i = 0; i != 100'000; ++i) r.deallocate(r.allocate(32), 32);
      r.close();
      return true;
    }));
    r.deallocate(p, 16);
  }
  BOOST_TEST(read_recording(file).calls.size() == 2U);
}

// ---- files that cannot be ----

BOOST_AUTO_TEST_CASE(a_file_that_cannot_be_made_is_named_at_once)
{
  const std::string nowhere = file + "/no/such/folder";
  try {
    const gpa::recorder r(nowhere, std::pmr::new_delete_resource());
    BOOST_ERROR("no exception");
  } catch (const std::system_error& e) {
    BOOST_TEST(e.code().value() == ENOENT);
    BOOST_TEST(contains(e.what(), nowhere));
  }
}

// Else what is written to standard error, a report of ours first of all, would go into the recording.
BOOST_AUTO_TEST_CASE(a_recording_is_never_standard_error)
{
  BOOST_TEST(gpa::test::true_in_child([this] {
    ::close(STDERR_FILENO);
    gpa::recorder r(file, std::pmr::new_delete_resource());
    r.deallocate(r.allocate(40), 40);
    const bool written = ::write(STDERR_FILENO, "a report", 8) == 8;
    r.close();
    return !written;
  }));
  BOOST_TEST(complaint() == "");
  BOOST_TEST(!contains(bytes(), "a report"));
}

BOOST_AUTO_TEST_CASE(a_full_disk_ends_the_recording_and_close_says_so)
{
  gpa::recorder r("/dev/full", std::pmr::new_delete_resource());
  for (int i = 0; i != 50'000; ++i) r.deallocate(r.allocate(32), 32);
  try {
    r.close();
    BOOST_ERROR("no exception");
  } catch (const std::system_error& e) {
    BOOST_TEST(e.code().value() == ENOSPC);
    BOOST_TEST(contains(e.what(), "/dev/full"));
  }
  BOOST_CHECK_NO_THROW(r.close());
}

// Wherever in it the buffer is full: at the last numbers, too.
BOOST_AUTO_TEST_CASE(of_a_full_disk_close_names_what_went_wrong_first)
{
  std::size_t told = 0;
  for (int pairs = 32'200; pairs != 32'300; ++pairs) {
    gpa::recorder r("/dev/full", std::pmr::new_delete_resource());
    for (int i = 0; i != pairs; ++i) r.deallocate(r.allocate(1, 1), 1, 1);
    try {
      r.close();
    } catch (const std::system_error& e) {
      BOOST_TEST(e.code().value() == ENOSPC);
      ++told;
    }
  }
  BOOST_TEST(told == 100u);
}

BOOST_AUTO_TEST_CASE(the_reader_names_what_is_wrong_with_a_file)
{
  BOOST_TEST(contains(complaint(), "cannot read the recording " + file));
  {
    gpa::recorder r(file, std::pmr::new_delete_resource());
    for (int i = 0; i != 10; ++i) r.deallocate(r.allocate(300), 300);
  }
  BOOST_TEST(complaint() == "");
  const std::string good = bytes();

  // Cut anywhere, a file is refused: its end is a mark, not the end of the file.
  for (std::size_t kept = 9; kept != good.size(); ++kept) {
    write(good.substr(0, kept));
    BOOST_TEST_CONTEXT(kept) BOOST_TEST(contains(complaint(), "ends in the middle of a recording"));
  }
  write(good + good.back());
  BOOST_TEST(contains(complaint(), "is damaged"));
  for (const auto* const foreign : {"", "gpatrac", "{\"rows\": []}"}) {
    write(foreign);
    BOOST_TEST(contains(complaint(), "is no recording"));
  }
  write("gpatrace\2");
  BOOST_TEST(contains(complaint(), "version 2"));
  // A call before any thread; a free of a block that never was; a number of more than 64 bits.
  using namespace std::string_literals;
  for (const std::string& damage : {"\x0c"s, "\x06\x05"s, "\x06\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02"s}) {
    write("gpatrace\1" + damage);
    BOOST_TEST(contains(complaint(), "is damaged"));
  }
}

BOOST_AUTO_TEST_SUITE_END()
