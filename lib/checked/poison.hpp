// Which bytes of a free slot hold poison; writing them, and looking whether they still do.
//
//    slot up to poison_rule::whole    |################################################|
//
//    larger                           |##|.................|#|....................|#|..|#|
//                                     0  128               middle       the block's end  the slot's end
//
// Poison over a whole block is two passes through memory that the program may never have touched: each line of 64 bytes
// comes from the third-level cache or from memory and goes back there, 4 to 5 ns each here. So what a large block costs
// is bounded: its first 128 bytes, where an object's members are, 64 in the middle, its last ones and the slot's last,
// which stand in front of the next slot. A write after free that misses them stays unseen; one over half of the block does
// not. options::poison_bytes says up to which size every byte is poison.
//
// Up to 1 KiB the block ends where the slot does, 16 bytes away at most, and the places follow from the slot alone. Above, they follow from the
// bytes that the block had, which its record still says.
//
// Poison read as a pointer is no canonical address, so following one faults at once. Nor is it 0x00 or 0xFF, so a stray
// zero, terminator or -1 always shows.
//
// Reading is exempt from sanitizers: the user may be writing where they must not, and finding that is our business.
#pragma once

#include "base/attributes.hpp"
#include "base/cpu.hpp"
#include "base/size_class.hpp"
#include "base/tools.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <emmintrin.h>

namespace gpa::detail {

inline constexpr std::uint8_t poison_byte = 0xDF;

/// Without memset, which ASan watches wherever it is called from: another thread's wrong free of the same block may
/// close it to ASan at this very moment.
void write_poison_unwatched(std::byte* p, std::size_t bytes) noexcept;

/// Every byte of a range.
inline void fill_with_poison(std::byte* p, std::size_t bytes) noexcept
{
  if (tools_present()) [[unlikely]] {
    write_poison_unwatched(p, bytes);
  } else {
    std::memset(p, poison_byte, bytes);
  }
}

/// The same as is_poison() for at least 128 bytes, with instructions the CPU must have.
[[nodiscard]] bool is_poison_avx2(const std::byte* p, std::size_t bytes) noexcept;

/// Whether `bytes` bytes (a multiple of 16) at `p` (aligned to 16) are all poison.
[[nodiscard]] GPA_NO_SANITIZE inline bool is_poison(const std::byte* p, std::size_t bytes) noexcept
{
  if (bytes >= 128 && cpu_is_known_to_have_avx2) return is_poison_avx2(p, bytes);
  const __m128i poison = _mm_set1_epi8(static_cast<char>(poison_byte));
  __m128i changed = _mm_setzero_si128();
  for (std::size_t i = 0; i != bytes; i += 16)
    changed = _mm_or_si128(changed, _mm_xor_si128(_mm_load_si128(reinterpret_cast<const __m128i*>(p + i)), poison));
  return _mm_movemask_epi8(_mm_cmpeq_epi8(changed, _mm_setzero_si128())) == 0xFFFF;
}

inline constexpr std::size_t poison_line = 64;
/// Slots up to this size are poisoned whole, always: every block of up to 512 bytes.
inline constexpr std::size_t least_whole = 576;

/// Where the poisoned lines of a sparsely poisoned slot begin.
struct poison_lines {
  std::array<std::size_t, 5> at;

  [[nodiscard]] constexpr bool cover(std::size_t offset) const noexcept
  {
    return std::any_of(at.begin(), at.end(), [offset](std::size_t p) { return offset - p < poison_line; });
  }

  /// `bytes` is that of the block which was there; a slot that was none yet has 0. Within the slot, whatever it is.
  static poison_lines of(const std::byte* slot, std::size_t size, std::size_t bytes) noexcept
  {
    const std::size_t block = size <= 1024 ? size - 16 : std::clamp(bytes, least_whole, size);
    // The middle in one line of the cache, not two; the end with a few bytes behind it.
    const std::size_t middle = block / 2 - (reinterpret_cast<std::uintptr_t>(slot) + block / 2) % poison_line;
    const std::size_t end = std::min(block - poison_line * 3 / 4, size - poison_line);
    return {{0, poison_line, middle, end, size - poison_line}};
  }
};

/// Up to which size every byte of a free slot is poison.
struct poison_rule {
  std::size_t whole = least_whole;

  /// For blocks of up to `bytes` bytes, whose slots are a little larger.
  static constexpr poison_rule up_to(std::size_t bytes) noexcept
  {
    if (bytes >= small_limit) return everywhere();
    return {std::max(slot_size(size_class(bytes + 1)), least_whole)};
  }
  static constexpr poison_rule everywhere() noexcept { return {~std::size_t{0}}; }

  [[nodiscard]] constexpr bool sparse(std::size_t size) const noexcept { return size > whole; }
};

/// Poisons a free slot of `size` bytes, whose block had `bytes`.
inline void write_poison(std::byte* slot, std::size_t size, std::size_t bytes, poison_rule rule) noexcept
{
  if (!rule.sparse(size)) {
    fill_with_poison(slot, size);
  } else if (tools_present()) [[unlikely]] {
    for (const std::size_t at : poison_lines::of(slot, size, bytes).at) write_poison_unwatched(slot + at, poison_line);
  } else {
    for (const std::size_t at : poison_lines::of(slot, size, bytes).at) std::memset(slot + at, poison_byte, poison_line);
  }
}

/// Whether what write_poison() wrote still stands there.
[[nodiscard]] GPA_NO_SANITIZE inline bool holds_poison(const std::byte* slot, std::size_t size, std::size_t bytes,
                                                       poison_rule rule) noexcept
{
  if (!rule.sparse(size)) return is_poison(slot, size);
  const __m128i poison = _mm_set1_epi8(static_cast<char>(poison_byte));
  __m128i changed = _mm_setzero_si128();
  for (const std::size_t at : poison_lines::of(slot, size, bytes).at) {
    for (std::size_t i = 0; i != poison_line; i += 16) {
      const __m128i seen = _mm_loadu_si128(reinterpret_cast<const __m128i*>(slot + at + i));
      changed = _mm_or_si128(changed, _mm_xor_si128(seen, poison));
    }
  }
  return _mm_movemask_epi8(_mm_cmpeq_epi8(changed, _mm_setzero_si128())) == 0xFFFF;
}

}  // namespace gpa::detail
