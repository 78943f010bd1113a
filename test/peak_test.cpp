// The most that was live: what stats() says of it, in each mode.
#define BOOST_TEST_MODULE peak
#include "support/modes.hpp"
#include "support/witness.hpp"

#include <gpa/resource.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstddef>
#include <random>
#include <thread>
#include <vector>

namespace {

using gpa::test::every_mode;
using gpa::test::mode;

template <class F>
void in_every_mode(F f)
{
  for (const mode& m : every_mode()) {
    BOOST_TEST_CONTEXT(m.name) f(m);
  }
}

bool has_exact_peak(const mode& m)
{
  return !m.options.thread_safe || m.options.memory_limit != gpa::unlimited;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_first_free_sees_a_peak)
{
  in_every_mode([](const mode& m) {
    if (!m.options.checks.is_always()) return;
    gpa::resource r(m.options);
    void* const a = r.allocate(1'000, 8);
    r.deallocate(r.allocate(3'000, 8), 3'000, 8);
    r.deallocate(a, 1'000, 8);
    BOOST_TEST(r.stats().peak_blocks == 2u);
    BOOST_TEST(r.stats().peak_bytes == 4'000u);
    r.reset_peak();
    BOOST_TEST(r.stats().peak_blocks == 0u);
    r.deallocate(r.allocate(100'000), 100'000);
    BOOST_TEST(r.stats().peak_blocks == 1u);
    BOOST_TEST(r.stats().peak_bytes == 100'000u);
  });
}

BOOST_AUTO_TEST_CASE(a_peak_that_is_reset_is_what_is_live)
{
  in_every_mode([](const mode& m) {
    gpa::resource r(m.options);
    void* const kept = r.allocate(8, 8);
    r.deallocate(r.allocate(100'000, 8), 100'000, 8);
    r.reset_peak();
    BOOST_TEST(r.stats().peak_blocks == 1u);
    BOOST_TEST(r.stats().peak_bytes == 8u);
    r.deallocate(kept, 8, 8);
    BOOST_TEST(r.stats().peak_bytes == 8u);
  });
}

// Nobody asks for stats() while the blocks are live.
BOOST_AUTO_TEST_CASE(a_peak_is_exact_with_a_limit_or_one_thread_and_a_lower_bound_otherwise)
{
  in_every_mode([](const mode& m) {
    for (const std::size_t bytes : {24U, 3'000U, 40'000U, 200'000U}) {
      gpa::resource r(m.options);
      std::mt19937 random(3);
      std::vector<void*> live;
      std::size_t peak = 0;
      for (int i = 0; i != 3'000; ++i) {
        if (live.empty() || random() % 100 < (i < 1'000 ? 55U : 45U)) {
          live.push_back(r.allocate(bytes, 8));
        } else {
          r.deallocate(live.back(), bytes, 8);
          live.pop_back();
        }
        peak = std::max(peak, live.size());
      }
      while (!live.empty()) {
        r.deallocate(live.back(), bytes, 8);
        live.pop_back();
      }
      const gpa::statistics s = r.stats();
      if (has_exact_peak(m)) {
        BOOST_TEST(s.peak_blocks == peak, bytes << " bytes");
        BOOST_TEST(s.peak_bytes == peak * bytes, bytes << " bytes");
      } else {
        BOOST_TEST(s.peak_blocks <= peak);
        BOOST_TEST(s.peak_bytes <= peak * bytes);
        // What slow paths see. Without checks the first look may be at the first block.
        if (m.options.checks.is_always())
          BOOST_TEST(s.peak_blocks >= peak - peak / 32 - 1, peak << " of " << bytes << " bytes");
      }
    }
  });
}

// Threads that take turns share what is free, and their peak is that of all of them.
BOOST_AUTO_TEST_CASE(an_unchecked_resource_of_one_thread_at_a_time_is_exact_whoever_calls)
{
  gpa::resource r({.checks = gpa::checks::never(), .thread_safe = false});
  std::vector<void*> blocks;
  const auto elsewhere = [](auto work) { std::thread(work).join(); };
  std::size_t held = 0;
  for (int i = 0; i != 200; ++i) {
    elsewhere([&] {
      for (int k = 0; k != 100; ++k) blocks.push_back(r.allocate(k < 50 ? 100 : 3'000, 8));
    });
    BOOST_TEST(r.stats().live_blocks == 100u);
    elsewhere([&] {
      void* const p = r.allocate(200'000, 8);
      for (std::size_t k = 0; k != 100; ++k) r.deallocate(blocks[k], k < 50 ? 100 : 3'000, 8);
      r.deallocate(p, 200'000, 8);
      blocks.clear();
    });
    const gpa::statistics s = r.stats();
    BOOST_TEST(s.live_blocks == 0u);
    BOOST_TEST(s.live_bytes == 0u);
    BOOST_TEST(s.peak_blocks == 101u);
    BOOST_TEST(s.peak_bytes == 50u * 3'100 + 200'000);
    BOOST_TEST(s.total_blocks == static_cast<std::size_t>(i + 1) * 101);
    if (i == 0) held = s.held_bytes;
    BOOST_TEST(s.held_bytes == held);
  }
  BOOST_TEST((r.deinit() == gpa::check::ok));
  BOOST_TEST(r.stats().held_bytes == 0u);
}

// With checks each thread has a count of its own. A resource without a live block changes hands.
BOOST_AUTO_TEST_CASE(a_resource_of_one_thread_at_a_time_knows_its_peak_whoever_had_it)
{
  in_every_mode([](const mode& m) {
    if (m.options.thread_safe) return;
    gpa::resource r(m.options);
    const auto use = [&](std::size_t blocks, std::size_t bytes) {
      std::vector<void*> live(blocks);
      for (void*& p : live) p = r.allocate(bytes, 8);
      for (void* const p : live) r.deallocate(p, bytes, 8);
    };
    std::thread([&] { use(40, 1'000); }).join();
    BOOST_TEST(r.stats().peak_blocks == 40u);
    use(30, 2'000);
    std::thread([&] { use(5, 100); }).join();
    BOOST_TEST(r.stats().peak_blocks == 40u);
    BOOST_TEST(r.stats().peak_bytes == 60'000u);
    r.reset_peak();
    BOOST_TEST(r.stats().peak_blocks == 0u);
    use(7, 64);
    BOOST_TEST(r.stats().peak_blocks == 7u);
    BOOST_TEST(r.stats().peak_bytes == 448u);
  });
}

// A call of another thread is a mistake, told and carried out all the same: what it does counts.
BOOST_AUTO_TEST_CASE(a_peak_stays_exact_where_another_thread_calls)
{
  in_every_mode([](const mode& m) {
    if (m.options.thread_safe || m.options.checks.is_never()) return;
    gpa::test::witness w;
    gpa::resource r(w.listening(m.options));
    const auto make = [&](std::size_t count) {
      std::vector<void*> made(count);
      for (void*& p : made) p = r.allocate(64);
      return made;
    };
    const auto free = [&](const std::vector<void*>& all) {
      for (void* const p : all) r.deallocate(p, 64);
    };
    const auto elsewhere = [](auto work) { std::thread(work).join(); };
    std::vector<void*> blocks = make(100);
    elsewhere([&] { free(blocks); });
    BOOST_TEST(w.count() > 0u);
    BOOST_TEST(r.stats().peak_blocks == 100u);
    r.reset_peak();
    BOOST_TEST(r.stats().peak_blocks == 0u);
    free(make(10));
    BOOST_TEST(r.stats().peak_blocks == 10u);
    BOOST_TEST(r.stats().peak_bytes == 640u);
    elsewhere([&] { free(make(150)); });
    BOOST_TEST(r.stats().peak_blocks == 150u);
    blocks = make(1);
    elsewhere([&] {
      const std::vector<void*> others = make(160);
      blocks.insert(blocks.end(), others.begin(), others.end());
    });
    free(make(50));
    BOOST_TEST(r.stats().peak_blocks == 211u);
    free(blocks);
  });
}

BOOST_AUTO_TEST_CASE(a_block_that_was_larger_for_a_while_is_in_the_peak)
{
  in_every_mode([](const mode& m) {
    if (!has_exact_peak(m)) return;
    gpa::resource r(m.options);
    void* const p = r.allocate(100, 8);
    BOOST_TEST(r.try_resize(p, 100, 111, 8));
    BOOST_TEST(r.try_resize(p, 111, 97, 8));
    BOOST_TEST(r.stats().live_bytes == 97u);
    BOOST_TEST(r.stats().peak_bytes == 111u);
    r.deallocate(p, 97, 8);
    r.reset_peak();
    void* const q = r.allocate(111, 8);
    BOOST_TEST(r.try_resize(q, 111, 97, 8));  // nobody has looked before
    BOOST_TEST(r.stats().peak_bytes == 111u);
    r.deallocate(q, 97, 8);
  });
}
