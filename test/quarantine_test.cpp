#define BOOST_TEST_MODULE quarantine
#include "checked/quarantine.hpp"

#include "support/witness.hpp"

#include <gpa/resource.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <unordered_set>
#include <vector>

namespace {

using namespace gpa::detail;

constexpr std::size_t mib = std::size_t{1} << 20;

// How much longer than its quarantine a slot may wait: two of the clock's units.
constexpr std::size_t coarse(std::size_t quarantine)
{
  return std::size_t{2} << quarantine_rule::of(quarantine).shift;
}

// The clock alone: a slot freed at `start` bytes, then slots of `step` bytes until its wait is over.
// Returns the bytes freed after it.
std::size_t waited(std::size_t quarantine, std::uint64_t start, std::size_t step)
{
  checked_cache k;
  k.rule = quarantine_rule::of(quarantine);
  k.clock = start - k.rule.least_step;
  k.advance(0);
  const ring_entry freed = ring_entry::make(nullptr, nullptr, k.now);
  std::size_t bytes = 0;
  while (!k.is_over(freed)) {
    k.advance(step);
    bytes += step;
  }
  return bytes;
}

// What a program sees: the bytes of slots freed between a block's free and the next block at its address, when blocks
// of `bytes` in slots of `slot` are allocated and freed in turns; `most` if that never happened.
std::size_t freed_before_reuse(gpa::resource& r, std::size_t bytes, std::size_t slot, std::size_t most)
{
  void* const first = r.allocate(bytes, 8);
  r.deallocate(first, bytes, 8);
  std::size_t freed = 0;
  while (freed < most) {
    void* const p = r.allocate(bytes, 8);
    r.deallocate(p, bytes, 8);
    if (p == first) return freed;
    freed += slot;
  }
  return most;
}

// Slots that a thread has ready already, or opens up for the first time, go before those whose wait is over.
constexpr std::size_t soon = 512;

gpa::options with_quarantine(std::size_t bytes)
{
  return {.checks = gpa::checks::always(), .quarantine_bytes = bytes, .stack_frames = 0};
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_ring_entry_gives_back_slot_record_and_time)
{
  const auto top = (std::uint64_t{1} << 47);
  for (const std::uint64_t slot : {std::uint64_t{16}, std::uint64_t{0x7f00'1234'5670}, top - 16}) {
    for (const std::uint64_t rec : {std::uint64_t{16}, std::uint64_t{0x7fff'0000'0010}, top - 16}) {
      for (const std::uint32_t time : {0U, 1U, 0xFFFFU, 0x10000U, 0x123456U, ring_entry::time_mask}) {
        const ring_entry e =
            ring_entry::make(reinterpret_cast<std::byte*>(slot), reinterpret_cast<gpa::detail::record*>(rec), time);
        BOOST_TEST(reinterpret_cast<std::uint64_t>(e.slot()) == slot);
        BOOST_TEST(reinterpret_cast<std::uint64_t>(e.record) == rec);
        BOOST_TEST(e.time() == time);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(no_quarantine_is_over_at_once)
{
  BOOST_TEST(waited(0, 0, 16) == 0u);
  BOOST_TEST(waited(0, 12'345, 16) == 0u);
}

BOOST_AUTO_TEST_CASE(a_slot_waits_for_its_quarantine_and_not_much_longer)
{
  for (const std::size_t quarantine : {std::size_t{1}, std::size_t{17}, std::size_t{4096}, std::size_t{65'535},
                                       std::size_t{65'536}, std::size_t{100'000}, mib, mib + 1, 100 * mib}) {
    for (const std::size_t step : {16U, 48U, 1152U, 36'864U}) {
      for (const std::uint64_t start : {0U, 16U, 48U, 1'000'000U}) {
        if (quarantine / 16'384 > step) continue;  // bounded by blocks: the next test
        const std::size_t freed = waited(quarantine, start, step);
        if (freed < quarantine || freed > quarantine + step + coarse(quarantine))
          BOOST_ERROR("freed " << freed << " of " << quarantine << " bytes, " << step << " at a time from " << start);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_slot_waits_for_16384_blocks_at_most)
{
  for (const std::size_t quarantine :
       {mib, 16'384 * std::size_t{17} + 16'383, 64 * mib, 1024 * mib, std::size_t{1} << 40}) {
    const std::size_t blocks = waited(quarantine, 0, 16) / 16;
    BOOST_TEST(blocks <= 16'384u);
    BOOST_TEST(blocks * quarantine_rule::of(quarantine).least_step >= quarantine);
  }
}

BOOST_AUTO_TEST_CASE(the_clock_may_wrap)
{
  for (const std::size_t quarantine : {std::size_t{4096}, mib}) {
    const quarantine_rule rule = quarantine_rule::of(quarantine);
    const std::uint64_t wrap = (std::uint64_t{ring_entry::time_mask} + 1)
                               << rule.shift;  // where the time kept with a slot starts again
    for (const std::size_t before : {std::size_t{16}, quarantine / 2, quarantine}) {
      const std::size_t freed = waited(quarantine, wrap - before, 80);
      BOOST_TEST(freed >= quarantine);
      BOOST_TEST(freed <= quarantine + 80 + coarse(quarantine));
    }
  }
}

BOOST_AUTO_TEST_CASE(an_unlimited_quarantine_is_endless_and_no_other_is)
{
  BOOST_TEST(quarantine_rule::of(gpa::unlimited).endless);
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, mib, std::size_t{1} << 40})
    BOOST_TEST(!quarantine_rule::of(bytes).endless);
}

BOOST_AUTO_TEST_CASE(a_ring_never_needs_more_room_than_the_rule_says)
{
  for (const std::size_t quarantine :
       {std::size_t{0}, std::size_t{1}, std::size_t{4096}, std::size_t{100'000}, mib, 1024 * mib}) {
    for (unsigned c = 1; c != class_count; ++c) {
      const std::size_t slot = slot_size(c);
      const std::size_t waiting = waited(quarantine, 0, slot) / slot;
      if (waiting > quarantine_rule::of(quarantine).most_slots(slot))
        BOOST_ERROR(waiting << " slots of " << slot << " bytes wait in a quarantine of " << quarantine);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_batch_is_64_kib_or_64_slots)
{
  for (unsigned c = 1; c != class_count; ++c) {
    const std::uint32_t slots = batch_slots(slot_size(c));
    BOOST_TEST((slots >= 1 && slots <= 64));
    BOOST_TEST((slots == 64 || (slots + 1) * slot_size(c) > 65'536));
    BOOST_TEST((slots == 1 || slots * slot_size(c) <= 65'536));
  }
}

BOOST_AUTO_TEST_CASE(an_address_rests_until_its_quarantine_was_freed_and_comes_back_after_it)
{
  for (const std::size_t quarantine : {std::size_t{4096}, std::size_t{65'536}, 300 * std::size_t{1024}}) {
    for (const std::size_t bytes : {8U, 40U, 1000U, 30'000U}) {
      gpa::resource r(with_quarantine(quarantine));
      const std::size_t slot = std::max(slot_size(size_class(bytes + 1)), quarantine_rule::of(quarantine).least_step);
      const std::size_t most = 3 * quarantine + soon * slot;
      const std::size_t freed = freed_before_reuse(r, bytes, slot, most + 1);
      BOOST_TEST(freed >= quarantine, bytes << " bytes, quarantine " << quarantine);
      BOOST_TEST(freed <= most, bytes << " bytes, quarantine " << quarantine);
    }
  }
}

BOOST_AUTO_TEST_CASE(frees_of_any_size_end_the_wait_of_any_other)
{
  gpa::resource r(with_quarantine(65'536));
  void* const first = r.allocate(40, 8);
  r.deallocate(first, 40, 8);
  r.deallocate(r.allocate(30'000, 8), 30'000, 8);
  void* const early = r.allocate(40, 8);
  BOOST_TEST(early != first);
  r.deallocate(r.allocate(30'000, 8), 30'000, 8);
  r.deallocate(r.allocate(30'000, 8), 30'000, 8);
  std::vector<void*> late;
  for (std::size_t i = 0; i != soon; ++i) late.push_back(r.allocate(40, 8));
  BOOST_TEST((std::find(late.begin(), late.end(), first) != late.end()));
  for (void* const p : late) r.deallocate(p, 40, 8);
  r.deallocate(early, 40, 8);
}

BOOST_AUTO_TEST_CASE(a_thread_keeps_16384_blocks_at_most)
{
  gpa::resource r(with_quarantine(std::size_t{1} << 30));
  const std::size_t blocks = freed_before_reuse(r, 8, 1, 100'000);
  BOOST_TEST(blocks >= 16'000u);
  BOOST_TEST(blocks <= 2 * 16'384u);
}

BOOST_AUTO_TEST_CASE(without_a_quarantine_an_address_is_soon_used_again)
{
  gpa::resource r(with_quarantine(0));
  for (const std::size_t bytes : {0U, 8U, 1000U, 30'000U}) BOOST_TEST(freed_before_reuse(r, bytes, 1, soon) < soon);
}

BOOST_AUTO_TEST_CASE(with_an_unlimited_quarantine_no_address_is_used_twice)
{
  gpa::resource r(with_quarantine(gpa::unlimited));
  std::unordered_set<void*> seen;
  std::size_t twice = 0;
  for (std::size_t i = 0; i != 100'000; ++i) {
    const std::size_t bytes = i % 10 == 0 ? 200 : 24;
    void* const p = r.allocate(bytes, 8);
    r.deallocate(p, bytes, 8);
    if (!seen.insert(p).second) ++twice;
    if (i % 20'000 == 19'999) r.trim();
  }
  BOOST_TEST(twice == 0u);
}

BOOST_AUTO_TEST_CASE(an_address_freed_long_ago_is_a_double_free_with_an_unlimited_quarantine)
{
  gpa::test::witness witness;
  gpa::resource r(witness.listening(with_quarantine(gpa::unlimited)));
  void* const first = r.allocate(24, 8);
  r.deallocate(first, 24, 8);
  for (std::size_t i = 0; i != 50'000; ++i) r.deallocate(r.allocate(24, 8), 24, 8);
  r.trim();
  BOOST_TEST(witness.count() == 0u);
  r.deallocate(first, 24, 8);
  BOOST_TEST(witness.count(gpa::mistake::double_free) == 1u);
}

// What one thread frees waits for what that thread frees; another's frees do not shorten it.
BOOST_AUTO_TEST_CASE(each_thread_has_a_quarantine_of_its_own)
{
  gpa::resource r(with_quarantine(65'536));
  void* const first = r.allocate(40, 8);
  r.deallocate(first, 40, 8);
  bool reused = false;
  std::thread([&] {
    for (std::size_t i = 0; i != 10'000; ++i) {
      void* const p = r.allocate(40, 8);
      r.deallocate(p, 40, 8);
      if (p == first) reused = true;
    }
  }).join();
  BOOST_TEST(!reused);
  void* const next = r.allocate(40, 8);
  BOOST_TEST(next != first);
  r.deallocate(next, 40, 8);
}

BOOST_AUTO_TEST_CASE(trim_ends_the_quarantine)
{
  gpa::resource r(with_quarantine(mib));
  void* const first = r.allocate(40, 8);
  void* const held = r.allocate(40, 8);  // keeps the slab
  r.deallocate(first, 40, 8);
  r.trim();
  std::vector<void*> blocks;
  for (std::size_t i = 0; i != 100; ++i) blocks.push_back(r.allocate(40, 8));
  BOOST_TEST((std::find(blocks.begin(), blocks.end(), first) != blocks.end()));
  for (void* const p : blocks) r.deallocate(p, 40, 8);
  r.deallocate(held, 40, 8);
}
