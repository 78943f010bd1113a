#define BOOST_TEST_MODULE limit
#include "support/modes.hpp"
#include "support/witness.hpp"

#include <gpa/resource.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <new>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace {

using gpa::test::witness;

struct kind {
  const char* name;
  gpa::checks checks;
  bool thread_safe = true;
};

const std::vector<kind> kinds = {{"checked", gpa::checks::always()},
                                 {"never", gpa::checks::never()},
                                 {"sampled", gpa::checks::one_in(3)},
                                 {"single-threaded", gpa::checks::always(), false},
                                 {"never, single-threaded", gpa::checks::never(), false}};

// A resource of one kind; at its end nothing may be live, and nothing but `mistakes` reported.
struct session {
  session(const kind& k, std::size_t limit)
      : r(w.listening({.checks = k.checks, .thread_safe = k.thread_safe, .memory_limit = limit}))
  {}
  ~session()
  {
    BOOST_TEST(r.stats().live_bytes == 0u);
    BOOST_TEST((r.deinit() == (mistakes == 0 ? gpa::check::ok : gpa::check::misuse)));
    BOOST_TEST(w.count() == mistakes);
  }

  bool allows(std::size_t bytes)
  {
    void* const p = r.try_allocate(bytes, 8);
    if (p != nullptr) r.deallocate(p, bytes, 8);
    return p != nullptr;
  }
  std::size_t live() const { return r.stats().live_bytes; }

  witness w;
  std::size_t mistakes = 0;
  gpa::resource r;
};

template <class F>
void for_each_kind(std::size_t limit, F f)
{
  for (const kind& k : kinds) {
    BOOST_TEST_CONTEXT(k.name)
    {
      session s(k, limit);
      f(s);
    }
  }
}

}  // namespace

// Zig's "setting a memory cap".
BOOST_AUTO_TEST_CASE(a_limit_is_inclusive_and_exact)
{
  for_each_kind(1010, [](session& s) {
    void* const small = s.r.allocate(4, 4);
    BOOST_TEST(s.live() == 4u);
    void* const big = s.r.allocate(1000, 8);
    BOOST_TEST(s.live() == 1004u);
    BOOST_CHECK_THROW(static_cast<void>(s.r.allocate(8, 8)), std::bad_alloc);
    s.r.deallocate(small, 4, 4);
    BOOST_TEST(s.live() == 1000u);
    BOOST_TEST(!s.allows(11));
    void* const rest = s.r.allocate(10, 1);
    BOOST_TEST(s.live() == 1010u);
    BOOST_TEST(!s.allows(1));
    BOOST_TEST(s.allows(0));
    s.r.deallocate(big, 1000, 8);
    s.r.deallocate(rest, 10, 1);
    void* const all = s.r.allocate(1010, 8);
    s.r.deallocate(all, 1010, 8);
    BOOST_TEST(!s.allows(1011));
  });
}

BOOST_AUTO_TEST_CASE(a_limit_counts_what_was_asked_for_and_not_what_is_held)
{
  for_each_kind(100, [](session& s) {
    std::vector<void*> ones;
    for (int i = 0; i != 100; ++i) ones.push_back(s.r.allocate(1, 1));
    BOOST_TEST(!s.allows(1));
    for (void* const p : ones) s.r.deallocate(p, 1, 1);
    BOOST_TEST(s.allows(100));
  });
}

BOOST_AUTO_TEST_CASE(a_limit_of_nothing_allows_empty_blocks_only)
{
  for_each_kind(0, [](session& s) {
    BOOST_TEST(s.allows(0));
    BOOST_TEST(!s.allows(1));
    s.r.set_memory_limit(1);
    BOOST_TEST(s.allows(1));
  });
}

BOOST_AUTO_TEST_CASE(a_refused_allocation_changes_nothing)
{
  for_each_kind(1000, [](session& s) {
    void* const p = s.r.allocate(600, 8);
    const gpa::statistics before = s.r.stats();
    for (const std::size_t bytes :
         {std::size_t{401}, std::size_t{200'000}, std::size_t{1} << 46, std::size_t{1} << 60, SIZE_MAX - 600, SIZE_MAX})
      BOOST_TEST(s.r.try_allocate(bytes, 8) == nullptr);
    const gpa::statistics after = s.r.stats();
    BOOST_TEST(after.live_bytes == before.live_bytes);
    BOOST_TEST(after.live_blocks == before.live_blocks);
    BOOST_TEST(after.total_blocks == before.total_blocks);
    BOOST_TEST(after.total_bytes == before.total_bytes);
    BOOST_TEST(after.peak_bytes == before.peak_bytes);
    BOOST_TEST(s.allows(400));
    BOOST_TEST(!s.allows(401));
    s.r.deallocate(p, 600, 8);
  });
}

// The limit would allow it; the system does not.
BOOST_AUTO_TEST_CASE(an_allocation_that_fails_for_another_reason_leaves_the_count)
{
  for_each_kind(std::size_t{1} << 62, [](session& s) {
    for (const std::size_t bytes :
         {std::size_t{1} << 60, std::size_t{1} << 48, std::size_t{1} << 47, (std::size_t{1} << 47) - 65'536})
      BOOST_TEST(s.r.try_allocate(bytes, 8) == nullptr);
    BOOST_TEST(s.r.try_allocate(1, std::size_t{1} << 62) == nullptr);
    BOOST_TEST(s.live() == 0u);
    s.r.set_memory_limit(100);
    BOOST_TEST(s.allows(100));
  });
}

BOOST_AUTO_TEST_CASE(a_limit_may_change_at_run_time)
{
  for_each_kind(gpa::unlimited, [](session& s) {
    BOOST_TEST(s.r.memory_limit() == gpa::unlimited);
    void* const p = s.r.allocate(500, 8);  // before there was a limit
    s.r.set_memory_limit(600);
    BOOST_TEST(s.r.memory_limit() == 600u);
    BOOST_TEST(s.allows(100));
    BOOST_TEST(!s.allows(101));
    s.r.set_memory_limit(700);
    BOOST_TEST(s.allows(200));
    BOOST_TEST(!s.allows(201));
    s.r.set_memory_limit(gpa::unlimited);
    void* const q = s.r.allocate(5'000, 8);
    s.r.deallocate(p, 500, 8);
    s.r.set_memory_limit(5'100);  // what came and went without a limit counts
    BOOST_TEST(s.allows(100));
    BOOST_TEST(!s.allows(101));
    s.r.deallocate(q, 5'000, 8);
    BOOST_TEST(s.allows(5'100));
  });
}

BOOST_AUTO_TEST_CASE(a_limit_below_what_is_live_takes_nothing_away)
{
  for_each_kind(gpa::unlimited, [](session& s) {
    std::array<void*, 10> blocks{};
    for (void*& p : blocks) p = s.r.allocate(100, 8);
    s.r.set_memory_limit(450);
    BOOST_TEST(s.live() == 1000u);
    BOOST_TEST(!s.allows(1));
    for (std::size_t i = 0; i != 6; ++i) {
      BOOST_TEST(!s.allows(1));
      s.r.deallocate(blocks[i], 100, 8);
    }
    BOOST_TEST(s.live() == 400u);
    BOOST_TEST(s.allows(50));
    BOOST_TEST(!s.allows(51));
    for (std::size_t i = 6; i != 10; ++i) s.r.deallocate(blocks[i], 100, 8);
  });
}

BOOST_AUTO_TEST_CASE(a_resize_is_held_to_the_limit_too)
{
  for_each_kind(100, [](session& s) {
    void* const p = s.r.allocate(97, 8);
    void* const q = s.r.allocate(1, 8);
    BOOST_TEST(!s.r.try_resize(p, 97, 100, 8));
    BOOST_TEST(s.live() == 98u);
    BOOST_TEST(s.r.try_resize(p, 97, 99, 8));
    BOOST_TEST(s.live() == 100u);
    BOOST_TEST(!s.allows(1));
    BOOST_TEST(s.r.try_resize(p, 99, 98, 8));
    BOOST_TEST(s.allows(1));
    BOOST_TEST(!s.allows(2));
    s.r.deallocate(p, 98, 8);
    s.r.deallocate(q, 1, 8);
    BOOST_TEST(s.allows(100));
  });
}

BOOST_AUTO_TEST_CASE(release_frees_the_whole_limit)
{
  for_each_kind(1000, [](session& s) {
    static_cast<void>(s.r.allocate(1000, 8));
    BOOST_TEST(!s.allows(1));
    s.r.release();
    BOOST_TEST(s.allows(1000));
    void* const p = s.r.allocate(600, 8);
    BOOST_TEST(s.allows(400));
    BOOST_TEST(!s.allows(401));  // no more than the whole
    s.r.deallocate(p, 600, 8);
  });
}

BOOST_AUTO_TEST_CASE(wrong_frees_do_not_disturb_the_count)
{
  session s(kinds.front(), 1000);
  void* const p = s.r.allocate(600, 8);
  s.r.deallocate(p, 100, 8);
  s.r.deallocate(p, SIZE_MAX, 8);
  s.r.deallocate(p, 600, 16);
  s.r.deallocate(static_cast<std::byte*>(p) + 8, 300, 8);
  s.r.deallocate(reinterpret_cast<void*>(16), 600, 8);
  BOOST_TEST(!s.r.try_resize(p, 500, 590, 8));
  BOOST_TEST(s.live() == 600u);
  BOOST_TEST(!s.allows(401));
  BOOST_TEST(s.allows(400));
  s.r.deallocate(p, 600, 8);
  s.r.deallocate(p, 600, 8);
  s.r.deallocate(p, 600, 8);
  BOOST_TEST(s.live() == 0u);
  BOOST_TEST(!s.allows(1001));
  BOOST_TEST(s.allows(1000));
  s.mistakes = 8;
}

BOOST_AUTO_TEST_CASE(eight_threads_are_never_above_the_limit_and_never_refused_below_it)
{
  constexpr std::size_t limit = 8 * 1000;
  for (const kind& k : kinds) {
    if (!k.thread_safe) continue;
    BOOST_TEST_CONTEXT(k.name)
    {
      session s(k, limit);
      std::atomic<std::size_t> refused{0};
      std::atomic<std::size_t> above{0};
      std::atomic<std::size_t> held{0};
      const auto in_threads = [](auto work) {
        std::vector<std::thread> threads;
        for (unsigned t = 0; t != 8; ++t) threads.emplace_back(work, t);
        for (std::thread& t : threads) t.join();
      };
      // Each keeps to its eighth, so nobody may be refused.
      in_threads([&](unsigned seed) {
        std::mt19937 random(seed);
        for (int i = 0; i != 4'000; ++i) {
          const std::size_t bytes = random() % 1001;
          void* const p = s.r.try_allocate(bytes, 8);
          if (p == nullptr) {
            ++refused;
          } else {
            s.r.deallocate(p, bytes, 8);
          }
        }
      });
      BOOST_TEST(refused == 0u);
      // All want more than there is: what they hold, each before it frees and after it allocated, is within the limit.
      in_threads([&](unsigned seed) {
        std::mt19937 random(seed);
        std::vector<std::pair<void*, std::size_t>> mine;
        for (int i = 0; i != 4'000; ++i) {
          const std::size_t bytes = random() % 900;
          if (void* const p = s.r.try_allocate(bytes, 8); p != nullptr) {
            mine.emplace_back(p, bytes);
            if (held.fetch_add(bytes) + bytes > limit) ++above;
          }
          while (mine.size() > 3 || (!mine.empty() && random() % 2 == 0)) {
            held.fetch_sub(mine.back().second);
            s.r.deallocate(mine.back().first, mine.back().second, 8);
            mine.pop_back();
          }
        }
        for (const auto& [p, bytes] : mine) {
          held.fetch_sub(bytes);
          s.r.deallocate(p, bytes, 8);
        }
      });
      BOOST_TEST(above == 0u);
      BOOST_TEST(s.r.stats().peak_bytes <= limit);
      BOOST_TEST(!s.allows(limit + 1));
      BOOST_TEST(s.allows(limit));
    }
  }
}

// A large request that is refused must not push out, for a moment, a small one that fits.
BOOST_AUTO_TEST_CASE(a_refusal_in_one_thread_refuses_nobody_else)
{
  for (const kind& k : kinds) {
    if (!k.thread_safe) continue;
    BOOST_TEST_CONTEXT(k.name)
    {
      session s(k, 1000);
      void* const half = s.r.allocate(500, 8);
      std::atomic<bool> stop{false};
      std::atomic<std::size_t> asked{0};
      std::atomic<std::size_t> granted{0};
      std::thread greedy([&] {
        for (; !stop; ++asked)
          if (s.r.try_allocate(501, 8) != nullptr) ++granted;
      });
      std::size_t refused = 0;
      for (int i = 0; i < 20'000 || asked < 20'000; ++i)
        if (!s.allows(500)) ++refused;
      stop = true;
      greedy.join();
      BOOST_TEST(granted == 0u);
      BOOST_TEST(refused == 0u);
      s.r.deallocate(half, 500, 8);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_limit_set_while_threads_work_is_exact_when_they_are_done)
{
  for (const kind& k : kinds) {
    if (!k.thread_safe) continue;
    BOOST_TEST_CONTEXT(k.name)
    {
      session s(k, gpa::unlimited);
      std::vector<std::thread> threads;
      for (unsigned t = 0; t != 4; ++t)
        threads.emplace_back([&s] {
          for (int i = 0; i != 5'000; ++i)
            if (void* const p = s.r.try_allocate(100, 8); p != nullptr) s.r.deallocate(p, 100, 8);
        });
      for (int i = 0; i != 200; ++i) s.r.set_memory_limit(i % 2 == 0 ? 250 : gpa::unlimited);
      for (std::thread& t : threads) t.join();
      s.r.set_memory_limit(1000);
      BOOST_TEST(s.allows(1000));
      BOOST_TEST(!s.allows(1001));
    }
  }
}

BOOST_AUTO_TEST_CASE(what_one_thread_allocates_another_may_free_under_a_limit)
{
  for (const kind& k : kinds) {
    if (!k.thread_safe) continue;
    BOOST_TEST_CONTEXT(k.name)
    {
      session s(k, 1000);
      for (int round = 0; round != 20; ++round) {
        void* const p = s.r.allocate(1000, 8);
        std::thread([&] {
          BOOST_TEST(!s.allows(1));
          s.r.deallocate(p, 1000, 8);
          BOOST_TEST(s.allows(1000));
        }).join();
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(what_one_thread_frees_or_shrinks_another_may_have_at_once)
{
  for (const kind& k : kinds) {
    if (!k.thread_safe) continue;
    session s(k, 250);
    const auto allows_elsewhere = [&s](std::size_t bytes) {
      bool allowed = false;
      std::thread([&] { allowed = s.allows(bytes); }).join();
      return allowed;
    };
    BOOST_TEST_CONTEXT(k.name) for (int round = 0; round != 20; ++round) {
      void* const p = s.r.allocate(106, 8);
      s.r.deallocate(s.r.allocate(144, 8), 144, 8);
      BOOST_TEST(allows_elsewhere(144));
      BOOST_TEST(s.r.try_resize(p, 106, 100, 8));
      BOOST_TEST(allows_elsewhere(150));
      BOOST_TEST(!allows_elsewhere(151));
      s.r.deallocate(p, 100, 8);
    }
  }
}
