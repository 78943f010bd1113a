// The order in which freed slots may be used again: a ring per class and thread, and one clock for all of them.
//
//               head            closed        tail
//    entries     |oldest . . . . . |. just freed|               {slot, its record}, 16 bytes
//                +--------+--------+-----------+- - -
//    times       | 17 KiB | 21 KiB |  period still open          the clock when a period was closed
//                +--------+--------+
//    places      |   0    |   2    |   1                         where in the array its entries stand
//
// The clock counts what this thread has freed, in bytes (each free at least 1/15 360 of the quarantine, which bounds the
// blocks too). Entries are put in by periods. A slot may be taken again once the clock has moved by the quarantine since
// its period was closed. So a free looks at no clock, and a hand-out neither. A class that is seldom freed fills no
// period: when slots are wanted, a mark with the clock is set behind those that wait in the open one.
//
// Slots that are over are handed out where they stand in the ring (`direct`), of all periods that are over the last one
// first, which changes places with the oldest: the CPU still has its poison in the cache, which must be read now, and what
// has rested longer rests on. Periods are short for the same reason. When slots pile up, because much was freed at once,
// they become free bits of their slabs instead, and from there ready slots of some thread, in the order of their
// addresses: records and slots that are used one after the other lie side by side again.
// A new period stands in the place that was left last: a program with many classes, each of which has few slots waiting,
// goes through little of its rings. (Churn of 10 000 and of 2 000 blocks: 6 % less time.)
// Rings are arrays of ours: no link ever runs through user memory, so a write after free can damage nothing but poison.
//
// Not thread-safe: its cache's thread owns it.
#pragma once

#include "base/size_class.hpp"
#include "checked/record.hpp"
#include "os/metadata.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>

namespace gpa::detail {

/// Blocks in quarantine at once; with what may stay behind it, the period still open and a batch on top they fit a ring
/// of 32 768.
inline constexpr std::size_t quarantine_blocks = 15 * 1024;

/// A slot that is poisoned, or about to be, and nobody else's: waiting in a ring, or to be handed out next.
struct free_slot {
  std::byte* slot;
  detail::record* record;
};

/// Slots that a thread takes from the heap at once: as many as fit 64 KiB, at most 64.
inline constexpr std::uint32_t most_ready = 64;
constexpr std::uint32_t batch_slots(std::size_t slot) noexcept
{
  const std::size_t fit = (std::size_t{64} << 10) / slot;
  return static_cast<std::uint32_t>(fit < 1 ? 1 : fit < most_ready ? fit : most_ready);
}

/// Slots above 1 KiB, of which a quarantine has few, and whose poison is in places only.
constexpr bool is_coarse(std::size_t slot) noexcept { return slot > 1024; }

/// Slots in a period where that is little beside the quarantine: 6 KiB of them, 8 to 64; coarse ones 32.
constexpr std::size_t usual_period(std::size_t slot) noexcept
{
  if (is_coarse(slot)) return 32;
  return std::clamp((std::size_t{6} << 10) / slot, std::size_t{8}, std::size_t{most_ready});
}

/// How long a quarantine is.
struct quarantine_rule {
  std::size_t bytes = 0;
  std::size_t least_step = 0;  // what a small free moves the clock by
  bool endless = false;        // an address is never reused
  bool shared = false;         // the clock counts what the thread frees in other such resources, too

  static constexpr quarantine_rule of(std::size_t bytes, bool shared = false) noexcept
  {
    if (bytes == static_cast<std::size_t>(-1)) return {bytes, 0, true, false};
    constexpr std::size_t most = std::size_t{1} << 45;  // more is counted in blocks alone, and steps must fit 32 bits
    if (bytes > most) bytes = most;
    return {bytes, (bytes + quarantine_blocks - 1) / quarantine_blocks, false, shared};
  }
  /// What freeing such a slot moves the clock by.
  [[nodiscard]] constexpr std::size_t step(std::size_t slot) const noexcept { return std::max(slot, least_step); }
  /// The most slots of this size that must wait at once.
  [[nodiscard]] constexpr std::size_t most_slots(std::size_t slot) const noexcept { return bytes / step(slot) + 1; }
  /// Slots of this size in a period, a power of two: as usual, or more where the quarantine is that long, but never more
  /// than its eighth; of coarse slots its half.
  [[nodiscard]] constexpr std::uint32_t period(std::size_t slot) const noexcept
  {
    const std::size_t most = most_slots(slot);
    const std::size_t wished = std::min(most / (is_coarse(slot) ? 2 : 8), std::max(usual_period(slot), most / 64));
    return std::bit_floor(static_cast<std::uint32_t>(std::max<std::size_t>(wished, 1)));
  }
};

/// How far ahead of the next slot the hot path asks for memory: that many stale ones stand behind the last.
inline constexpr std::uint32_t slots_ahead = 4;
inline constexpr std::uint32_t most_periods = 256;

/// The arrays of a bin but for its ring.
struct bin_arrays {
  std::array<free_slot, most_ready + slots_ahead> ready;
  std::array<std::uint64_t, most_periods> times;  // the clock when a period was closed
  std::array<std::uint8_t, most_periods> places;  // of a period's entries in the ring's array, in periods
  std::uint64_t mark_time;
  std::uint32_t mark;  // a position: what stands in front of it was freed at mark_time or before
  std::uint32_t over;  // a position: what stands in front of it is over, as far as anybody looked; never behind the head
};

/// Bytes of a ring's array: stale slots behind the last one too.
constexpr std::size_t ring_bytes(std::uint32_t capacity) noexcept
{
  return (capacity + slots_ahead) * sizeof(free_slot);
}

/// Slots that are over and stay in the ring all the same: as many as fit 96 KiB, at most 1 024 and 64 periods. A program that
/// frees some hundred blocks and then allocates as many takes them from where they stand, instead of by way of their slabs'
/// bits; what exceeds it, and by then all that is over, leaves in the order of addresses.
constexpr std::size_t slack_slots(std::size_t slot, std::size_t period) noexcept
{
  return std::min({(std::size_t{96} << 10) / slot, std::size_t{1024}, most_periods / 4 * period});
}

/// How large a ring must be for slots of one size.
struct ring_shape {
  std::uint32_t period;
  std::uint32_t limit;     // periods
  std::uint32_t capacity;  // a power of two, with room for the limit, the period still open and what is being handed out

  static constexpr ring_shape of(const quarantine_rule& rule, std::size_t slot) noexcept
  {
    const std::uint32_t period = rule.period(slot);
    const std::uint32_t ready = std::max(batch_slots(slot), std::min(period, most_ready));
    const auto needed = static_cast<std::uint32_t>(rule.most_slots(slot) + slack_slots(slot, period)) + ready + period;
    const std::uint32_t limit = (needed + period - 1) / period;
    return {period, limit, std::bit_ceil((limit + 1) * period + ready)};
  }
  /// Whether a period's time and place have room in bin_arrays.
  [[nodiscard]] constexpr bool fits() const noexcept { return capacity / period <= most_periods; }
};

static_assert([] {
  for (const std::size_t bytes : {0UL, 320UL, 4096UL, 12'000UL, 64UL << 10, 256UL << 10, 1UL << 20, 64UL << 20, 1UL << 45})
    for (unsigned c = 1; c != class_count; ++c)
      if (!ring_shape::of(quarantine_rule::of(bytes), slot_size(c)).fits()) return false;
  return true;
}());

/// One class of one thread.
struct alignas(64) bin {
  free_slot* next = nullptr;  // slots to hand out: from here ...
  free_slot* end = nullptr;   // ... to here
  free_slot* tail = nullptr;  // where the next freed slot is put ...
  free_slot* stop = nullptr;  // ... unless it is here: then the period is closed first, or the ring is made
  bin_arrays* arrays = nullptr;
  free_slot* entries = nullptr;
  std::uint32_t step = 0;    // what a free moves the clock by
  std::uint32_t head = 0;    // the oldest entry; positions count on, and are taken modulo the capacity
  std::uint32_t closed = 0;  // where the open period begins
  std::uint16_t limit = 0;   // periods in the ring; then at the latest those that are over go to the heap
  std::uint8_t capacity_log2 : 7 = 0;
  bool takes : 1 = false;  // something was handed out since the ring last overflowed
  std::uint8_t period_log2 : 6 = 0;
  bool has_its_own : 1 = false;  // a slab that was made for this cache
  bool direct : 1 = true;  // no free bits are waiting, as far as this thread knows: the ring serves itself

  [[nodiscard]] std::uint32_t capacity() const noexcept { return std::uint32_t{1} << capacity_log2; }
  [[nodiscard]] std::uint32_t period() const noexcept { return std::uint32_t{1} << period_log2; }
  [[nodiscard]] std::uint32_t period_at(std::uint32_t position) const noexcept
  {
    return (position & (capacity() - 1)) >> period_log2;
  }
  [[nodiscard]] std::uint8_t& place_of(std::uint32_t position) const noexcept
  {
    return arrays->places[period_at(position)];
  }
  [[nodiscard]] std::uint64_t& time_of(std::uint32_t position) const noexcept
  {
    return arrays->times[period_at(position)];
  }
  [[nodiscard]] free_slot& entry(std::uint32_t position) const noexcept
  {
    return entries[(std::uint32_t{place_of(position)} << period_log2) + (position & (period() - 1))];
  }
  [[nodiscard]] std::uint32_t tail_position() const noexcept
  {
    return entries == nullptr ? closed : closed + static_cast<std::uint32_t>(tail - &entry(closed));
  }
  [[nodiscard]] std::uint32_t waiting() const noexcept { return tail_position() - head; }
  [[nodiscard]] bool has_room_for_a_period() const noexcept { return has_room_from(closed); }
  /// Whether it still has when the open one is closed.
  [[nodiscard]] bool has_room_for_the_next() const noexcept { return has_room_from(closed + period()); }
  [[nodiscard]] bool has_room_from(std::uint32_t position) const noexcept
  {
    return static_cast<std::int32_t>(position - head) < static_cast<std::int32_t>(limit * period());
  }

  /// An empty ring of that shape, `array` with room for its entries.
  void set_ring(free_slot* array, const ring_shape& shape, std::size_t clock_step) noexcept
  {
    step = static_cast<std::uint32_t>(clock_step);
    limit = static_cast<std::uint16_t>(shape.limit);
    capacity_log2 = static_cast<std::uint8_t>(std::countr_zero(shape.capacity)) & 0x7F;
    period_log2 = static_cast<std::uint8_t>(std::countr_zero(shape.period)) & 0x3F;
    order_places();
    std::atomic_signal_fence(std::memory_order_release);  // a fork may come now: what has entries has a shape
    entries = array;
    open_period(0);
  }
  void order_places() noexcept
  {
    std::iota(arrays->places.begin(), arrays->places.begin() + (capacity() >> period_log2), std::uint8_t{0});
  }
  /// At `position`, a multiple of the period. Of the places that nothing stands in, in the one that was left last, but for
  /// what is being handed out: of a long ring only as much is in the CPU's cache as is full.
  void open_period(std::uint32_t position) noexcept
  {
    // In locals: what is stored into the places could be any of the members, as far as a compiler knows.
    const unsigned log2 = period_log2;
    const std::uint32_t last = (std::uint32_t{1} << (capacity_log2 - log2)) - 1;
    std::uint8_t* const all = arrays->places.data();
    const std::uint32_t mine = position >> log2;
    std::uint8_t place = all[mine & last];
    const std::uint32_t left = ((head - 1) >> log2) - 1;
    if (head > std::uint32_t{1} << log2 && mine - left <= last) {
      const std::uint8_t empty = all[left & last];
      all[left & last] = place;
      all[mine & last] = place = empty;
    }
    free_slot* const first = entries + (std::uint32_t{place} << log2);
    closed = position;
    tail = first;
    stop = first + (std::uint32_t{1} << log2);
  }
  /// Every slot in it was freed at `clock` or before.
  void close_period(std::uint64_t clock) noexcept
  {
    time_of(closed) = clock;
    open_period(closed + period());
    arrays->mark = closed;  // of a closed period its time decides; and an old mark would be a new one 2^31 slots later
  }
  /// Marks what waits in the open period, unless an older mark still stands there.
  void mark_open_period(std::uint64_t clock) noexcept
  {
    const std::uint32_t begin = static_cast<std::int32_t>(head - closed) > 0 ? head : closed;
    if (static_cast<std::int32_t>(arrays->mark - begin) > 0) return;
    arrays->mark = tail_position();
    arrays->mark_time = clock;
  }
  void forget_waiting() noexcept
  {
    head = 0;
    if (arrays != nullptr) arrays->mark = arrays->over = 0;
    if (entries != nullptr) open_period(0);
  }
  void forget_all() noexcept
  {
    next = end;
    forget_waiting();
  }
  /// Nothing waits in it, and nothing of it is ready. The next free makes another.
  void free_ring() noexcept
  {
    if (entries == nullptr) return;
    next = end = tail = stop = nullptr;
    metadata_free(std::exchange(entries, nullptr), ring_bytes(capacity()));
  }
  /// What stands from `first` to `last` is handed out next. A fork may come between any two lines of this: then next .. end
  /// is empty, or names slots that were in the ring, or are, but never any that somebody else has.
  void set_ready(free_slot* first, free_slot* last) noexcept
  {
    end = nullptr;
    std::atomic_signal_fence(std::memory_order_release);
    next = first;
    std::atomic_signal_fence(std::memory_order_release);
    end = last;
  }
  void move_head(std::uint32_t position) noexcept
  {
    head = position;
    if (arrays != nullptr && static_cast<std::int32_t>(position - arrays->over) > 0) arrays->over = position;
  }
  /// Of the closed periods that end before `over`, all of them over, the last one changes places with the oldest, which
  /// the head is at. The open one stays where it is, full or not: `tail` is in it.
  void put_last_first(std::uint32_t over) noexcept
  {
    const std::uint32_t last_end = static_cast<std::int32_t>(closed - over) < 0 ? closed : over & ~(period() - 1);
    if (static_cast<std::int32_t>(last_end - head) > static_cast<std::int32_t>(period()))
      std::swap(place_of(head), place_of(last_end - period()));
  }
  /// What waits to be handed out leaves the ring, whose head may then move on.
  void take_ready_out_of_ring() noexcept
  {
    free_slot* const first = arrays->ready.data();
    if (next == end || (next >= first && next < first + most_ready)) return;
    set_ready(first, std::copy(next, end, first));
  }
};
static_assert(sizeof(bin) == 64);

}  // namespace gpa::detail
