// What is remembered of a large block: a region of its own, and one word that is claimed as a small block's tag is.
//
//    word    63   61 60     54 53     48 47                              0
//           +-------+---------+---------+---------------------------------+
//           | state |    0    | log2(a) |             bytes               |
//           +-------+---------+---------+---------------------------------+
//
// States are those of record.hpp; `poisoned` means that the pages are gone or inaccessible, or hold poison. The stack of
// the free follows the claim by a store, so a racing second free may find it empty.
#pragma once

#include "blocks/page_map.hpp"
#include "checked/record.hpp"

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace gpa::detail {

struct large_block : region {
  std::atomic<std::uint64_t> word{0};
  std::atomic<std::uint32_t> alloc_trace{0};
  std::atomic<std::uint32_t> free_trace{0};
  std::atomic<std::uint16_t> alloc_thread{0};
  std::atomic<std::uint16_t> free_thread{0};
  std::atomic<std::uint64_t> life{0};  // with options::profile: profile/profile.hpp
  std::size_t range_alignment = 0;  // as the range was taken
  bool entered = false;             // into the page map; a spare that was dropped never is
  bool merges = false;              // what lies beside the range is the same resource's: closed, they are one mapping
  bool closed = false;              // freed and inaccessible
  bool filled = false;              // freed and accessible, with poison
  bool touched = false;             // by poison, over half of it at least
  large_block* previous = nullptr;  // in the list it stands in
  large_block* next = nullptr;
};

inline constexpr std::size_t largest_block = (std::size_t{1} << 47) - (std::size_t{1} << 20);

constexpr bool encodable_large(std::size_t bytes, std::size_t alignment) noexcept
{
  return bytes <= largest_block && std::has_single_bit(alignment);
}
constexpr std::uint64_t encode_large(slot_state state, std::size_t bytes, std::size_t alignment) noexcept
{
  return static_cast<std::uint64_t>(state) << 61 | static_cast<std::uint64_t>(std::countr_zero(alignment)) << 48 |
         bytes;
}
constexpr slot_state large_state(std::uint64_t word) noexcept { return static_cast<slot_state>(word >> 61); }
constexpr std::size_t large_bytes(std::uint64_t word) noexcept { return word & 0xFFFFFFFFFFFF; }
constexpr std::size_t large_alignment(std::uint64_t word) noexcept
{
  return std::size_t{1} << ((word >> 48) & 63);
}
constexpr std::uint64_t large_with_state(std::uint64_t word, slot_state state) noexcept
{
  return (word & ((std::uint64_t{1} << 61) - 1)) | static_cast<std::uint64_t>(state) << 61;
}

}  // namespace gpa::detail
