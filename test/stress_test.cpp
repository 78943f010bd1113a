#define BOOST_TEST_MODULE stress
#include <gpa/resource.hpp>

#include "support/resident.hpp"
#include "support/witness.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace {

using gpa::test::resident_bytes;
using gpa::test::rounds;
using gpa::test::witness;

const gpa::checks every_kind[] = {gpa::checks::always(), gpa::checks::never(), gpa::checks::one_in(10)};

// A block that knows its own size and carries cookies, so that whoever frees it can tell that nobody else wrote it.
struct cell {
  std::uint64_t* words;
  std::size_t count;
};

cell make_cell(gpa::resource& r, std::minstd_rand& dice)
{
  static constexpr std::size_t large = 20'000;
  const std::size_t count = dice() % 200 == 0 ? large : 1 + dice() % 60;
  cell c{static_cast<std::uint64_t*>(r.allocate(count * 8, 8)), count};
  for (std::size_t i = 0; i != count; ++i) c.words[i] = (count - i) ^ 0x9E3779B97F4A7C15U;
  return c;
}

bool drop_cell(gpa::resource& r, const cell& c)
{
  bool right = true;
  for (std::size_t i = 0; i != c.count; ++i) right = right && c.words[i] == ((c.count - i) ^ 0x9E3779B97F4A7C15U);
  r.deallocate(c.words, c.count * 8, 8);
  return right;
}

// Cells are made by one thread and dropped by another: each change of hands is an exchange.
class exchange {
 public:
  cell swap(std::size_t place, cell c)
  {
    const std::lock_guard guard(locks_[place % locks_.size()]);
    std::swap(cells_[place], c);
    return c;
  }
  static constexpr std::size_t size = 1000;

 private:
  std::array<cell, size> cells_{};
  std::array<std::mutex, 16> locks_;
};

}  // namespace

BOOST_AUTO_TEST_CASE(blocks_migrate_between_many_short_lived_threads_unharmed)
{
  for (const gpa::checks kind : every_kind) {
    witness w;
    gpa::resource r(w.listening({.checks = kind}));
    exchange places;
    std::atomic<int> damaged{0};
    const int generations = rounds(50);
    for (int g = 0; g != generations; ++g) {
      std::vector<std::thread> threads;
      for (unsigned t = 0; t != 32; ++t) {
        threads.emplace_back([&, seed = static_cast<unsigned>(g) * 32 + t + 1] {
          std::minstd_rand dice(seed);
          for (int i = 0; i != 100; ++i) {
            const cell before = places.swap(dice() % exchange::size, make_cell(r, dice));
            if (before.words != nullptr && !drop_cell(r, before)) ++damaged;
          }
        });
      }
      for (std::thread& t : threads) t.join();
    }
    std::size_t live = 0;
    for (std::size_t i = 0; i != exchange::size; ++i) {
      const cell last = places.swap(i, {});
      if (last.words == nullptr) continue;
      ++live;
      if (live == 1) BOOST_TEST(r.stats().live_blocks != 0u);
      if (!drop_cell(r, last)) ++damaged;
    }
    BOOST_TEST(live > 0u);
    BOOST_TEST(damaged == 0);
    BOOST_TEST(r.stats().total_blocks == static_cast<std::size_t>(generations) * 3200u);
    BOOST_TEST(r.stats().live_blocks == 0u);
    BOOST_TEST(r.stats().live_bytes == 0u);
    BOOST_TEST(r.verify() == 0u);
    BOOST_TEST(r.deinit() == gpa::check::ok);
    BOOST_TEST(w.count() == 0u);
  }
}

BOOST_AUTO_TEST_CASE(a_thread_that_only_frees_does_not_make_memory_grow)
{
  constexpr std::size_t producers = 16;
  constexpr std::size_t bytes = 592;
  constexpr std::size_t most_waiting = 2000;
  for (const gpa::checks kind : every_kind) {
    witness w;
    const std::size_t before = resident_bytes();
    gpa::resource r(w.listening({.checks = kind, .quarantine_bytes = 256 << 10}));
    std::mutex lock;
    std::condition_variable changed;
    std::deque<void*> waiting;
    std::size_t producing = producers;
    const int each = rounds(10'000);

    std::vector<std::thread> threads;
    for (std::size_t t = 0; t != producers; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i != each; ++i) {
          void* const p = r.allocate(bytes);
          *static_cast<int*>(p) = i;
          std::unique_lock guard(lock);
          changed.wait(guard, [&] { return waiting.size() < most_waiting; });
          waiting.push_back(p);
          changed.notify_all();
        }
        const std::lock_guard guard(lock);
        --producing;
        changed.notify_all();
      });
    }
    std::size_t most_held = 0;
    std::size_t most_resident = 0;
    std::size_t freed = 0;
    std::size_t looked = 0;
    for (;;) {
      std::unique_lock guard(lock);
      changed.wait(guard, [&] { return !waiting.empty() || producing == 0; });
      if (waiting.empty()) break;
      std::deque<void*> mine;
      mine.swap(waiting);
      changed.notify_all();
      guard.unlock();
      for (void* const p : mine) r.deallocate(p, bytes);
      freed += mine.size();
      most_held = std::max(most_held, r.stats().held_bytes);
      if (freed < looked) continue;
      looked += producers * static_cast<std::size_t>(each) / 32;
      most_resident = std::max(most_resident, resident_bytes());
    }
    for (std::thread& t : threads) t.join();
    BOOST_TEST(freed == producers * static_cast<std::size_t>(each));
    // What is live at most, half as much again, and 1 MiB a thread: a quarter of what passes through.
    const std::size_t live = (most_waiting + producers) * bytes * 2;  // waiting, and taken over by the freer
    const std::size_t bound = live * 3 / 2 + (producers + 1) * (std::size_t{1} << 20);
    BOOST_TEST(most_held <= bound);
    BOOST_TEST(most_resident != 0u);
    if (!gpa::test::sanitized) BOOST_TEST(most_resident <= before + bound);
    BOOST_TEST(r.deinit() == gpa::check::ok);
    BOOST_TEST(w.count() == 0u);
  }
}

BOOST_AUTO_TEST_CASE(verify_and_detect_leaks_never_report_falsely_while_others_work)
{
  witness w;
  gpa::resource r(w.listening());
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t != 3; ++t) {
    threads.emplace_back([&, t] {
      std::minstd_rand dice(t + 1);
      std::vector<cell> mine(64);
      for (int i = 0; i != rounds(100'000); ++i) {
        cell& c = mine[dice() % mine.size()];
        if (c.words != nullptr) drop_cell(r, c);
        c = make_cell(r, dice);
      }
      for (const cell& c : mine)
        if (c.words != nullptr) drop_cell(r, c);
    });
  }
  std::thread looking([&] {
    while (!done) {
      BOOST_TEST(r.verify() == 0u);
      static_cast<void>(r.detect_leaks());
    }
  });
  for (std::thread& t : threads) t.join();
  done = true;
  looking.join();
  BOOST_TEST(w.count() == w.count(gpa::mistake::leak));  // those detect_leaks() was asked for
  BOOST_TEST(r.deinit() == gpa::check::ok);
}
