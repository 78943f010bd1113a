// What a resource without checks holds: little before it is used, little after a burst, no more with threads that come,
// go, or only free.
#define BOOST_TEST_MODULE fast_memory
#include <gpa/resource.hpp>

#include "support/resident.hpp"

#include <boost/test/unit_test.hpp>

#include <malloc.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstring>
#include <deque>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

namespace {

using gpa::test::resident_bytes;
using gpa::test::rounds;
using gpa::test::sanitized;

const gpa::options fast{.checks = gpa::checks::never()};

constexpr std::size_t mega = std::size_t{1} << 20;

struct block {
  void* p;
  std::size_t bytes;
};

std::vector<block> filled(gpa::resource& r, std::size_t total, std::mt19937& random, std::size_t most)
{
  std::vector<block> blocks;
  for (std::size_t sum = 0; sum < total;) {
    const std::size_t bytes = 1 + random() % most;
    blocks.push_back({r.allocate(bytes, 8), bytes});
    std::memset(blocks.back().p, 0x41, bytes);
    sum += bytes;
  }
  return blocks;
}

void free_all(gpa::resource& r, std::vector<block>& blocks)
{
  for (const block& b : blocks) r.deallocate(b.p, b.bytes, 8);
  std::vector<block>().swap(blocks);  // an assignment would keep its memory
}

std::size_t resident_now()
{
  ::malloc_trim(0);  // what this test itself had
  return resident_bytes();
}

// At most, in a build where what is resident is ours alone.
void test_resident(std::size_t most, const char* when)
{
  const std::size_t now = resident_now();
  if (!sanitized)
    BOOST_TEST(now <= most, when << ": " << now / 1024 << " KiB resident, expected at most " << most / 1024);
}

}  // namespace

BOOST_AUTO_TEST_CASE(nothing_is_held_before_the_first_block_and_little_after_it)
{
  {
    gpa::resource first(fast);  // what the library itself needs, once
    first.deallocate(first.allocate(24), 24);
  }
  const std::size_t before = resident_now();
  gpa::resource r(fast);
  BOOST_TEST(r.stats().held_bytes == 0u);
  void* const three[] = {r.allocate(24), r.allocate(200), r.allocate(5'000)};
  for (void* const p : three) std::memset(p, 1, 24);
  test_resident(before + (std::size_t{256} << 10), "three objects");
  r.deallocate(three[0], 24);
  r.deallocate(three[1], 200);
  r.deallocate(three[2], 5'000);
  BOOST_TEST((r.deinit() == gpa::check::ok));
}

BOOST_AUTO_TEST_CASE(a_burst_goes_back_by_itself_and_the_rest_by_trim)
{
  for (const std::size_t most : {300U, 5'000U, 60'000U, 2'000'000U}) {
    gpa::resource r(fast);
    std::mt19937 random(5);
    const std::size_t before = resident_now();
    std::vector<block> kept = filled(r, 4 * mega, random, most);
    std::vector<block> burst = filled(r, static_cast<std::size_t>(rounds(200)) * mega, random, most);
    std::shuffle(burst.begin(), burst.end(), random);
    free_all(r, burst);
    const std::size_t live = r.stats().live_bytes;
    test_resident(before + live + 32 * mega, "after a burst");
    BOOST_TEST(r.stats().held_bytes <= live * 5 / 4 + 32 * mega);
    r.trim();
    test_resident(before + live * 9 / 8 + 4 * mega, "after trim()");
    for (const block& b : kept) {
      const auto* const bytes = static_cast<const unsigned char*>(b.p);
      BOOST_REQUIRE((bytes[0] == 0x41 && bytes[b.bytes - 1] == 0x41));
    }
    free_all(r, kept);
    r.trim();
    test_resident(before + 2 * mega, "empty, after trim()");
    BOOST_TEST(r.stats().held_bytes <= std::size_t{64} << 10);
    BOOST_TEST((r.deinit() == gpa::check::ok));
    BOOST_TEST(r.stats().held_bytes == 0u);
  }
}

BOOST_AUTO_TEST_CASE(what_passes_from_one_thread_to_another_is_used_again)
{
  for (const std::size_t bytes : {64U, 1'000U, 20'000U, 100'000U}) {
    gpa::resource r(fast);
    const std::size_t before = resident_now();
    const std::size_t most_waiting = 2 * mega / bytes;
    const std::size_t all = static_cast<std::size_t>(rounds(100)) * mega / bytes;
    std::mutex lock;
    std::condition_variable changed;
    std::deque<void*> waiting;
    std::thread producer([&] {
      for (std::size_t i = 0; i != all; ++i) {
        void* const p = r.allocate(bytes, 8);
        std::memset(p, 1, bytes);
        std::unique_lock guard(lock);
        changed.wait(guard, [&] { return waiting.size() < most_waiting; });
        waiting.push_back(p);
        changed.notify_all();
      }
    });
    for (std::size_t freed = 0; freed != all;) {  // this thread never allocates
      std::deque<void*> mine;
      {
        std::unique_lock guard(lock);
        changed.wait(guard, [&] { return !waiting.empty(); });
        mine.swap(waiting);
        changed.notify_all();
      }
      for (void* const p : mine) r.deallocate(p, bytes, 8);
      freed += mine.size();
    }
    producer.join();
    // Twice what waits may be live, half of that for slabs in parts, 4 MiB a thread.
    test_resident(before + 4 * mega * 3 / 2 + 8 * mega, "a producer and a consumer");
    BOOST_TEST(r.stats().live_blocks == 0u);
    BOOST_TEST((r.deinit() == gpa::check::ok));
  }
}

BOOST_AUTO_TEST_CASE(a_thread_that_ends_leaves_nothing_in_its_cache)
{
  gpa::resource r(fast);
  std::vector<block> blocks;
  std::thread([&] {
    std::mt19937 random(7);
    blocks = filled(r, 4 * mega, random, 300);
  }).join();
  std::thread([&] { free_all(r, blocks); }).join();
  r.trim();
  BOOST_TEST(r.stats().live_blocks == 0u);
  BOOST_TEST(r.stats().held_bytes == 0u);
}

BOOST_AUTO_TEST_CASE(many_short_threads_leave_the_memory_of_a_few)
{
  gpa::resource r(fast);
  const auto run = [&r](int threads) {
    for (int i = 0; i < threads; i += 4) {
      std::array<std::thread, 4> some;
      for (std::thread& t : some)
        t = std::thread([&r] {
          for (const std::size_t bytes : {8U, 100U, 3'000U, 50'000U}) {
            void* const p = r.allocate(bytes);
            std::memset(p, 1, bytes);
            r.deallocate(p, bytes);
          }
        });
      for (std::thread& t : some) t.join();
    }
  };
  run(rounds(2'000));
  const std::size_t before = resident_now();
  run(rounds(8'000));
  test_resident(before + 2 * mega, "short threads");
  BOOST_TEST(r.stats().held_bytes <= 4 * mega);
}

// In any order: the resource first, the thread that made the blocks first, the one that frees them first.
BOOST_AUTO_TEST_CASE(threads_and_resources_may_end_in_any_order)
{
  for (int order = 0; order != 4; ++order) {
    auto r = std::make_unique<gpa::resource>(fast);
    std::vector<void*> blocks(2'000);
    std::atomic<int> step{0};
    std::thread maker([&] {
      for (void*& p : blocks) p = r->allocate(40);
      step = 1;
      step.notify_all();
      if (order % 2 == 0) step.wait(1);
    });
    std::thread freer([&] {
      step.wait(0);
      for (std::size_t i = 0; i != blocks.size(); i += 2) r->deallocate(blocks[i], 40);
      step = 2;
      step.notify_all();
      if (order / 2 == 0) {
        step.wait(2);  // outlives the resource
      }
    });
    maker.join();
    if (order / 2 != 0) freer.join();
    while (step != 2) std::this_thread::yield();
    BOOST_TEST(r->stats().live_blocks == blocks.size() / 2);
    for (std::size_t i = 1; i < blocks.size(); i += 2) r->deallocate(blocks[i], 40);
    BOOST_TEST((r->deinit() == gpa::check::ok));
    r.reset();
    step = 3;
    step.notify_all();
    if (freer.joinable()) freer.join();
  }
}

BOOST_AUTO_TEST_CASE(ten_thousand_resources_cost_some_kilobytes_each)
{
  const auto count = static_cast<std::size_t>(rounds(10'000));
  const std::size_t before = resident_now();
  std::vector<std::unique_ptr<gpa::resource>> all;
  std::vector<void*> blocks;
  for (std::size_t i = 0; i != count; ++i) {
    all.push_back(std::make_unique<gpa::resource>(fast));
    blocks.push_back(all.back()->allocate(100));
    std::memset(blocks.back(), 1, 100);
  }
  test_resident(before + count * (std::size_t{32} << 10), "ten thousand resources");
  for (std::size_t i = 0; i != count; ++i) all[i]->deallocate(blocks[i], 100);
  all.clear();
  const std::size_t after = resident_now();
  for (std::size_t i = 0; i != count; ++i) {  // what is left is used again
    gpa::resource r(fast);
    r.deallocate(r.allocate(100), 100);
  }
  test_resident(after + 2 * mega, "ten thousand more");
}
