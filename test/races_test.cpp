// Mistakes that threads make at the same moment, and threads that look while others work: as many reports as
// mistakes, and never one about the innocent.
#define BOOST_TEST_MODULE races
#include <gpa/resource.hpp>

#include "support/race.hpp"
#include "support/suspects.hpp"
#include "support/witness.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <random>
#include <set>
#include <thread>
#include <vector>

namespace {

using namespace gpa::test;
using gpa::mistake;

constexpr bool sanitized = GPA_TEST_ASAN != 0 || GPA_TEST_TSAN != 0;
constexpr std::size_t all_rounds = sanitized ? 1000 : 10'000;
constexpr std::size_t all_work = sanitized ? 1000 : 4000;  // rounds of churn while somebody looks

// Works on a resource of its own accord until told to stop.
template <class Work>
class crew {
 public:
  crew(unsigned threads, Work work)
  {
    for (unsigned t = 0; t != threads; ++t)
      threads_.emplace_back([this, work, t] {
        for (std::mt19937 dice(t); !stop_.load(std::memory_order_relaxed); done_.fetch_add(1)) work(dice);
      });
  }
  /// How often the work was done, by all together.
  [[nodiscard]] std::size_t done() const noexcept { return done_.load(); }
  ~crew()
  {
    stop_.store(true);
    for (std::thread& t : threads_) t.join();
  }
  crew(const crew&) = delete;
  crew& operator=(const crew&) = delete;

 private:
  std::atomic<bool> stop_{false};
  std::atomic<std::size_t> done_{0};
  std::vector<std::thread> threads_;
};

constexpr std::array<std::size_t, 6> churn_sizes = {13, 24, 61, 500, 5000, 100'000};

// Some allocations of mixed sizes, written through, freed in another order.
void churn(gpa::resource& r, std::mt19937& dice)
{
  struct block {
    void* p;
    std::size_t bytes;
  };
  std::vector<block> blocks;
  for (int i = 0; i != 40; ++i) {
    const std::size_t bytes = churn_sizes[dice() % (i % 20 == 0 ? 6 : 5)];
    blocks.push_back({r.allocate(bytes), bytes});
    std::memset(blocks.back().p, i, bytes);
    if (i % 3 != 0) continue;
    std::swap(blocks.back(), blocks[dice() % blocks.size()]);
    r.deallocate(blocks.back().p, blocks.back().bytes);
    blocks.pop_back();
  }
  std::shuffle(blocks.begin(), blocks.end(), dice);
  for (const block& b : blocks) {
    std::size_t bytes = b.bytes;
    if (bytes > 50 && r.try_resize(b.p, bytes, bytes - 7)) bytes -= 7;
    r.deallocate(b.p, bytes);
  }
}

void n_threads_free_one_block(unsigned threads, std::size_t bytes, std::size_t rounds)
{
  witness w;
  gpa::resource r(w.listening());
  void* p = nullptr;
  std::size_t wrong = 0;
  race(
      threads, rounds, [&] { p = r.allocate(bytes); }, [&](unsigned) { r.deallocate(p, bytes); },
      [&] {
        const auto told = w.take();
        const bool right =
            told.size() == threads - 1 && std::all_of(told.begin(), told.end(), [&](const gpa::report& t) {
              return t.kind == mistake::double_free && t.address == p && t.bytes == bytes && t.given_bytes == bytes &&
                     !t.here.empty() && !t.allocated.empty();
            });
        if (!right) ++wrong;
      });
  BOOST_TEST(wrong == 0u);
  const gpa::statistics s = r.stats();
  BOOST_TEST(s.mistakes == rounds * (threads - 1));
  BOOST_TEST(s.live_blocks == 0u);
  BOOST_TEST(s.live_bytes == 0u);
  BOOST_TEST(s.total_blocks == rounds);
  BOOST_TEST(is_sound(r));
  BOOST_TEST(r.deinit() == gpa::check::misuse);
  BOOST_TEST(w.count() == 0u);
}

}  // namespace

BOOST_AUTO_TEST_CASE(of_n_threads_that_free_one_block_exactly_n_minus_1_are_told)
{
  n_threads_free_one_block(2, 24, all_rounds);
  n_threads_free_one_block(4, 24, all_rounds);
  n_threads_free_one_block(8, 24, all_rounds);
  n_threads_free_one_block(2, 1000, all_rounds / 8);
  n_threads_free_one_block(4, 5000, all_rounds / 8);
}

BOOST_AUTO_TEST_CASE(of_n_threads_that_free_one_large_block_exactly_n_minus_1_are_told)
{
  n_threads_free_one_block(2, 200'000, all_rounds / 10);
  n_threads_free_one_block(4, 200'000, all_rounds / 10);
}

BOOST_AUTO_TEST_CASE(of_a_wrong_free_against_a_right_one_exactly_the_wrong_one_is_told)
{
  struct pairing {
    std::size_t bytes, wrong_bytes, wrong_alignment;
  };
  for (const pairing& x :
       {pairing{24, 25, 16}, pairing{24, 24 + 65'536, 16}, pairing{24, 24, 32}, pairing{200'000, 200'001, 16}}) {
    witness w;
    gpa::resource r(w.listening());
    void* p = nullptr;
    std::size_t wrong = 0;
    const std::size_t rounds = x.bytes > 32'768 ? all_rounds / 10 : all_rounds;
    race(
        2, rounds, [&] { p = r.allocate(x.bytes); },
        [&](unsigned self) {
          if (self == 0) r.deallocate(p, x.bytes);
          if (self == 1) r.deallocate(p, x.wrong_bytes, x.wrong_alignment);
        },
        [&] {
          const auto told = w.take();
          const bool right =
              told.size() == 1 && told[0].given_bytes == x.wrong_bytes &&
              told[0].given_alignment == x.wrong_alignment && told[0].address == p && told[0].bytes == x.bytes &&
              (told[0].kind == mistake::double_free ||
               told[0].kind == (x.bytes == x.wrong_bytes ? mistake::alignment_mismatch : mistake::size_mismatch));
          if (!right) ++wrong;
        });
    BOOST_TEST(wrong == 0u);
    BOOST_TEST(r.stats().mistakes == rounds);
    BOOST_TEST(r.stats().live_blocks == 0u);
    BOOST_TEST(is_sound(r));
    BOOST_TEST(r.deinit() == gpa::check::misuse);
  }
}

BOOST_AUTO_TEST_CASE(of_a_free_against_a_resize_the_second_is_told)
{
  witness w;
  gpa::resource r(w.listening());
  for (const std::size_t bytes : {24u, 1000u, 200'000u}) {
    void* p = nullptr;
    bool resized = false;
    std::size_t wrong = 0;
    race(
        2, all_rounds / 10, [&] { p = r.allocate(bytes); },
        [&](unsigned self) {
          if (self == 0) r.deallocate(p, bytes);
          if (self == 1) resized = r.try_resize(p, bytes, bytes - 1);
        },
        [&] {
          const auto told = w.take();  // whoever came second gave numbers that were true no more
          const bool right = told.size() == 1 && told[0].address == p &&
                             told[0].kind == (resized ? mistake::size_mismatch : mistake::double_free);
          if (!right) ++wrong;
          if (resized) r.deallocate(p, bytes - 1);
        });
    BOOST_TEST(wrong == 0u);
  }
  BOOST_TEST(r.stats().live_blocks == 0u);
  BOOST_TEST(r.stats().live_bytes == 0u);
  BOOST_TEST(is_sound(r));
}

BOOST_AUTO_TEST_CASE(two_frees_of_a_block_that_verify_looks_at_are_told_once)
{
  witness w;
  gpa::resource r(w.listening());
  void* p = nullptr;
  std::size_t wrong = 0;
  race(
      3, all_rounds / 10, [&] { p = r.allocate(61); },
      [&](unsigned self) {
        if (self == 0) r.verify();
        if (self != 0) r.deallocate(p, 61);
      },
      [&] {
        const auto told = w.take();
        if (told.size() != 1 || told[0].kind != mistake::double_free) ++wrong;
        if (r.stats().live_blocks != 0) ++wrong;
      });
  BOOST_TEST(wrong == 0u);
}

BOOST_AUTO_TEST_CASE(an_overflow_that_verify_and_a_free_both_see_is_told_once)
{
  for (const std::size_t bytes : {61u, 200'000u}) {
    witness w;
    gpa::resource r(w.listening());
    void* p = nullptr;
    std::size_t wrong = 0;
    race(
        2, all_rounds / 20,
        [&] {
          p = r.allocate(bytes);
          stray_write(p, static_cast<std::ptrdiff_t>(bytes));
        },
        [&](unsigned self) {
          if (self == 0) r.verify();
          if (self == 1) r.deallocate(p, bytes);
        },
        [&] {
          const auto told = w.take();
          if (told.size() != 1 || told[0].kind != mistake::overflow || told[0].offset != bytes) ++wrong;
        });
    BOOST_TEST(wrong == 0u);
    BOOST_TEST(r.stats().live_blocks == 0u);
  }
}

BOOST_AUTO_TEST_CASE(verify_in_a_loop_finds_nothing_in_threads_that_make_no_mistake)
{
  for (const std::size_t quarantine : {gpa::default_quarantine, std::size_t{0}, std::size_t{4096}}) {
    witness w;
    gpa::resource r(w.listening({.checks = gpa::checks::always(), .quarantine_bytes = quarantine, .stack_frames = 4}));
    {
      const crew workers(3, [&r](std::mt19937& dice) { churn(r, dice); });
      while (workers.done() < all_work) r.verify();
    }
    for (const gpa::report& t : w.take()) BOOST_TEST(false, gpa::to_string(t));
    BOOST_TEST(r.stats().live_blocks == 0u);
    BOOST_TEST(r.deinit() == gpa::check::ok);
  }
}

// The same few slots with the same numbers again and again: what verify() saw of a block may be the next one's by the
// time it looks twice.
BOOST_AUTO_TEST_CASE(verify_in_a_loop_finds_nothing_in_slots_that_change_hands_all_the_time)
{
  for (const std::size_t bytes : {61u, 1000u}) {
    witness w;
    gpa::resource r(w.listening({.checks = gpa::checks::always(), .quarantine_bytes = 0, .stack_frames = 0}));
    {
      const crew workers(3, [&r, bytes](std::mt19937&) {
        for (int i = 0; i != 1000; ++i) {
          void* const p = r.allocate(bytes);
          std::memset(p, i, bytes);
          r.deallocate(p, bytes);
        }
      });
      while (workers.done() < all_work) r.verify();
    }
    for (const gpa::report& t : w.take()) BOOST_TEST(false, gpa::to_string(t));
    BOOST_TEST(r.deinit() == gpa::check::ok);
  }
}

BOOST_AUTO_TEST_CASE(trim_and_stats_in_a_loop_disturb_nobody)
{
  witness w;
  gpa::resource r(w.listening());
  {
    const crew workers(2, [&r](std::mt19937& dice) { churn(r, dice); });
    std::mt19937 dice(42);
    while (workers.done() < all_work) {
      churn(r, dice);
      r.trim();
      BOOST_TEST_REQUIRE(r.stats().live_blocks <= 3u * 40);
    }
  }
  for (const gpa::report& t : w.take()) BOOST_TEST(false, gpa::to_string(t));
  BOOST_TEST(r.deinit() == gpa::check::ok);
}

BOOST_AUTO_TEST_CASE(detect_leaks_in_a_loop_tells_only_of_blocks_that_are_there)
{
  std::set<std::size_t> allocated;
  for (const std::size_t bytes : churn_sizes) allocated.insert({bytes, bytes - (bytes > 50 ? 7 : 0)});
  witness w;
  gpa::resource r(w.listening());
  void* const kept = r.allocate(777);
  std::size_t wrong = 0;
  std::size_t missed = 0;
  {
    const crew workers(2, [&r](std::mt19937& dice) { churn(r, dice); });
    while (workers.done() < all_work) {
      const std::size_t blocks = r.detect_leaks();
      std::size_t told_blocks = 0;
      bool told_kept = false;
      for (const gpa::report& t : w.take()) {
        told_blocks += t.blocks;
        told_kept = told_kept || t.address == kept;
        const bool right = t.kind == mistake::leak && (t.address == kept || allocated.contains(t.bytes)) &&
                           t.blocks != 0 && t.total_bytes >= t.bytes;
        if (!right) ++wrong;
      }
      if (blocks == 0 || blocks != told_blocks || !told_kept) ++missed;
    }
  }
  BOOST_TEST(wrong == 0u);
  BOOST_TEST(missed == 0u);
  r.deallocate(kept, 777);
  BOOST_TEST(r.detect_leaks() == 0u);
  BOOST_TEST(w.count() == 0u);
  BOOST_TEST(r.deinit() == gpa::check::ok);
}
