#define BOOST_TEST_MODULE stats
#include "support/modes.hpp"
#include "support/upstreams.hpp"
#include "support/witness.hpp"

#include <gpa/resource.hpp>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace {

using gpa::test::every_mode;
using gpa::test::mode;
using gpa::test::recording_upstream;
using gpa::test::witness;

// Picked blocks lie in addresses of their own, in multiples of 64 KiB.
bool is_what_was_given(std::size_t held, const gpa::test::recording_upstream& upstream, const mode& m)
{
  const std::size_t given = upstream.live_bytes();
  return held == given || (gpa::test::is_sampled(m) && held > given && (held - given) % 65'536 == 0);
}

template <class F>
void in_every_mode(F f)
{
  for (const mode& m : every_mode()) {
    BOOST_TEST_CONTEXT(m.name) f(m);
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_new_resource_counts_zero)
{
  in_every_mode([](const mode& m) {
    const gpa::resource r(m.options);
    const gpa::statistics s = r.stats();
    for (const std::size_t n : {s.live_blocks, s.live_bytes, s.peak_blocks, s.peak_bytes, s.total_blocks, s.total_bytes,
                                s.held_bytes, s.mistakes, s.upstream_calls})
      BOOST_TEST(n == 0u);
  });
}

BOOST_AUTO_TEST_CASE(blocks_and_bytes_are_counted_as_they_were_asked_for)
{
  in_every_mode([](const mode& m) {
    gpa::resource r(m.options);
    void* const a = r.allocate(13, 8);
    void* const b = r.allocate(0, 64);
    void* const c = r.allocate(200'001, 16);
    gpa::statistics s = r.stats();
    BOOST_TEST(s.live_blocks == 3u);
    BOOST_TEST(s.live_bytes == 200'014u);
    BOOST_TEST(s.total_blocks == 3u);
    BOOST_TEST(s.total_bytes == 200'014u);
    BOOST_TEST(s.peak_blocks == 3u);
    BOOST_TEST(s.peak_bytes == 200'014u);
    BOOST_TEST(s.held_bytes >= 200'014u);
    BOOST_TEST(s.mistakes == 0u);
    r.deallocate(c, 200'001, 16);
    s = r.stats();
    BOOST_TEST(s.live_blocks == 2u);
    BOOST_TEST(s.live_bytes == 13u);
    BOOST_TEST(s.total_blocks == 3u);
    BOOST_TEST(s.total_bytes == 200'014u);
    BOOST_TEST(s.peak_blocks == 3u);
    BOOST_TEST(s.peak_bytes == 200'014u);
    r.deallocate(a, 13, 8);
    r.deallocate(b, 0, 64);
    s = r.stats();
    BOOST_TEST(s.live_blocks == 0u);
    BOOST_TEST(s.live_bytes == 0u);
    BOOST_TEST(s.peak_blocks == 3u);
  });
}

BOOST_AUTO_TEST_CASE(a_resize_moves_bytes_and_no_blocks)
{
  in_every_mode([](const mode& m) {
    gpa::resource r(m.options);
    void* const p = r.allocate(100, 8);
    BOOST_TEST(r.try_resize(p, 100, 103, 8));
    BOOST_TEST(r.stats().live_bytes == 103u);
    BOOST_TEST(r.try_resize(p, 103, 98, 8));
    const gpa::statistics s = r.stats();
    BOOST_TEST(s.live_blocks == 1u);
    BOOST_TEST(s.total_blocks == 1u);
    BOOST_TEST(s.live_bytes == 98u);
    BOOST_TEST(s.peak_bytes >= 103u);
    r.deallocate(p, 98, 8);
    BOOST_TEST(r.stats().live_bytes == 0u);
  });
}

// One block at a time is live, but from thread to thread: counts read one after the other must not find it twice.
BOOST_AUTO_TEST_CASE(a_block_that_moves_between_threads_is_never_counted_twice)
{
  in_every_mode([](const mode& m) {
    if (!m.options.thread_safe) return;
    gpa::resource r(m.options);
    std::atomic<unsigned> turns{0};
    std::vector<std::thread> threads;
    constexpr unsigned count = 3;
    for (unsigned t = 0; t != count; ++t) {
      threads.emplace_back([&, t] {
        for (unsigned turn = t; turn < 3'000; turn += count) {
          for (unsigned now = turns.load(); now != turn; now = turns.load()) turns.wait(now);
          r.deallocate(r.allocate(100, 8), 100, 8);
          turns.store(turn + 1);
          turns.notify_all();
        }
      });
    }
    std::size_t above = 0;
    while (turns.load() != 3'000)
      if (const gpa::statistics s = r.stats(); s.live_blocks > 1 || s.live_bytes > 100) ++above;
    for (std::thread& t : threads) t.join();
    BOOST_TEST(above == 0u);
    BOOST_TEST(r.stats().peak_blocks <= 1u);
    BOOST_TEST(r.stats().peak_bytes <= 100u);
  });
}

BOOST_AUTO_TEST_CASE(a_refused_or_impossible_allocation_is_not_counted)
{
  in_every_mode([](const mode& m) {
    gpa::resource r(m.options);
    r.deallocate(r.allocate(24, 8), 24, 8);
    const gpa::statistics before = r.stats();
    BOOST_TEST(r.try_allocate((std::size_t{1} << 47) - 65'536) == nullptr);
    BOOST_TEST(r.try_allocate(std::size_t{1} << 60) == nullptr);
    const gpa::statistics after = r.stats();
    BOOST_TEST(after.total_blocks == before.total_blocks);
    BOOST_TEST(after.total_bytes == before.total_bytes);
    BOOST_TEST(after.live_bytes == 0u);
    BOOST_TEST(after.held_bytes == before.held_bytes);
  });
}

BOOST_AUTO_TEST_CASE(sums_are_right_after_threads_are_gone)
{
  in_every_mode([](const mode& m) {
    if (!m.options.thread_safe) return;
    gpa::resource r(m.options);
    std::vector<std::vector<void*>> kept(8);
    for (int round = 0; round != 3; ++round) {
      std::vector<std::thread> threads;
      for (std::vector<void*>& mine : kept)
        threads.emplace_back([&r, &mine] {
          for (int i = 0; i != 1'000; ++i) r.deallocate(r.allocate(50, 8), 50, 8);
          for (int i = 0; i != 10; ++i) mine.push_back(r.allocate(7, 1));
        });
      for (std::thread& t : threads) t.join();
    }
    gpa::statistics s = r.stats();
    BOOST_TEST(s.live_blocks == 240u);
    BOOST_TEST(s.live_bytes == 240u * 7);
    BOOST_TEST(s.total_blocks == 24u * 1'010);
    BOOST_TEST(s.total_bytes == 24u * (50'000 + 70));
    for (const std::vector<void*>& mine : kept)
      for (void* const p : mine) r.deallocate(p, 7, 1);
    s = r.stats();
    BOOST_TEST(s.live_blocks == 0u);
    BOOST_TEST(s.live_bytes == 0u);
    BOOST_TEST(s.total_blocks == 24u * 1'010);
  });
}

BOOST_AUTO_TEST_CASE(mistakes_are_counted_and_leaks_are_none)
{
  witness w;
  gpa::resource r(w.listening());
  void* const p = r.allocate(24, 8);
  r.deallocate(p, 23, 8);
  BOOST_TEST(r.stats().mistakes == 1u);
  r.deallocate(p, 24, 8);
  r.deallocate(p, 24, 8);
  r.deallocate(reinterpret_cast<void*>(16), 24, 8);
  BOOST_TEST(r.stats().mistakes == 3u);
  static_cast<void>(r.allocate(24, 8));
  BOOST_TEST(r.detect_leaks() == 1u);
  BOOST_TEST(r.stats().mistakes == 3u);
  BOOST_TEST((r.deinit() == gpa::check::leak));
  BOOST_TEST(r.stats().mistakes == 3u);
  BOOST_TEST(w.count() == 5u);
}

BOOST_AUTO_TEST_CASE(trim_gives_back_what_is_free)
{
  in_every_mode([](const mode& m) {
    if (m.options.quarantine_bytes == gpa::unlimited) return;  // every address stays
    for (const bool own_upstream : {false, true}) {
      recording_upstream upstream;
      gpa::resource r(m.options, own_upstream ? &upstream : nullptr);
      std::vector<void*> blocks;
      for (int i = 0; i != 20'000; ++i) blocks.push_back(r.allocate(500, 8));
      const std::size_t full = r.stats().held_bytes;
      BOOST_TEST(full >= 20'000u * 500);
      if (own_upstream) BOOST_TEST(is_what_was_given(full, upstream, m));
      for (void* const p : blocks) r.deallocate(p, 500, 8);
      r.trim();
      const std::size_t trimmed = r.stats().held_bytes;
      BOOST_TEST(trimmed < full / 10, (own_upstream ? "over an upstream" : "over pages"));
      if (own_upstream) BOOST_TEST(is_what_was_given(trimmed, upstream, m));
      for (void*& p : blocks) p = r.allocate(500, 8);  // and is taken again
      BOOST_TEST(r.stats().held_bytes >= 20'000u * 500);
      for (void* const p : blocks) r.deallocate(p, 500, 8);
      BOOST_TEST((r.deinit() == gpa::check::ok));
    }
  });
}

BOOST_AUTO_TEST_CASE(nothing_is_held_after_deinit_when_everything_was_freed)
{
  in_every_mode([](const mode& m) {
    for (const bool own_upstream : {false, true}) {
      recording_upstream upstream;
      gpa::resource r(m.options, own_upstream ? &upstream : nullptr);
      for (const std::size_t bytes : {24U, 30'000U, 200'000U, 5'000'000U})
        for (int i = 0; i != 20; ++i) r.deallocate(r.allocate(bytes, 8), bytes, 8);
      BOOST_TEST((r.deinit() == gpa::check::ok));
      BOOST_TEST(r.stats().held_bytes == 0u);
      BOOST_TEST(upstream.live() == 0u);
    }
  });
}

BOOST_AUTO_TEST_CASE(held_bytes_are_what_the_upstream_gave)
{
  in_every_mode([](const mode& m) {
    recording_upstream upstream;
    gpa::resource r(m.options, &upstream);
    std::vector<void*> blocks;
    for (const std::size_t bytes : {24U, 1'000U, 30'000U, 200'000U}) {
      blocks.push_back(r.allocate(bytes, 8));
      BOOST_TEST(is_what_was_given(r.stats().held_bytes, upstream, m));
    }
    r.deallocate(blocks[3], 200'000, 8);
    BOOST_TEST(is_what_was_given(r.stats().held_bytes, upstream, m));
    r.deallocate(blocks[2], 30'000, 8);
    r.deallocate(blocks[1], 1'000, 8);
    r.deallocate(blocks[0], 24, 8);
    r.trim();
    BOOST_TEST(r.stats().held_bytes == upstream.live_bytes());
  });
}

BOOST_AUTO_TEST_CASE(picked_blocks_cost_the_upstream_nothing)
{
  recording_upstream upstream;
  gpa::resource r({.checks = gpa::checks::one_in(2)}, &upstream);
  std::vector<void*> blocks;
  for (int i = 0; i != 64; ++i) blocks.push_back(r.allocate(100'000, 8));
  BOOST_TEST(r.stats().held_bytes >= 64u * 100'000);
  BOOST_TEST(upstream.live_bytes() >= 16u * 100'000);
  BOOST_TEST(upstream.live_bytes() <= r.stats().held_bytes - 16 * 100'000);
  for (void* const p : blocks) r.deallocate(p, 100'000, 8);
  BOOST_TEST((r.deinit() == gpa::check::ok));
  BOOST_TEST(r.stats().held_bytes == 0u);
  BOOST_TEST(upstream.live() == 0u);
}

BOOST_AUTO_TEST_CASE(calls_of_the_upstream_are_counted_each_way)
{
  in_every_mode([](const mode& m) {
    recording_upstream upstream;
    gpa::resource r(m.options, &upstream);
    if (!gpa::test::is_sampled(m)) upstream.refuse(1, 1);  // which of its blocks is picked is left to chance
    r.deallocate(r.allocate(24, 8), 24, 8);
    BOOST_TEST(r.stats().upstream_calls == (gpa::test::is_sampled(m) ? upstream.asked() : 1u));
    void* const refused = r.try_allocate(200'000);  // a call all the same
    BOOST_TEST((refused == nullptr || gpa::test::is_sampled(m)));
    if (refused != nullptr) r.deallocate(refused, 200'000);
    BOOST_TEST(r.stats().upstream_calls == upstream.asked() + upstream.returned());
    r.deallocate(r.allocate(200'000), 200'000);
    r.trim();
    BOOST_TEST((r.deinit() == gpa::check::ok));
    BOOST_TEST(r.stats().upstream_calls == upstream.asked() + upstream.returned());
    BOOST_TEST((upstream.returned() == 2u || gpa::test::is_sampled(m)));

    gpa::resource pages(m.options);
    pages.deallocate(pages.allocate(200'000), 200'000);
    BOOST_TEST(pages.stats().upstream_calls == 0u);
  });
}
