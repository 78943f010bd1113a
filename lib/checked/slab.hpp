// A slab of the checked heap: user memory cut into equal slots, its records elsewhere.
//
//    base                                     base + filled           base + bytes
//    +--------+--------+- - - -+--------------+- - - - - - - - - - - - -+-----+
//    | slot 0 | slot 1 |       | poison, fresh| not touched yet         | gap |      user memory
//    +--------+--------+- - - -+--------------+- - - - - - - - - - - - -+-----+
//    +----+----+- - - -
//    | r0 | r1 |              records, 16 bytes a slot, in metadata memory
//    +----+----+- - - -
//
// A slab keeps its class while its resource lives. Fresh memory is poisoned a piece of about 4 KiB at a time, as slots
// are carved from it, so a slab of which three slots are used costs one page.
//
// Geometry is immutable once the slab stands in the page map. `filled` grows under the thread that carves and falls
// to 0 when trim() drops the pages; who reads poison stays below it.
#pragma once

#include "base/size_class.hpp"
#include "blocks/page_map.hpp"
#include "checked/record.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace gpa::detail {

/// Records of a slab: one more than slots, for ever fresh, so that a pointer to the gap behind the last slot finds a
/// record that refuses it.
constexpr std::size_t records_bytes(std::size_t slots) noexcept { return (slots + 1) * sizeof(record); }

struct slab : region {
  std::uint64_t slot_reciprocal = 0;
  record* records = nullptr;
  std::uint32_t slot_bytes = 0;
  std::uint32_t slot_count = 0;
  std::uint32_t size_class = 0;
  std::atomic<std::uint32_t> filled{0};  // bytes from the base that hold slots, live or poison
  slab* next = nullptr;        // all slabs of the heap
  slab* next_free = nullptr;   // slabs with room to carve, of one class
  std::uint32_t free_slots = 0;  // scratch of trim()
  std::uint32_t live_slots = 0;  // of a buried heap: what still keeps the slab
  std::size_t held = 0;          // bytes of user memory not given back
  bool carving = false;          // a thread's current slab
  bool listed = false;           // stands in the list of slabs with room

  [[nodiscard]] std::size_t index_of(std::size_t offset) const noexcept
  {
    return static_cast<std::size_t>((offset * slot_reciprocal) >> reciprocal_shift);
  }
  [[nodiscard]] std::byte* slot(std::size_t index) const noexcept { return base + index * slot_bytes; }
};

}  // namespace gpa::detail
