// A slab of the checked heap: user memory cut into equal slots, its records and free bits elsewhere.
//
//    base                                                  base + bytes
//    +--------+--------+- - - -+---------------------------+-----+
//    | slot 0 | slot 1 |       | never handed out: untouched| gap |      user memory
//    +--------+--------+- - - -+---------------------------+-----+
//    +-----------+- - - -+----+----+- - - -
//    | 64 bits   |       | r0 | r1 |           one bit a slot: free to be taken; records, 16 bytes a slot
//    +-----------+- - - -+----+----+- - - -
//
// A slab keeps its class while its resource lives. Slots whose quarantine is over come back as bits, whatever their
// order, and leave in the order of their addresses: records and slots that are handed out one after the other lie
// side by side again, which is what a cache can follow. A slot is poisoned when it is taken for the first time, so a
// slab of which three slots are used costs one page.
//
// Geometry is immutable once the slab stands in the page map. Bits, what is counted of them and the list of slabs with
// free ones belong to the lock of its class. `carved` grows under it and falls to 0 when trim() drops the pages; scans
// stay below it. What goes back by itself leaves it where it is (shedding.cpp).
#pragma once

#include "base/bits.hpp"
#include "base/size_class.hpp"
#include "blocks/page_map.hpp"
#include "checked/record.hpp"
#include "os/pages.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace gpa::detail {

/// What lies in one piece of metadata: a slab's free bits, then its records, one more than slots fit, for ever fresh, so that
/// a pointer to the gap behind the last slot finds a record that refuses it.
constexpr std::size_t bit_words(std::size_t slots) noexcept { return (slots + 63) / 64; }
constexpr std::size_t bits_bytes(std::size_t slots) noexcept
{
  return round_up(bit_words(slots) * sizeof(std::uint64_t), std::size_t{64});
}
constexpr std::size_t records_bytes(std::size_t slots) noexcept
{
  return bits_bytes(slots) + (slots + 1) * sizeof(record);
}
/// How many of the slots that fit are used: some fewer where the records of the last ones alone would touch a page, and
/// that is 1 in 64 at most. A slab of 1 024 slots had five pages of records and has four.
constexpr std::size_t used_slots(std::size_t fitting) noexcept
{
  const std::size_t spilt = (bits_bytes(fitting) + fitting * sizeof(record)) % page_size;
  const std::size_t fewer = (spilt + sizeof(record) - 1) / sizeof(record);
  return fewer <= fitting / 64 ? fitting - fewer : fitting;
}

struct slab : region {
  std::uint64_t slot_reciprocal = 0;
  record* records = nullptr;  // so far, all that a free needs: one cache line
  std::uint32_t slot_count = 0;  // that are used
  std::atomic<std::uint32_t> carved{0};  // slots from the base that were ever taken
  std::uint64_t* free_bits = nullptr;
  std::uint32_t free_slots = 0;  // bits set
  std::uint32_t cursor = 0;      // no bit is set in a word in front of this one
  std::uint32_t live_slots = 0;  // of a buried heap: what still keeps the slab
  std::uint32_t idle_slots = 0;  // became free since the slab was thinned, and still are
  bool listed = false;           // stands in the list of slabs with free slots
  bool thinned = false;          // free slots in front of `carved` may be without poison
  std::uint16_t touched = 0;     // the most slots that were ever carved: records behind are zero
  std::uint32_t held = 0;        // bytes of user memory not given back
  std::atomic<std::atomic<std::uint64_t>*> lives{nullptr};  // with options::profile, one a slot: profile/profile.hpp
  slab* next = nullptr;          // all slabs of the heap
  slab* next_free = nullptr;     // those of one class with free slots

  /// The slot an offset from `base` lies in, and whether it is its start.
  [[nodiscard]] quotient slot_at(std::size_t offset) const noexcept { return divide(offset, slot_reciprocal); }
  [[nodiscard]] std::size_t index_of(const std::byte* place) const noexcept
  {
    return slot_at(static_cast<std::size_t>(place - base)).index;
  }
  [[nodiscard]] std::size_t fitting() const noexcept { return bytes / slot_bytes; }
  [[nodiscard]] std::byte* slot(std::size_t index) const noexcept { return base + index * slot_bytes; }
};

static_assert(sizeof(slab) <= 128, "two cache lines, and a piece of metadata that small");

}  // namespace gpa::detail
