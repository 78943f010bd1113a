// Size classes: how many bytes a slot has, and how to find a slot again from any address in its slab.
//
//    class    1   2  ...  64 |   65    66  ...   72 |   73 ...  104 |   105
//    slot    16  32     1024 | 1152  1280      2048 | 2304    32768 | 36864   bytes
//
// Every 16 bytes up to 1 KiB, then eight a doubling: at most 12.5 % of a slot above 128 bytes is rounding. The last
// class is there so that a block of 32 KiB has room for a redzone byte. Class 0 does not exist.
//
// Slot sizes are multiples of every alignment the rounded request was a multiple of, and slabs begin at multiples of
// 64 KiB, so a request rounded up to its alignment is aligned in its slot.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace gpa::detail {

inline constexpr std::size_t small_limit = 32768;      // bytes of the largest block that lives in a slab
inline constexpr std::size_t largest_slot = 36864;
inline constexpr std::size_t small_alignment = 4096;   // largest alignment served from a slab
inline constexpr unsigned class_count = 106;           // classes 1 .. 105

/// The class of the smallest slot of at least `size` bytes; `size` in 1 .. largest_slot.
constexpr unsigned size_class(std::size_t size) noexcept
{
  if (size <= 1024) return static_cast<unsigned>((size + 15) >> 4);
  const std::size_t last = size - 1;
  const auto power = static_cast<unsigned>(std::bit_width(last)) - 1;
  return 65 + (power - 10) * 8 + static_cast<unsigned>((last - (std::size_t{1} << power)) >> (power - 3));
}

/// As size_class(), of 1 025 to `small_limit` bytes, in a few instructions; 0 of fewer.
inline constexpr auto classes_of_coarse_sizes = [] {
  std::array<std::uint8_t, small_limit / 128 + 1> all{};
  for (std::size_t i = 1024 / 128 + 1; i != all.size(); ++i) all[i] = static_cast<std::uint8_t>(size_class(i * 128));
  return all;
}();
constexpr unsigned coarse_class(std::size_t size) noexcept { return classes_of_coarse_sizes[(size + 127) / 128]; }

/// Bytes of a slot of class 1 .. 105.
constexpr std::size_t slot_size(unsigned size_class) noexcept
{
  if (size_class <= 64) return std::size_t{size_class} * 16;
  const unsigned step = size_class - 65;
  return std::size_t{9 + step % 8} << (step / 8 + 7);
}

/// Bytes of a slab of this class: the least of 64 KiB to 512 KiB that holds at least sixteen slots, or 512 KiB. (With
/// eight, 5 000 blocks of 8 KiB made and gave back 625 slabs: 430 instructions a pair.)
constexpr std::size_t slab_size(unsigned size_class) noexcept
{
  std::size_t bytes = std::size_t{64} << 10;
  while (bytes < slot_size(size_class) * 16 && bytes != std::size_t{512} << 10) bytes *= 2;
  return bytes;
}

/// Division by a slot size as one multiplication: offset * reciprocal(slot) is the quotient, in the high 64 bits, and
/// its fraction in the low ones. Exact below 512 KiB.
///
/// reciprocal(slot) is 2^64 / slot, rounded up by less than one. So a multiple of slot leaves a fraction below 2^19, and
/// any other offset one of at least reciprocal(slot), which is more than 2^48 (Lemire, Kaser, Kurz: Faster Remainder by
/// Direct Computation, 2019).
constexpr std::uint64_t reciprocal(std::size_t slot) noexcept { return ~std::uint64_t{0} / slot + 1; }

struct quotient {
  std::size_t index;
  bool exact;
};
constexpr quotient divide(std::size_t offset, std::uint64_t reciprocal) noexcept
{
#if defined(__x86_64__) && !defined(__clang__)
  if (!std::is_constant_evaluated()) {
    // A product of 128 bits g++ keeps in two registers more, which have to be saved.
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    asm("mulq %3" : "=a"(low), "=d"(high) : "0"(offset), "r"(reciprocal) : "cc");
    return {high, low < reciprocal};
  }
#endif
  __extension__ using wide = unsigned __int128;
  const wide product = static_cast<wide>(offset) * reciprocal;
  return {static_cast<std::size_t>(product >> 64), static_cast<std::uint64_t>(product) < reciprocal};
}

static_assert(slot_size(1) == 16 && slot_size(64) == 1024 && slot_size(65) == 1152 && slot_size(72) == 2048);
static_assert(slot_size(class_count - 2) == small_limit && slot_size(class_count - 1) == largest_slot);
static_assert(coarse_class(1024) == 0 && coarse_class(1025) == 65 && coarse_class(small_limit) == class_count - 2);
static_assert(size_class(small_limit + 1) == class_count - 1 && slab_size(class_count - 1) == 512 * 1024);

}  // namespace gpa::detail
