// What a free that was not simply right is: pure. Nothing is written, and no memory is touched through the pointer.
//
// The pointer is looked up in the page map, its slot by arithmetic, its record by index; the tag found there against
// what was given names the mistake. Every row of the table is a row of judge_test.cpp.
//
//    found                                   verdict
//    no region                               invalid pointer  not memory of any gpa::resource
//    a region, no slot starts there          invalid pointer  inside a block, one past its end, ...
//    a slot never handed out                 invalid pointer  never handed out
//    a live block of another resource        wrong resource
//    a freed block                           double free
//    bytes differ                            size mismatch
//    only the alignment differs              alignment mismatch
//    everything equal                        right            (a flag on the tag, or a race that is over)
//
// Thread-safe: a snapshot of what may change under it; the caller acts by compare-exchange against `word`.
#pragma once

#include <gpa/report.hpp>

#include "blocks/page_map.hpp"
#include "checked/record.hpp"

#include <cstddef>
#include <cstdint>

namespace gpa::detail {

struct slab;
struct large_block;

enum class pointer_place : std::uint8_t {
  start,            // where a block starts
  null,             // the null pointer
  foreign,          // in no region at all
  inside,           // inside a live block
  past_end,         // one past the end of a live block
  behind,           // in the slack behind a live block
  inside_freed,     // inside the slot of a freed block
  never_handed_out,  // a slot, or a place in it, that was never a block
  gap,              // behind the last slot of a slab
  fast,             // memory of a resource that does not check
};

struct judgement {
  bool right = false;
  mistake kind = mistake::invalid_pointer;
  pointer_place place = pointer_place::foreign;
  const owner* belongs_to = nullptr;  // null: nobody
  slab* in_slab = nullptr;            // of a small block
  record* small = nullptr;
  large_block* large = nullptr;
  const std::byte* block = nullptr;  // start of the block or slot the pointer lies in
  std::size_t offset = 0;            // of the pointer in it
  std::uint64_t word = 0;            // the record's, as judged
  std::size_t bytes = 0;             // as allocated
  std::size_t alignment = 0;
  std::uint32_t alloc_trace = 0;
  std::uint32_t free_trace = 0;
  std::uint16_t alloc_thread = 0;
  std::uint16_t free_thread = 0;
};

/// Judges freeing `p` with these numbers into `self`.
[[nodiscard]] judgement judge(const void* p, std::size_t bytes, std::size_t alignment, const owner* self) noexcept;

/// The report of a judgement that is not right, `here` still empty.
[[nodiscard]] gpa::report report_of(const judgement& j, const owner& self, const void* p, std::size_t bytes,
                                    std::size_t alignment) noexcept;

}  // namespace gpa::detail
