#define BOOST_TEST_MODULE quarantine
#include "checked/checked_cache.hpp"
#include "checked/checked_heap.hpp"
#include "checked/quarantine.hpp"

#include <gpa/options.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

namespace {

using namespace gpa::detail;

constexpr std::size_t mib = std::size_t{1} << 20;

// One class of one thread without a heap: slots are freed, and taken again when their wait is over.
class ring {
 public:
  ring(std::size_t quarantine, std::size_t slot)
      : shape_(ring_shape::of(quarantine_rule::of(quarantine), slot)), entries_(shape_.capacity)
  {
    cache_.rule = quarantine_rule::of(quarantine);
    b().arrays = &arrays_;
    b().set_ring(entries_.data(), shape_, cache_.rule.step(slot));
  }
  // False when the ring has no room; everything in it then still waits.
  bool free_one(std::byte* slot = nullptr)
  {
    if (b().tail == b().stop) {
      b().close_period(cache_.clock);
      if (!b().has_room_for_a_period()) return false;
    }
    *b().tail++ = free_slot{slot, nullptr};
    cache_.clock += b().step;
    return true;
  }
  // A slot whose wait is over, as the heap takes them; null if there is none.
  std::byte* take_one()
  {
    if (b().next == b().end && !checked_heap::find_ready(cache_, b())) return nullptr;
    return b().next++->slot;
  }
  // The number of slots whose wait is over, taken.
  std::size_t take_all()
  {
    std::size_t taken = 0;
    while (const std::uint32_t over = cache_.slots_over(b(), b().head)) {
      taken += over;
      b().head += over;
    }
    return taken;
  }
  void somebody_wants_slots() { b().mark_open_period(cache_.clock); }
  void free_others(std::size_t bytes) { cache_.clock += bytes; }
  [[nodiscard]] std::uint64_t clock() const { return cache_.clock; }
  [[nodiscard]] const ring_shape& shape() const { return shape_; }
  bin& b() { return cache_.bins[1]; }

 private:
  ring_shape shape_;
  checked_cache cache_;
  bin_arrays arrays_{};
  std::vector<free_slot> entries_;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_slot_waits_for_its_quarantine_and_not_much_longer)
{
  for (const std::size_t quarantine : {std::size_t{0}, std::size_t{1}, std::size_t{17}, std::size_t{4096},
                                       std::size_t{65'535}, std::size_t{65'536}, std::size_t{100'000}, mib, mib + 1,
                                       100 * mib, std::size_t{1} << 40}) {
    const quarantine_rule rule = quarantine_rule::of(quarantine);
    for (const std::size_t slot : {16U, 48U, 1152U, 36'864U}) {
      ring r(quarantine, slot);
      std::size_t freed = 0;
      std::size_t taken = 0;
      std::size_t early = 0;
      std::size_t late = 0;
      const std::size_t step = rule.step(slot);
      const std::size_t longest = quarantine + step * (r.shape().period + 1);
      for (std::size_t i = 0; i != 5 * r.shape().capacity; ++i) {
        BOOST_REQUIRE(r.free_one());
        ++freed;
        taken += r.take_all();
        // Slot number n was freed when the clock stood at (n + 1) * step.
        if (taken != 0 && r.clock() - taken * step < rule.bytes) ++early;
        if (taken != freed && r.clock() - (taken + 1) * step > longest) ++late;
      }
      BOOST_TEST_CONTEXT("quarantine " << quarantine << ", slot " << slot)
      {
        BOOST_TEST(early == 0u);
        BOOST_TEST(late == 0u);
        BOOST_TEST(taken > 0u);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_slot_waits_for_16384_blocks_at_most)
{
  for (const std::size_t quarantine :
       {mib, 16'384 * std::size_t{17} + 16'383, 64 * mib, 1024 * mib, std::size_t{1} << 40, gpa::unlimited - 2}) {
    ring r(quarantine, 16);
    std::size_t blocks = 0;
    while (r.take_all() == 0) {
      BOOST_REQUIRE(r.free_one());
      ++blocks;
    }
    BOOST_TEST(blocks <= 16'384u);
    BOOST_TEST(blocks >= 14'000u);
    BOOST_TEST(r.shape().capacity <= 32'768u);
  }
}

BOOST_AUTO_TEST_CASE(a_class_that_is_seldom_freed_is_not_kept_for_ever)
{
  ring r(65'536, 48);
  BOOST_REQUIRE(r.free_one());
  r.free_others(65'536);
  BOOST_TEST(r.take_all() == 0u);  // nobody looked at the clock when it was freed
  r.somebody_wants_slots();
  BOOST_REQUIRE(r.free_one());
  r.free_others(65'536 - 49);
  BOOST_TEST(r.take_all() == 0u);
  r.free_others(1);
  BOOST_TEST(r.take_all() == 1u);  // and the one freed behind the mark waits on
  BOOST_TEST(r.take_all() == 0u);
  r.somebody_wants_slots();
  r.free_others(65'536);
  BOOST_TEST(r.take_all() == 1u);
}

BOOST_AUTO_TEST_CASE(each_slot_comes_out_once_and_after_its_wait_in_whatever_order)
{
  std::mt19937 random(7);
  for (const std::size_t quarantine : {std::size_t{0}, std::size_t{4096}, std::size_t{65'536}, mib}) {
    for (const std::size_t slot : {16U, 48U, 560U, 36'864U}) {
      ring r(quarantine, slot);
      const std::size_t room = (r.shape().limit - 1) * r.shape().period;
      std::vector<std::byte> places(4 * r.shape().capacity);
      std::vector<std::size_t> outside(places.size());  // those that nobody freed
      std::iota(outside.begin(), outside.end(), std::size_t{0});
      std::vector<std::uint64_t> freed_at(places.size(), gpa::unlimited);
      std::size_t inside = 0;
      std::size_t early = 0;
      std::size_t twice = 0;
      for (std::size_t i = 0; i != 20 * r.shape().capacity + 20'000; ++i) {
        const bool fills = i / 1'000 % 2 == 0;
        if (random() % 8 < (fills ? 5 : 3) && inside < room && !outside.empty()) {
          std::swap(outside[random() % outside.size()], outside.back());
          const std::size_t n = outside.back();
          outside.pop_back();
          BOOST_REQUIRE(r.free_one(&places[n]));
          freed_at[n] = r.clock();
          ++inside;
        } else if (std::byte* const p = r.take_one(); p != nullptr) {
          const auto n = static_cast<std::size_t>(p - places.data());
          if (freed_at[n] == gpa::unlimited) ++twice;
          if (r.clock() - freed_at[n] < quarantine_rule::of(quarantine).bytes) ++early;
          freed_at[n] = gpa::unlimited;
          outside.push_back(n);
          --inside;
        } else {
          r.somebody_wants_slots();
          r.free_others(random() % (quarantine / 4 + 1));
        }
      }
      r.free_others(quarantine);
      while (r.take_one() != nullptr) --inside;
      r.somebody_wants_slots();
      r.free_others(quarantine);
      while (r.take_one() != nullptr) --inside;
      BOOST_TEST(early == 0u, slot << " bytes, quarantine " << quarantine);
      BOOST_TEST(twice == 0u);
      BOOST_TEST(inside == 0u);
    }
  }
}

// They stand in the ring's array until they are used.
BOOST_AUTO_TEST_CASE(slots_that_are_handed_out_stay_while_the_ring_fills)
{
  std::size_t lost = 0;
  for (std::size_t quarantine = mib; quarantine < 256 * mib; quarantine += quarantine / 7) {
    for (const std::size_t slot : {48U, 560U, 4112U, 36'864U}) {
      ring r(quarantine, slot);
      std::vector<std::byte> places(2 * r.shape().capacity);
      std::size_t freed = 0;
      while (r.free_one(&places[freed])) ++freed;
      r.free_others(quarantine);
      const std::byte* const behind = &places[freed];
      std::byte* taken = r.take_one();
      BOOST_REQUIRE(taken != nullptr);
      for (std::uint32_t i = 0; i != r.shape().period && r.b().has_room_for_a_period(); ++i)
        BOOST_REQUIRE(r.free_one(&places[freed++]));
      for (;;) {
        if (taken >= behind) ++lost;
        if (r.b().next == r.b().end) break;
        taken = r.take_one();
      }
    }
  }
  BOOST_TEST(lost == 0u);
}

// A class that is a small part of what is freed uses a small part of its ring's memory, again and again.
BOOST_AUTO_TEST_CASE(a_ring_that_is_nearly_empty_stays_in_few_places)
{
  ring r(mib, 512);
  const std::uint32_t period = r.shape().period;
  BOOST_TEST_REQUIRE(r.shape().capacity / period >= 16u);
  std::vector<free_slot*> tails;
  std::uintptr_t freed = 0;
  std::uintptr_t taken = 0;
  for (std::uint32_t i = 0; i != 20 * r.shape().capacity; ++i) {
    BOOST_TEST_REQUIRE(r.free_one(reinterpret_cast<std::byte*>(++freed)));
    tails.push_back(r.b().tail);
    r.free_others(mib / period / 2);
    std::byte* const out = r.take_one();
    if (out != nullptr) ++taken;
    BOOST_TEST_REQUIRE(reinterpret_cast<std::uintptr_t>(out) <= freed);
  }
  BOOST_TEST(taken + 4 * period >= freed);
  std::sort(tails.begin(), tails.end());
  const auto places = std::unique(tails.begin(), tails.end()) - tails.begin();
  BOOST_TEST(places <= 6 * period);
}

// And no slot comes out twice, or before it was freed.
BOOST_AUTO_TEST_CASE(positions_may_wrap)
{
  ring r(4096, 64);
  r.b().head = 0U - 2 * r.shape().capacity;
  r.b().arrays->over = r.b().head;
  r.b().open_period(r.b().head);
  std::uintptr_t freed = 0;
  std::vector<bool> out(5 * r.shape().capacity + 1);
  std::size_t taken = 0;
  for (std::size_t i = 0; i != 5 * r.shape().capacity; ++i) {
    BOOST_REQUIRE(r.free_one(reinterpret_cast<std::byte*>(++freed)));
    while (std::byte* const slot = r.take_one()) {
      const auto number = reinterpret_cast<std::uintptr_t>(slot);
      BOOST_REQUIRE(number <= freed);
      BOOST_REQUIRE(!out[number]);
      out[number] = true;
      ++taken;
    }
  }
  BOOST_TEST(taken >= 4 * r.shape().capacity);
}

// A mark that nobody renewed while 2^31 slots went by must not be one of the future.
BOOST_AUTO_TEST_CASE(an_old_mark_means_nothing)
{
  ring r(4096, 64);
  std::array<std::byte, 1024> places;
  r.somebody_wants_slots();
  BOOST_REQUIRE(r.free_one(&places[0]));
  r.somebody_wants_slots();
  r.free_others(10'000);
  BOOST_TEST(r.take_one() == &places[0]);
  const std::uint32_t far = (std::uint32_t{1} << 31) + 16 * r.shape().capacity;
  r.b().head = r.b().arrays->over = far;
  r.b().open_period(far);
  std::size_t inside = 0;
  for (; inside != 3 * r.shape().period + 1; ++inside) BOOST_REQUIRE(r.free_one(&places[inside]));
  r.free_others(10'000);
  std::size_t taken = 0;
  while (taken != places.size() && r.take_one() != nullptr) ++taken;
  BOOST_TEST(taken == 3 * r.shape().period);
}

BOOST_AUTO_TEST_CASE(an_unlimited_quarantine_is_endless_and_no_other_is)
{
  BOOST_TEST(quarantine_rule::of(gpa::unlimited).endless);
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, mib, std::size_t{1} << 40, gpa::unlimited - 2})
    BOOST_TEST(!quarantine_rule::of(bytes).endless);
}

BOOST_AUTO_TEST_CASE(a_ring_has_room_for_all_that_must_wait_and_its_periods_for_their_times)
{
  std::vector<std::size_t> quarantines = {0, 1, 4096, std::size_t{1} << 40};
  for (std::size_t q = 100'000; q < 1024 * mib; q += q / 50) quarantines.push_back(q);
  for (const std::size_t quarantine : quarantines) {
    for (unsigned c = 1; c != class_count; ++c) {
      const quarantine_rule rule = quarantine_rule::of(quarantine);
      const std::size_t slot = slot_size(c);
      const ring_shape shape = ring_shape::of(rule, slot);
      const std::uint32_t ready = std::max(batch_slots(slot), std::min(shape.period, most_ready));
      const bool right = shape.capacity >= (shape.limit + 1) * shape.period + ready && shape.capacity <= 32'768 &&
                         shape.limit * shape.period >= rule.most_slots(slot) + slack_slots(slot, shape.period) + shape.period &&
                         shape.fits() && shape.limit < 65'536;
      if (!right) BOOST_ERROR("slots of " << slot << " bytes in a quarantine of " << quarantine);
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
