// A span: whole granules of 64 KiB with one purpose, cut from a segment and melted with its free neighbours again.
//
//    segment   |  slab (64 B)  |   free   |      large block      | slab (1 KiB) |        free        |
//    edges      s             s f        f l                     l s            s f                  f    one a granule
//    dirty      1             1 1        0 1                     1 1            1 0                  0    one bit each
//
// `edges` names the span that begins or ends at a granule, so both neighbours of a span are found in O(1). A granule
// is dirty once a span that held it was handed out, until its pages go back to the system: what is free and dirty is
// memory we keep, what is free and not dirty costs addresses only.
//
// A block above 32 MiB, or aligned to more than a granule, has a segment of its own (`single`): one span, never cut.
#pragma once

#include "base/bits.hpp"
#include "base/size_class.hpp"
#include "blocks/page_map.hpp"
#include "blocks/supply.hpp"

#include <cstddef>
#include <cstdint>

namespace gpa::detail {

struct segment;

struct span : region {
  // A slab's.
  std::uint64_t* free_bits = nullptr;
  std::uint64_t slot_reciprocal = 0;
  std::uint32_t slot_count = 0;
  std::uint32_t used = 0;    // slots that are not free
  std::uint32_t cursor = 0;  // no free bit before this word; `none_free`: in no word at all
  std::uint32_t touched = 0; // slots from here on were never handed out: their pages are not there, but for what was before

  bool free = false;
  bool kept = false;        // of a large block: freed, and kept by a thread
  std::uint32_t dirty = 0;  // granules, while free
  segment* home = nullptr;
  span* next = nullptr;      // free: of about the same size. A slab: of the same class, with free slots. Kept: the next
  span* previous = nullptr;  // as next
  span* older = nullptr;     // free and dirty: in the order they were freed
  span* newer = nullptr;

  static constexpr std::uint32_t none_free = UINT32_MAX;
  [[nodiscard]] std::uint32_t free_slots() const noexcept { return slot_count - used; }
  [[nodiscard]] std::uint32_t untouched_slots() const noexcept { return slot_count - touched; }

  /// Of a slab: which of its slots holds `p`.
  [[nodiscard]] std::uint64_t index_of(const void* p) const noexcept
  {
    return divide(static_cast<std::uint64_t>(static_cast<const std::byte*>(p) - base), slot_reciprocal).index;
  }
};
static_assert(sizeof(span) == 128, "what a slab or a large block costs, beside a slab's bits");

[[nodiscard]] constexpr std::size_t bitmap_words(std::size_t bits) noexcept
{
  return (bits + 63) / 64;
}

struct segment {
  std::byte* base = nullptr;
  std::size_t granules = 0;
  std::size_t alignment = 0;  // as the supply was asked
  segment* next = nullptr;
  segment* previous = nullptr;
  bool single = false;
  supply::taken from;
  std::uint64_t* dirty = nullptr;  // bits; null in a single one
  span** edges = nullptr;          // one entry in a single one

  [[nodiscard]] std::size_t edges_bytes() const noexcept { return (single ? 1 : granules) * sizeof(span*); }
  [[nodiscard]] std::size_t dirty_bytes() const noexcept { return bitmap_words(granules) * sizeof(std::uint64_t); }
};

/// Of a span in a segment that is not single; the span cache's lock is held.
void set_dirty(const span& s, bool dirty) noexcept;
[[nodiscard]] std::uint32_t count_dirty(const span& s) noexcept;

}  // namespace gpa::detail
