// The bytes that stand where the user must not write, and looking whether they still do.
//
//    live slot     | the user's bytes | redzone, 1 to 16 bytes | poison up to the slot's end |
//    free slot     | poison                                                                  |
//
// Poison read as a pointer is no canonical address, so following one faults at once. Redzone and poison differ, and
// neither is 0x00 or 0xFF, so a stray zero, terminator or -1 always shows. The redzone is one unaligned 16-byte store
// that ends at most at the slot's end: it may cover bytes in front of it that the user has not written yet, and
// looking masks those out. What lies behind it is still the poison that was verified when the slot was handed out.
//
// Reading is exempt from sanitizers: the user may be writing where they must not, and finding that is our business.
#pragma once

#include "base/attributes.hpp"
#include "base/tools.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <emmintrin.h>

namespace gpa::detail {

inline constexpr std::uint8_t poison_byte = 0xDF;
inline constexpr std::uint8_t redzone_byte = 0xD5;
inline constexpr std::size_t redzone_bytes = 16;

/// Without memset, which ASan watches wherever it is called from: another thread's wrong free of the same block may
/// close it to ASan at this very moment.
void write_poison_unwatched(std::byte* p, std::size_t bytes) noexcept;

inline void write_poison(std::byte* p, std::size_t bytes) noexcept
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
  if (bytes >= 128 && __builtin_cpu_supports("avx2") != 0) return is_poison_avx2(p, bytes);
  const __m128i poison = _mm_set1_epi8(static_cast<char>(poison_byte));
  __m128i changed = _mm_setzero_si128();
  for (std::size_t i = 0; i != bytes; i += 16)
    changed = _mm_or_si128(changed, _mm_xor_si128(_mm_load_si128(reinterpret_cast<const __m128i*>(p + i)), poison));
  return _mm_movemask_epi8(_mm_cmpeq_epi8(changed, _mm_setzero_si128())) == 0xFFFF;
}

/// Whether a slot (aligned to 16, `size` a multiple of 16) is poison from `from` on.
[[nodiscard]] GPA_NO_SANITIZE inline bool ends_in_poison(const std::byte* slot, std::size_t from,
                                                         std::size_t size) noexcept
{
  const std::size_t whole = (from + 15) & ~std::size_t{15};
  if (whole != from) {
    const __m128i seen = _mm_load_si128(reinterpret_cast<const __m128i*>(slot + whole - 16));
    const auto right = static_cast<unsigned>(
        _mm_movemask_epi8(_mm_cmpeq_epi8(seen, _mm_set1_epi8(static_cast<char>(poison_byte)))));
    if ((right | ((1U << (from % 16)) - 1U)) != 0xFFFFU) return false;
  }
  return is_poison(slot + whole, size - whole);
}

/// Where the redzone's 16 bytes begin in a slot.
constexpr std::size_t redzone_place(std::size_t bytes, std::size_t size) noexcept
{
  return bytes < size - redzone_bytes ? bytes : size - redzone_bytes;
}

/// The least offset, a multiple of 16, from which on an intact live slot is poison.
constexpr std::size_t end_of_redzone(std::size_t bytes, std::size_t size) noexcept
{
  const std::size_t end = (bytes + redzone_bytes + 15) & ~std::size_t{15};
  return end < size ? end : size;
}

/// For a block of `bytes` in a slot of `size` (a multiple of 16, larger than `bytes`).
GPA_NO_SANITIZE inline void write_redzone(std::byte* slot, std::size_t bytes, std::size_t size) noexcept
{
  _mm_storeu_si128(reinterpret_cast<__m128i*>(slot + redzone_place(bytes, size)),
                   _mm_set1_epi8(static_cast<char>(redzone_byte)));
}

/// Whether the redzone itself is as written; not the poison behind it.
GPA_NO_SANITIZE inline bool redzone_intact(const std::byte* slot, std::size_t bytes, std::size_t size) noexcept
{
  const std::size_t place = redzone_place(bytes, size);
  const __m128i seen = _mm_loadu_si128(reinterpret_cast<const __m128i*>(slot + place));
  const auto right = static_cast<unsigned>(
      _mm_movemask_epi8(_mm_cmpeq_epi8(seen, _mm_set1_epi8(static_cast<char>(redzone_byte)))));
  return (right | ((1U << (bytes - place)) - 1U)) == 0xFFFFU;
}

/// What was written where nobody may write.
struct damage {
  std::size_t first = 0;  // offset of the first changed byte from the slot's start
  std::size_t last = 0;   // of the last one
  std::size_t count = 0;  // changed bytes; 0 = none
  std::uint64_t changed = 0;  // which of the 64 bytes from `first` on
};

/// Changed bytes of a freed slot.
[[nodiscard]] damage find_damage_of_poison(const std::byte* slot, std::size_t size) noexcept;
/// Changed bytes behind a live block: its redzone and the poison behind that.
[[nodiscard]] damage find_damage_behind(const std::byte* slot, std::size_t bytes, std::size_t size) noexcept;

/// Whether everything behind a live block is as it was left: redzone, and poison behind that.
[[nodiscard]] inline bool behind_intact(const std::byte* slot, std::size_t bytes, std::size_t size) noexcept
{
  if (!redzone_intact(slot, bytes, size)) [[unlikely]] return false;
  if (size - bytes <= redzone_bytes) [[likely]] return true;
  return ends_in_poison(slot, bytes + redzone_bytes, size);
}

}  // namespace gpa::detail
