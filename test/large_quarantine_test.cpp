// What becomes of freed large blocks by options::protect_large: inaccessible, or poisoned and used again.
#define BOOST_TEST_MODULE large_quarantine
#include <gpa/resource.hpp>

#include "os/page_cost.hpp"
#include "support/accomplices.hpp"
#include "support/death.hpp"
#include "support/mappings.hpp"
#include "support/resident.hpp"
#include "support/suspects.hpp"
#include "support/witness.hpp"

#include <boost/test/unit_test.hpp>
#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace gpa::test;
using gpa::mistake;

constexpr std::size_t kib = 1024, mib = 1024 * kib;

gpa::options with(gpa::protect_large p, std::size_t quarantine = 256 * kib)
{
  return {.name = "large",
          .checks = gpa::checks::always(),
          .quarantine_bytes = quarantine,
          .stack_frames = 0,
          .protect_large = p};
}

constexpr auto always = gpa::protect_large::always, never = gpa::protect_large::never,
               automatic = gpa::protect_large::automatic;

void* allocated_and_freed(gpa::resource& r, std::size_t bytes)
{
  void* const p = obtain(r, bytes);
  std::memset(p, 1, bytes);
  discard(r, p, bytes);
  return p;
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_moving_pages_costs_is_measured_once_and_leaves_nothing)  // before any other asks
{
  const std::size_t before = mappings();
  const bool dear = gpa::detail::moving_pages_is_dear();
  for (int i = 0; i != 100; ++i) BOOST_TEST(gpa::detail::moving_pages_is_dear() == dear);
  if (!sanitized) BOOST_TEST(mappings() <= before + 1);  // shadow memory has mappings too
}

BOOST_AUTO_TEST_CASE(a_freed_block_is_closed_or_poisoned_as_the_option_says)
{
  for (const std::size_t bytes : {32 * kib + 1, 64 * kib, 1 * mib, 8 * mib}) {
    gpa::resource closes(with(always));
    BOOST_TEST(!is_accessible(allocated_and_freed(closes, bytes)));
    gpa::resource fills(with(never));
    void* const p = allocated_and_freed(fills, bytes);
    BOOST_TEST(is_accessible(p));
    BOOST_TEST(stray_read(p, 0) != 1);
    BOOST_TEST(stray_read(p, static_cast<std::ptrdiff_t>(bytes) - 1) != 1);
    BOOST_TEST(fills.verify() == 0u);
  }
}

BOOST_AUTO_TEST_CASE(very_large_ones_and_long_quarantine_and_great_alignment_are_closed_in_any_case)
{
  gpa::resource r(with(never));
  BOOST_TEST(!is_accessible(allocated_and_freed(r, 8 * mib + 1)));
  void* const aligned = r.allocate(100 * kib, 256 * kib);
  r.deallocate(aligned, 100 * kib, 256 * kib);
  BOOST_TEST(!is_accessible(aligned));
  for (const std::size_t quarantine : {gpa::unlimited, 64 * mib + 1}) {
    gpa::resource keeps(with(never, quarantine));
    BOOST_TEST(!is_accessible(allocated_and_freed(keeps, 64 * kib)));
  }
}

BOOST_AUTO_TEST_CASE(a_block_that_was_hardly_touched_is_closed_and_its_pages_are_not_made_for_poison)
{
  ::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);  // a huge page is touched as a whole
  gpa::resource r(with(never));
  const std::size_t before = resident_bytes();
  std::vector<void*> hardly;
  for (int i = 0; i != 20; ++i) hardly.push_back(obtain(r, 8 * mib - 1));
  for (void* const p : hardly) {
    std::memset(p, 1, 8 * kib);
    discard(r, p, 8 * mib - 1);
  }
  for (void* const p : hardly) BOOST_TEST(!is_accessible(p));
  if (!sanitized) BOOST_TEST(resident_bytes() < before + 2 * mib);
  void* const half = obtain(r, 1 * mib - 1);
  std::memset(half, 1, 513 * kib);
  discard(r, half, 1 * mib - 1);
  BOOST_TEST(is_accessible(half));
  ::prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
}

BOOST_AUTO_TEST_CASE(the_first_2_mib_of_a_process_are_closed_and_then_the_machine_decides)
{
  const ending e = in_child([] {
    gpa::resource r(with(automatic));
    for (int i = 0; i != 2; ++i)
      if (is_accessible(allocated_and_freed(r, 1 * mib - 1))) ::_exit(1);
    for (int i = 0; i != 3; ++i) allocated_and_freed(r, 1 * mib - 1);
    const bool dear = gpa::detail::moving_pages_is_dear();
    if (is_accessible(allocated_and_freed(r, 1 * mib - 1)) != dear) ::_exit(2);
    gpa::resource closes(with(always));
    if (is_accessible(allocated_and_freed(closes, 1 * mib - 1))) ::_exit(3);
  });
  BOOST_TEST(e.is_clean(), e);
}

BOOST_AUTO_TEST_CASE(an_address_comes_again_after_its_quarantine_and_not_before)
{
  gpa::resource r(with(never, 1 * mib));
  constexpr std::size_t bytes = 200 * kib;  // 256 KiB of addresses
  const void* const first = allocated_and_freed(r, bytes);
  for (int i = 0; i != 4; ++i) BOOST_TEST(allocated_and_freed(r, bytes) != first);
  BOOST_TEST(allocated_and_freed(r, bytes) == first);
}

BOOST_AUTO_TEST_CASE(a_block_takes_the_place_of_one_a_little_larger_and_of_no_smaller_or_much_larger_one)
{
  gpa::resource r(with(never, 0));
  const void* const place = allocated_and_freed(r, 1 * mib - 1);
  void* const larger = obtain(r, 1 * mib);
  void* const much_smaller = obtain(r, 500 * kib);
  BOOST_TEST(larger != place);
  BOOST_TEST(much_smaller != place);
  void* const fits = obtain(r, 960 * kib);
  BOOST_TEST(fits == place);
  std::memset(fits, 2, 960 * kib);
  BOOST_TEST(r.verify() == 0u);
  discard(r, fits, 960 * kib);
  BOOST_TEST(r.verify() == 0u);
  discard(r, larger, 1 * mib);
  discard(r, much_smaller, 500 * kib);
}

BOOST_AUTO_TEST_CASE(a_freed_block_is_a_double_free_until_somebody_has_its_address)
{
  witness w;
  gpa::resource r(w.listening(with(never, 0)));
  void* const p = allocated_and_freed(r, 100 * kib);
  for (int i = 0; i != 50; ++i) allocated_and_freed(r, 2 * mib);  // its quarantine is long over
  blunder(r, p, 100 * kib);
  blunder(r, p, 99 * kib);
  blunder(r, moved(p, 64), 100 * kib);
  BOOST_TEST(w.count() == 3u);
  BOOST_TEST(w.count(mistake::double_free) == 2u);
  BOOST_TEST(w.count(mistake::invalid_pointer) == 1u);
  void* const again = obtain(r, 100 * kib);
  BOOST_TEST(again == p);
  blunder(r, again, 99 * kib);
  BOOST_TEST(w.count(mistake::size_mismatch) == 1u);
  discard(r, again, 100 * kib);
  BOOST_TEST(w.count() == 4u);
}

BOOST_AUTO_TEST_CASE(a_write_after_free_is_told_by_whoever_looks_first_and_once)
{
  constexpr std::size_t bytes = 300 * kib;
  const auto found_by = [&](auto look) {
    witness w;
    gpa::resource r(w.listening(with(never, 0)));
    void* const p = allocated_and_freed(r, bytes);
    stray_write(p, 100);
    look(r);
    look(r);
    BOOST_TEST_REQUIRE(w.count() == 1u);
    const gpa::report told = w.take().front();
    BOOST_TEST((told.kind == mistake::write_after_free));
    BOOST_TEST(told.address == p);
    BOOST_TEST(told.bytes == bytes);
    BOOST_TEST(told.offset == 100u);
    BOOST_TEST(told.damaged == 1u);
    BOOST_TEST(changes(told) == "100:41");
  };
  found_by([](gpa::resource& r) { static_cast<void>(r.verify()); });
  found_by([](gpa::resource& r) { r.trim(); });
  found_by([](gpa::resource& r) { allocated_and_freed(r, bytes); });
  found_by([](gpa::resource& r) { static_cast<void>(r.deinit()); });
  witness w;
  gpa::resource r(w.listening(with(never, 0)));
  stray_write(allocated_and_freed(r, bytes), 100);
  r.release();  // checks nothing
  BOOST_TEST(w.count() == 0u);
}

BOOST_AUTO_TEST_CASE(what_waits_is_bounded_and_trim_closes_it)
{
  gpa::resource r(with(never));
  std::vector<void*> blocks;
  for (int i = 0; i != 100; ++i) {
    blocks.push_back(obtain(r, 1 * mib - 1));
    std::memset(blocks.back(), 1, 1 * mib - 1);
  }
  for (void* const p : blocks) discard(r, p, 1 * mib - 1);
  BOOST_TEST(r.stats().held_bytes <= 25 * mib);
  BOOST_TEST(r.stats().held_bytes >= 22 * mib);
  BOOST_TEST(!is_accessible(blocks.front()));
  BOOST_TEST(is_accessible(blocks.back()));
  r.trim();
  BOOST_TEST(r.stats().held_bytes <= 64 * kib);
  for (void* const p : blocks) BOOST_TEST(!is_accessible(p));
  BOOST_TEST(r.deinit() == gpa::check::ok);
}

BOOST_AUTO_TEST_CASE(what_is_closed_after_all_is_looked_at_before_and_stays_a_freed_block)
{
  witness w;
  gpa::resource r(w.listening(with(never)));
  constexpr std::size_t bytes = 1 * mib - 1;
  std::vector<void*> blocks;
  for (int i = 0; i != 40; ++i) {
    blocks.push_back(obtain(r, bytes));
    std::memset(blocks.back(), 1, bytes);
  }
  discard(r, blocks[0], bytes);
  stray_write(blocks[0], 5);
  for (int i = 1; i != 40; ++i) discard(r, blocks[static_cast<std::size_t>(i)], bytes);
  BOOST_TEST_REQUIRE(w.count() == 1u);
  const gpa::report told = w.take().front();
  BOOST_TEST((told.kind == mistake::write_after_free));
  BOOST_TEST(told.address == blocks[0]);
  BOOST_TEST(!is_accessible(blocks[0]));
  blunder(r, blocks[0], bytes);
  BOOST_TEST(w.count(mistake::double_free) == 1u);
}

BOOST_AUTO_TEST_CASE(a_steady_loop_takes_no_more_addresses)
{
  gpa::resource r(with(never));
  const auto work = [&r](int times) {
    std::mt19937 random(5);
    for (int i = 0; i != times; ++i) allocated_and_freed(r, (random() % 20 + 1) * 50 * kib);
  };
  work(100);
  const std::size_t held = r.stats().held_bytes;
  const std::size_t before = status_kib("VmSize");
  work(rounds(1'000));
  BOOST_TEST(r.stats().held_bytes <= std::max(held, 25 * mib));
  if (!sanitized) BOOST_TEST(status_kib("VmSize") <= before + 64 * kib);
}

BOOST_AUTO_TEST_CASE(an_overflow_and_a_leak_of_a_place_used_again_are_told_of_its_new_block)
{
  witness w;
  gpa::resource r(w.listening(with(never, 0)));
  void* const p = allocated_and_freed(r, 100 * kib);
  void* const again = obtain(r, 90 * kib);
  BOOST_TEST(again == p);
  stray_write(again, 90 * kib);
  discard(r, again, 90 * kib);
  BOOST_TEST_REQUIRE(w.count() == 1u);
  BOOST_TEST((w.take().front().kind == mistake::overflow));
  BOOST_TEST(obtain(r, 95 * kib) == p);
  BOOST_TEST(r.deinit() != gpa::check::ok);
  const auto told = w.take();
  BOOST_TEST_REQUIRE(told.size() == 1u);
  BOOST_TEST((told.front().kind == mistake::leak));
  BOOST_TEST(told.front().total_bytes == 95 * kib);
}

BOOST_AUTO_TEST_CASE(threads_use_again_what_others_freed_while_somebody_looks_and_trims)
{
  witness w;
  gpa::resource r(w.listening(with(never, 0)));
  const auto work = [&r](unsigned seed) {
    std::mt19937 random(seed);
    std::array<std::pair<unsigned char*, std::size_t>, 8> live{};
    const auto drop = [&r, seed](auto& block) {
      auto& [p, bytes] = block;
      if (p == nullptr) return true;
      const bool mine = p[0] == seed && p[bytes - 1] == seed;
      r.deallocate(p, bytes);
      return mine;
    };
    bool right = true;
    for (int i = 0; i != rounds(5'000); ++i) {
      auto& block = live[random() % live.size()];
      right = drop(block) && right;
      block.second = (random() % 12 + 1) * 33 * kib;
      block.first = static_cast<unsigned char*>(r.allocate(block.second));
      block.first[0] = block.first[block.second - 1] = static_cast<unsigned char>(seed);
    }
    for (auto& block : live) right = drop(block) && right;
    if (!right) std::abort();
  };
  std::thread first(work, 1);
  std::thread second(work, 2);
  for (int i = 0; i != 200; ++i) {
    if (i % 8 == 0) r.trim();
    BOOST_TEST(r.verify() == 0u);
    if (i % 16 == 1) static_cast<void>(r.detect_leaks());
  }
  first.join();
  second.join();
  BOOST_TEST(r.verify() == 0u);
  BOOST_TEST(r.deinit() == gpa::check::ok);
  BOOST_TEST(w.count() == w.count(mistake::leak));  // live blocks that were looked for
}

BOOST_AUTO_TEST_CASE(a_racing_double_free_of_a_poisoned_block_is_told_once_for_each_too_many)
{
  witness w;
  gpa::resource r(w.listening(with(never, 64 * mib)));  // no address is used twice here
  for (int i = 0; i != rounds(200); ++i) {
    void* const p = obtain(r, 40 * kib);
    std::thread other([&] { blunder(r, p, 40 * kib); });
    blunder(r, p, 40 * kib);
    other.join();
  }
  BOOST_TEST(w.count(mistake::double_free) == static_cast<std::size_t>(rounds(200)));
  BOOST_TEST(w.count() == static_cast<std::size_t>(rounds(200)));
}

BOOST_AUTO_TEST_CASE(a_stale_pointer_freed_while_its_place_is_used_again_hurts_no_list)
{
  std::atomic<int> double_frees{0}, others{0};
  gpa::options o = with(never, 0);
  o.after_mistake = gpa::after_mistake::carry_on;
  o.on_report = [&](const gpa::report& told) { ++(told.kind == mistake::double_free ? double_frees : others); };
  gpa::resource r(o);
  constexpr std::size_t bytes = 40 * kib;
  std::atomic<void*> stale{allocated_and_freed(r, bytes)};
  std::atomic<bool> over{false};
  std::thread other([&] {
    for (; !over.load(); std::this_thread::yield()) blunder(r, stale.load(), bytes);
  });
  std::thread looker([&] {
    for (; !over.load(); std::this_thread::yield()) static_cast<void>(r.verify());
  });
  for (int i = 0; i < rounds(3'000) || (double_frees.load() < 10 && i < 10'000'000); ++i) {
    void* const p = r.allocate(bytes);
    stale.store(p);
    r.deallocate(p, bytes);  // or it was the other's free that counted
  }
  over.store(true);
  other.join();
  looker.join();
  BOOST_TEST(double_frees.load() > 0);
  BOOST_TEST(others.load() == 0);
  std::vector<void*> all;
  for (int i = 0; i != 100; ++i) all.push_back(obtain(r, bytes));
  std::sort(all.begin(), all.end());
  BOOST_TEST((std::adjacent_find(all.begin(), all.end()) == all.end()));
  for (void* const p : all) discard(r, p, bytes);
  BOOST_TEST(r.stats().live_blocks == 0u);
  BOOST_TEST(r.verify() == 0u);
}
