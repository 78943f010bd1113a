#define BOOST_TEST_MODULE sampling
#include <gpa/resource.hpp>

#include "support/child.hpp"
#include "support/race.hpp"
#include "support/resident.hpp"
#include "support/suspects.hpp"
#include "support/witness.hpp"

#include <boost/test/unit_test.hpp>

#include <sys/resource.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <thread>
#include <vector>

namespace {

using gpa::checks;
using gpa::mistake;
using gpa::test::rounds;
using gpa::test::witness;

struct request {
  std::size_t bytes;
  std::size_t alignment;
};

// A resource that says of each block whether it was picked: a block that was not believes another size of its class.
class examined {
 public:
  explicit examined(std::uint32_t n, std::pmr::memory_resource* upstream = nullptr) : resource(asking(n), upstream) {}

  bool free(void* p, const request& r)
  {
    const std::size_t before = mismatches_;
    resource.deallocate(p, r.bytes - 1, r.alignment);
    if (mismatches_ == before) return false;
    resource.deallocate(p, r.bytes, r.alignment);
    return true;
  }
  bool is_picked(const request& r) { return free(resource.allocate(r.bytes, r.alignment), r); }
  std::size_t picked(const request& r, std::size_t pairs)
  {
    std::size_t found = 0;
    for (std::size_t i = 0; i != pairs; ++i) found += is_picked(r) ? 1 : 0;
    return found;
  }

 private:
  std::size_t mismatches_ = 0;

  gpa::options asking(std::uint32_t n)
  {
    gpa::options o{.checks = checks::one_in(n), .stack_frames = 0, .after_mistake = gpa::after_mistake::carry_on};
    o.on_report = [this](const gpa::report& r) { mismatches_ += r.kind == mistake::size_mismatch; };
    return o;
  }

 public:
  gpa::resource resource;
};

bool is_about(std::size_t found, std::size_t expected, std::size_t percent)
{
  return found * 100 >= expected * (100 - percent) && found * 100 <= expected * (100 + percent);
}

}  // namespace

// Before the other tests: the child has no range yet, and gets a small one, of which more is asked than it has.
#if !GPA_TEST_ASAN && !GPA_TEST_TSAN
BOOST_AUTO_TEST_CASE(blocks_are_not_picked_when_their_range_is_full)
{
  BOOST_TEST(gpa::test::true_in_child([]() noexcept {
    const rlimit bound{std::size_t{2} << 30, std::size_t{2} << 30};
    if (::setrlimit(RLIMIT_AS, &bound) != 0) return false;
    examined r(2);
    constexpr request wanted{1'000'000, 8};
    std::vector<void*> blocks;
    for (int round = 0; round != 3; ++round) {
      for (int i = 0; i != 200; ++i) blocks.push_back(r.resource.allocate(wanted.bytes, wanted.alignment));
      if (r.resource.stats().live_blocks != blocks.size()) return false;
      std::size_t found = 0;
      for (void* const p : blocks) found += r.free(p, wanted) ? 1 : 0;
      blocks.clear();
      if (found < 10 || found > 40) return false;  // 32 MiB
    }
    return r.resource.stats().live_blocks == 0;
  }));
}
#endif

// 1 000 samples scatter by 18, as gaps are evenly spread. The 100 that a sanitizer's tenth of the rounds leaves of one
// in 10 000 would scatter by more than 5 %.
BOOST_AUTO_TEST_CASE(ten_million_tight_pairs_are_sampled_one_in_n)
{
  const std::size_t pairs = static_cast<std::size_t>(rounds(10'000'000));
  for (const std::uint32_t n : {100U, 1'000U, 10'000U}) {
    if (pairs / n < 1'000) continue;
    const std::size_t found = examined(n).picked({24, 8}, pairs);
    BOOST_TEST(is_about(found, pairs / n, 5), found << " of " << pairs << ", one in " << n);
  }
}

// The count that tells which one is due is moved on while others read it.
BOOST_AUTO_TEST_CASE(totals_never_go_back)
{
  gpa::resource r({.checks = gpa::checks::one_in(7), .stack_frames = 0});
  std::atomic<bool> done{false};
  std::thread busy([&] {
    for (int i = 0; i != rounds(1'000'000); ++i) r.deallocate(r.allocate(24, 8), 24, 8);
    done = true;
  });
  std::size_t before = 0;
  std::size_t wrong = 0;
  while (!done) {
    const gpa::statistics now = r.stats();
    wrong += now.total_blocks < before || now.live_blocks > 1 ? 1 : 0;
    before = now.total_blocks;
  }
  busy.join();
  BOOST_TEST(wrong == 0u);
  BOOST_TEST(r.stats().total_blocks == static_cast<std::size_t>(rounds(1'000'000)));
}

BOOST_AUTO_TEST_CASE(every_second_and_every_third_allocation_too)
{
  for (const std::uint32_t n : {2U, 3U, 10U})
    BOOST_TEST(is_about(examined(n).picked({24, 8}, 100'000), 100'000 / n, 5), "one in " << n);
}

// Sizes of the shortest path, of longer ones, of spans, and with alignments of their own, in a loop of fixed order.
BOOST_AUTO_TEST_CASE(no_size_is_picked_more_often_than_others)
{
  const request every[] = {{8, 8}, {24, 8}, {1'000, 8}, {1'024, 16}, {3'000, 8}, {30'000, 8}, {200, 64}, {40'000, 8}};
  std::array<std::size_t, std::size(every)> found{};
  examined r(50);
  const std::size_t loops = 50'000;
  for (std::size_t i = 0; i != loops; ++i)
    for (std::size_t k = 0; k != std::size(every); ++k) found[k] += r.is_picked(every[k]) ? 1 : 0;
  for (std::size_t k = 0; k != std::size(every); ++k)
    BOOST_TEST(is_about(found[k], loops / 50, 15), every[k].bytes << " bytes: " << found[k]);
}

BOOST_AUTO_TEST_CASE(batches_are_sampled_as_pairs_are)
{
  examined r(100);
  std::vector<void*> blocks;
  std::size_t found = 0;
  for (int i = 0; i != 100; ++i) {
    for (int k = 0; k != 5'000; ++k) blocks.push_back(r.resource.allocate(48, 8));
    for (void* const p : blocks) found += r.free(p, {48, 8}) ? 1 : 0;
    blocks.clear();
  }
  BOOST_TEST(is_about(found, 5'000, 10), found);
}

BOOST_AUTO_TEST_CASE(the_first_blocks_of_many_short_resources_are_sampled_as_often_as_others)
{
  const std::size_t resources = static_cast<std::size_t>(rounds(4'000));
  std::size_t of_one = 0;
  std::size_t of_many = 0;
  for (std::size_t i = 0; i != resources; ++i) {
    of_one += examined(4).picked({24, 8}, 1);
    of_many += examined(20).picked({24, 8}, 50);
  }
  BOOST_TEST(is_about(of_one, resources / 4, 15), of_one);
  BOOST_TEST(is_about(of_many, resources * 50 / 20, 10), of_many);
}

BOOST_AUTO_TEST_CASE(every_thread_is_sampled)
{
  std::array<std::size_t, 4> found{};
  std::vector<std::thread> threads;
  for (std::size_t& mine : found) threads.emplace_back([&mine] { mine = examined(100).picked({24, 8}, 100'000); });
  for (std::thread& t : threads) t.join();
  for (const std::size_t n : found) BOOST_TEST(is_about(n, 1'000, 30), n);
}

BOOST_AUTO_TEST_CASE(totals_are_exact_whatever_is_picked)
{
  gpa::resource r({.checks = checks::one_in(3)});
  std::vector<void*> blocks;
  for (std::size_t i = 1; i <= 3'000; ++i) {
    blocks.push_back(r.allocate(100, 8));
    if (i % 3 == 0) {
      r.deallocate(blocks.back(), 100, 8);
      blocks.pop_back();
    }
    const gpa::statistics s = r.stats();
    BOOST_TEST_REQUIRE(s.total_blocks == i);
    BOOST_TEST_REQUIRE(s.total_bytes == i * 100);
    BOOST_TEST_REQUIRE(s.live_blocks == blocks.size());
    BOOST_TEST_REQUIRE(s.live_bytes == blocks.size() * 100);
    BOOST_TEST_REQUIRE(s.peak_blocks <= blocks.size() + 1);
  }
  for (void* const p : blocks) r.deallocate(p, 100, 8);
  BOOST_TEST((r.deinit() == gpa::check::ok));
}

// A release in which no block is picked any more must not end, and one that begins anew must not find the old ones.
BOOST_AUTO_TEST_CASE(release_frees_picked_blocks_with_the_others)
{
  witness w;
  gpa::resource r(w.listening({.checks = checks::one_in(2)}));
  for (int i = 0; i != 20; ++i) {
    for (int k = 0; k != 100; ++k) static_cast<void>(r.allocate(static_cast<std::size_t>(k) * 1'000, 8));
    r.release();
    BOOST_TEST(r.stats().live_blocks == 0u);
    BOOST_TEST(r.stats().held_bytes == 0u);
  }
  BOOST_TEST((r.deinit() == gpa::check::ok));
  BOOST_TEST(w.count() == 0u);
}

// Each thread frees what the other allocated, some of it picked.
BOOST_AUTO_TEST_CASE(picked_blocks_may_be_freed_by_any_thread)
{
  witness w;
  gpa::resource r(w.listening({.checks = checks::one_in(7)}));
  constexpr std::size_t count = 500;
  std::array<std::array<void*, count>, 2> blocks{};
  bool freeing = true;
  gpa::test::race(
      2, 2 * static_cast<std::size_t>(rounds(50)), [&] { freeing = !freeing; },
      [&](unsigned self) {
        if (freeing) {
          for (void* const p : blocks[1 - self]) r.deallocate(p, 100, 8);
        } else {
          for (void*& p : blocks[self]) p = r.allocate(100, 8);
        }
      },
      [&] { BOOST_TEST(r.stats().live_blocks == (freeing ? 0u : 2 * count)); });
  BOOST_TEST((r.deinit() == gpa::check::ok));
  BOOST_TEST(w.count() == 0u);
}
