// The order in which freed slots may be used again: a ring per class and thread, and one clock for all of them.
//
//    bin (one class)    head                              tail
//                        |oldest ........... just freed|           {slot, record, time of the free}
//                        +------------------------------+
//
// The clock counts what this thread has freed, in bytes (each free at least 1/16 384 of the quarantine, which bounds
// the blocks too). A slot may be handed out again once the clock has moved by the quarantine since its free: first in,
// first out over all classes, without moving a block twice. Rings are arrays of ours: no link ever runs through user
// memory, so a write after free can damage nothing but poison.
//
// The clock is kept in units of 1/65 536 of the quarantine, 32 bits of it with each slot. A slot that stays in its ring
// for 65 536 quarantines may look young again: it is reused later than it could be, never earlier.
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

inline constexpr std::size_t quarantine_blocks = 16384;

/// A free slot, its record and when it was freed: 47 + 47 + 32 bits in 16 bytes.
struct ring_entry {
  std::uint64_t slot_and_low;
  std::uint64_t record_and_high;

  static ring_entry make(std::byte* slot, record* r, std::uint32_t time) noexcept
  {
    return {reinterpret_cast<std::uint64_t>(slot) << 16 | (time & 0xFFFF),
            reinterpret_cast<std::uint64_t>(r) << 16 | time >> 16};
  }
  [[nodiscard]] std::byte* slot() const noexcept { return reinterpret_cast<std::byte*>(slot_and_low >> 16); }
  [[nodiscard]] detail::record* record() const noexcept
  {
    return reinterpret_cast<detail::record*>(record_and_high >> 16);
  }
  [[nodiscard]] std::uint32_t time() const noexcept
  {
    return static_cast<std::uint32_t>(slot_and_low & 0xFFFF) | static_cast<std::uint32_t>(record_and_high) << 16;
  }
};
static_assert(sizeof(ring_entry) == 16);

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
    rule.least_step = bytes / quarantine_blocks;
    const auto width = static_cast<std::uint32_t>(std::bit_width(bytes));
    rule.shift = width > 16 ? width - 16 : 0;
    rule.age = static_cast<std::uint32_t>((bytes + (std::size_t{1} << rule.shift) - 1) >> rule.shift);
    return rule;
  }
  /// The most slots of this size that can be waiting at once.
  [[nodiscard]] constexpr std::size_t most_slots(std::size_t slot) const noexcept
  {
    const std::size_t by_bytes = bytes / (slot > least_step ? slot : least_step + (least_step == 0)) + 1;
    return by_bytes < quarantine_blocks ? by_bytes : quarantine_blocks;
  }
};

/// Slots that move between threads at once: as many as fit 64 KiB, at most 63.
constexpr std::uint32_t batch_slots(std::size_t slot) noexcept
{
  const std::size_t fit = (std::size_t{64} << 10) / slot;
  return static_cast<std::uint32_t>(fit < 1 ? 1 : fit < 63 ? fit : 63);
}

/// One class of one thread.
struct bin {
  ring_entry* entries = nullptr;
  std::uint32_t mask = 0;
  std::uint32_t head = 0;
  std::uint32_t tail = 0;
  std::uint32_t limit = 0;  // slots in the ring; beyond it a batch goes to the heap. 0 = no ring yet
  std::byte* fresh = nullptr;  // carved, poisoned, never handed out
  std::byte* fresh_end = nullptr;
  record* fresh_record = nullptr;
  slab* current = nullptr;  // where `fresh` is carved from

  [[nodiscard]] std::uint32_t size() const noexcept { return tail - head; }
};

/// Everything one thread needs for checked blocks of one resource.
struct checked_cache : cache_header {
  std::uint64_t clock = 0;  // bytes freed
  quarantine_rule rule;
  std::array<bin, class_count> bins;

  [[nodiscard]] std::uint32_t now() const noexcept { return static_cast<std::uint32_t>(clock >> rule.shift); }
  /// Whether the oldest slot of a ring that is not empty may be handed out.
  [[nodiscard]] bool is_over(const ring_entry& oldest) const noexcept { return now() - oldest.time() >= rule.age; }
  void advance(std::size_t slot) noexcept { clock += slot > rule.least_step ? slot : rule.least_step; }
};

}  // namespace gpa::detail
