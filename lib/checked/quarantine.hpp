// The order in which freed slots may be used again: a ring per class and thread, and one clock for all of them.
//
//    bin (one class)    head                              tail
//                        |oldest ........... just freed|           {slot, record, time of the free}
//                        +------------------------------+
//
// The clock counts what this thread has freed, in bytes (each free at least 1/16 384 of the quarantine, which bounds
// the blocks too). A slot may be taken again once the clock has moved by the quarantine since its free, first in first
// out over all classes. Few that are over are handed out straight from the ring (`direct`). When they pile up, because
// much was freed at once, they become free bits of their slabs instead, and from there `ready` slots of some thread, in
// the order of their addresses: records and slots that are used one after the other lie side by side again. Rings are arrays of ours: no link ever runs through user
// memory, so a write after free can damage nothing but poison.
//
// The clock is kept in units of about 1/4 096 of the quarantine, 21 bits of it with each slot. A slot that stays in its
// ring for 256 quarantines may look young again: it is reused later than it could be, never earlier.
//
// Not thread-safe: its cache's thread owns it.
#pragma once

#include "base/size_class.hpp"
#include "blocks/thread_caches.hpp"
#include "checked/record.hpp"
#include "checked/slab.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace gpa::detail {

/// Blocks in quarantine at once; with a batch on top they fill a ring of 16 384.
inline constexpr std::size_t quarantine_blocks = 16384 - 64;

/// A free slot, its record, and when it was freed. Slots are multiples of 16 below 2^47: 43 bits, and 21 of the time.
struct ring_entry {
  static constexpr std::uint32_t time_mask = (std::uint32_t{1} << 21) - 1;

  std::uint64_t slot_and_time;
  detail::record* record;

  static ring_entry make(std::byte* slot, detail::record* r, std::uint32_t time) noexcept
  {
    return {reinterpret_cast<std::uint64_t>(slot) << 17 | (time & time_mask), r};
  }
  [[nodiscard]] std::byte* slot() const noexcept { return reinterpret_cast<std::byte*>(slot_and_time >> 21 << 4); }
  [[nodiscard]] std::uint32_t time() const noexcept { return static_cast<std::uint32_t>(slot_and_time) & time_mask; }
};
static_assert(sizeof(ring_entry) == 16);

/// A slot to hand out next: poisoned, and nobody else's.
struct ready_slot {
  std::byte* slot;
  detail::record* record;
};

/// How long a quarantine is, in numbers the hot path needs.
struct quarantine_rule {
  std::size_t bytes = 0;
  std::size_t least_step = 0;  // what a small free moves the clock by
  std::uint32_t shift = 0;     // clock >> shift is the time kept with a slot
  std::uint32_t age = 0;       // time a slot waits
  bool endless = false;        // an address is never reused

  static constexpr quarantine_rule of(std::size_t bytes) noexcept
  {
    quarantine_rule rule;
    rule.bytes = bytes;
    rule.endless = bytes == static_cast<std::size_t>(-1);
    if (rule.endless) return rule;
    rule.least_step = (bytes + quarantine_blocks - 1) / quarantine_blocks;
    const auto width = static_cast<std::uint32_t>(std::bit_width(bytes));
    rule.shift = width > 12 ? width - 12 : 0;
    const std::size_t unit = std::size_t{1} << rule.shift;
    // One unit more where units are coarse: a free in the middle of one is kept as its beginning.
    rule.age = static_cast<std::uint32_t>(((bytes + unit - 1) >> rule.shift) + (rule.shift != 0));
    return rule;
  }
  /// The most slots of this size that can be waiting at once.
  [[nodiscard]] constexpr std::size_t most_slots(std::size_t slot) const noexcept
  {
    const std::size_t step = slot > least_step ? slot : least_step;
    return (bytes + (std::size_t{2} << shift)) / step + 1;  // a wait may be two units too long
  }
};

/// Slots that a thread takes from the heap at once: as many as fit 64 KiB, at most 64.
inline constexpr std::uint32_t most_ready = 64;
constexpr std::uint32_t batch_slots(std::size_t slot) noexcept
{
  const std::size_t fit = (std::size_t{64} << 10) / slot;
  return static_cast<std::uint32_t>(fit < 1 ? 1 : fit < most_ready ? fit : most_ready);
}

/// One class of one thread.
struct alignas(64) bin {
  ready_slot* ready = nullptr;  // room for most_ready; the last one is handed out first
  std::uint32_t ready_count = 0;
  std::uint32_t limit = 0;  // slots in the ring, at most mask + 1; then those that are over go to the heap. 0 = no ring yet
  ring_entry* entries = nullptr;
  std::uint32_t mask = 0;
  std::uint32_t head = 0;
  std::uint32_t tail = 0;
  bool direct = true;  // no free bits are waiting, as far as this thread knows: slots go from the ring to the user

  [[nodiscard]] std::uint32_t size() const noexcept { return tail - head; }
};
static_assert(sizeof(bin) == 64);

/// Everything one thread needs for checked blocks of one resource.
struct checked_cache : cache_header {
  std::uint64_t clock = 0;  // bytes freed
  std::uint32_t now = 0;    // the clock in the units kept with slots
  quarantine_rule rule;
  std::array<bin, class_count> bins;

  /// Whether the oldest slot of a ring that is not empty may be handed out.
  [[nodiscard]] bool is_over(const ring_entry& oldest) const noexcept
  {
    return ((now - static_cast<std::uint32_t>(oldest.slot_and_time)) & ring_entry::time_mask) >= rule.age;
  }
  void advance(std::size_t slot) noexcept
  {
    clock += slot > rule.least_step ? slot : rule.least_step;
    now = static_cast<std::uint32_t>(clock >> rule.shift);
  }
};

}  // namespace gpa::detail
