// A slab's free bits, set many at once and taken many at once.
//
// Both are done under the lock of the slab's class, 64 slots a time and more, so what each slot costs counts: 34 and 28
// instructions when every slot was looked up, counted and stored by itself, 15 and 20 so (where slots of one slab follow
// each other; 48 where the slab is another one each time).
#pragma once

#include "base/assert.hpp"
#include "checked/quarantine.hpp"
#include "checked/slab.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace gpa::detail {

/// Sets the bits of slots that were freed one after the other and often lie in one slab: it is looked up, and what it
/// counts written, when another one's turn comes. `List` is called with each slab on the way.
template <class List>
class free_bit_writer {
 public:
  explicit free_bit_writer(List list) noexcept : list_(list) {}
  free_bit_writer(const free_bit_writer&) = delete;
  free_bit_writer& operator=(const free_bit_writer&) = delete;
  ~free_bit_writer() { count(); }

  void put(const free_slot& freed) noexcept
  {
    // Of a record in another slab this is no index, but beyond them all: arrays of records do not overlap.
    std::size_t index = index_of(freed);
    if (index >= slots_) [[unlikely]] {
      count();
      slab& s = static_cast<slab&>(*region_of(freed.slot));
      list_(s);
      slab_ = &s;
      records_ = s.records;
      slots_ = s.slot_count;
      bits_ = s.free_bits;
      lowest_ = s.cursor;
      index = index_of(freed);
      GPA_ASSERT(index < slots_);
    }
    const auto word = static_cast<std::uint32_t>(index / 64);
    bits_[word] |= std::uint64_t{1} << index % 64;
    lowest_ = std::min(lowest_, word);
    ++put_;
  }

 private:
  [[nodiscard]] std::size_t index_of(const free_slot& freed) const noexcept
  {
    return (reinterpret_cast<std::uintptr_t>(freed.record) - reinterpret_cast<std::uintptr_t>(records_)) / sizeof(record);
  }
  void count() noexcept
  {
    if (put_ == 0) return;
    slab_->free_slots += put_;
    slab_->idle_slots += put_;
    slab_->cursor = lowest_;
    put_ = 0;
  }

  List list_;
  slab* slab_ = nullptr;
  const record* records_ = nullptr;
  std::size_t slots_ = 0;
  std::uint64_t* bits_ = nullptr;
  std::uint32_t lowest_ = 0;
  std::uint32_t put_ = 0;
};

/// Clears the lowest bits of `s`, at most `wanted` and none from `end` on, and writes their slots to `to`, lowest address
/// first. Returns how many; what the slab counts is the caller's to correct.
inline std::uint32_t take_free_bits(slab& s, std::uint32_t wanted, std::uint32_t end, free_slot* to) noexcept
{
  const std::size_t size = s.slot_bytes;
  std::byte* const base = s.base;
  record* const records = s.records;
  free_slot* const first = to;
  free_slot* const last = to + std::min(wanted, s.free_slots);
  std::uint32_t cursor = s.cursor;
  while (to != last) {
    const std::uint32_t behind = end - cursor * 64;  // slots that may be taken, from this word's first on
    if (static_cast<std::int32_t>(behind) <= 0) break;
    const std::uint64_t here = behind < 64 ? (std::uint64_t{1} << behind) - 1 : ~std::uint64_t{0};
    std::uint64_t& word = s.free_bits[cursor];
    std::uint64_t bits = word & here;
    while (bits != 0 && to != last) {
      const std::size_t index = cursor * std::size_t{64} + static_cast<std::size_t>(std::countr_zero(bits));
      bits &= bits - 1;
      *to++ = {base + index * size, records + index};
    }
    word = (word & ~here) | bits;
    if (word != 0) break;
    if (to != last) ++cursor;
  }
  s.cursor = cursor;
  return static_cast<std::uint32_t>(to - first);
}

}  // namespace gpa::detail
