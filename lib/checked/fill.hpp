// The bytes behind a live block, and looking whether anybody wrote where nobody may.
//
//    live slot       | the user's bytes | redzone, 1 to 16 bytes | poison up to the slot's end             |
//    sparse poison   | the user's bytes | redzone, 1 to 16 bytes | anything            | poison, 64 bytes   |
//    free slot       | poison, see poison.hpp                                                              |
//
// Redzone and poison differ, and neither is 0x00 or 0xFF. The redzone is one unaligned store of 16 bytes that ends at most
// at the slot's end: it may cover bytes in front of it that the user has not written yet, and looking masks those out.
// What lies behind it is still the poison that was verified when the slot was handed out.
//
// Reading is exempt from sanitizers: the user may be writing where they must not, and finding that is our business.
#pragma once

#include "base/attributes.hpp"
#include "checked/poison.hpp"

#include <cstddef>
#include <cstdint>

#include <emmintrin.h>

namespace gpa::detail {

inline constexpr std::uint8_t redzone_byte = 0xD5;
inline constexpr std::size_t redzone_bytes = 16;

/// Where the redzone's 16 bytes begin in a slot.
constexpr std::size_t redzone_place(std::size_t bytes, std::size_t size) noexcept
{
  return bytes < size - redzone_bytes ? bytes : size - redzone_bytes;
}

/// For a block of `bytes` in a slot of `size` (a multiple of 16, larger than `bytes`).
GPA_NO_SANITIZE inline void write_redzone(std::byte* slot, std::size_t bytes, std::size_t size) noexcept
{
  _mm_storeu_si128(reinterpret_cast<__m128i*>(slot + redzone_place(bytes, size)),
                   _mm_set1_epi8(static_cast<char>(redzone_byte)));
}

/// Whether the redzone itself is as written; not what lies behind it.
[[nodiscard]] GPA_NO_SANITIZE inline bool redzone_intact(const std::byte* slot, std::size_t bytes,
                                                         std::size_t size) noexcept
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
  bool to_the_end = false;    // of what is looked at behind a live block: there may be more where nobody looks
};

/// Changed bytes of a freed slot, whose block had `bytes`.
[[nodiscard]] damage find_damage_of_poison(const std::byte* slot, std::size_t size, std::size_t bytes,
                                           poison_rule rule) noexcept;
/// Those of a part that is poison everywhere, and that lies behind what `found` is about.
void add_damage_of_poison(damage& found, const std::byte* slot, std::size_t begin, std::size_t end) noexcept;
/// Changed bytes behind a live block: its redzone and the poison behind that.
[[nodiscard]] damage find_damage_behind(const std::byte* slot, std::size_t bytes, std::size_t size,
                                        poison_rule rule) noexcept;

/// Whether all bytes of a range are poison. 16 bytes in front of its end must be readable.
[[nodiscard]] GPA_NO_SANITIZE inline bool all_poison(const std::byte* begin, const std::byte* end) noexcept
{
  const auto same = [](const std::byte* p) GPA_NO_SANITIZE {
    return _mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), _mm_set1_epi8(static_cast<char>(poison_byte)));
  };
  __m128i right = same(end - 16);
  if (end - begin < 16)
    return (static_cast<unsigned>(_mm_movemask_epi8(right)) | ((1U << (16 - (end - begin))) - 1U)) == 0xFFFFU;
  for (; begin < end - 16; begin += 16) right = _mm_and_si128(right, same(begin));
  return _mm_movemask_epi8(right) == 0xFFFF;
}

/// The same as behind_intact() for what lies behind the redzone.
[[nodiscard]] bool slack_intact(const std::byte* slot, std::size_t bytes, std::size_t size, poison_rule rule) noexcept;

/// Whether everything behind a live block is as it was left: redzone, and poison behind that.
[[nodiscard]] inline bool behind_intact(const std::byte* slot, std::size_t bytes, std::size_t size,
                                        poison_rule rule) noexcept
{
  if (!redzone_intact(slot, bytes, size)) [[unlikely]] return false;
  if (size - bytes <= redzone_bytes) return true;
  if (rule.sparse(size) && size - bytes >= redzone_bytes + poison_line)
    return is_poison(slot + size - poison_line, poison_line);
  return slack_intact(slot, bytes, size, rule);
}

/// Everything behind a block that had other bytes before.
void write_behind(std::byte* slot, std::size_t bytes, std::size_t size, poison_rule rule) noexcept;

}  // namespace gpa::detail
