// The three kinds of slots that the short path tells apart, so that it needs neither a call nor a frame: where a block's
// bin is, where its redzone stands, how poison is written and looked at.
//
//    tiny     blocks below 128 bytes    classes 16 bytes apart    whole, without a loop
//    fine     below 1 KiB               16 bytes apart            whole, in a loop; or in places
//    coarse   up to 32 KiB              an eighth apart           in places; whole where an option wants it: not here
//
// Which bytes are poison is poison.hpp's to say, and where the redzone stands fill.hpp's: this is the same, unrolled.
//
// Reading is exempt from sanitizers, as there.
#pragma once

#include "checked/fill.hpp"
#include "checked/quarantine.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <emmintrin.h>

namespace gpa::detail {

/// Blocks of fewer bytes have tiny slots.
inline constexpr std::size_t tiny_bytes = 128;
/// Blocks of fewer bytes have tiny or fine slots.
inline constexpr std::size_t fine_bytes = 1024;

[[nodiscard]] inline __m128i poison_of_16() noexcept { return _mm_set1_epi8(static_cast<char>(poison_byte)); }

[[nodiscard]] GPA_NO_SANITIZE inline __m128i aligned_16(const std::byte* p) noexcept
{
  return _mm_load_si128(reinterpret_cast<const __m128i*>(p));
}

[[nodiscard]] GPA_NO_SANITIZE inline __m128i anywhere_16(const std::byte* p) noexcept
{
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}

/// Compares many bytes with poison: they all are if their conjunction is, and their disjunction. Two instructions for 16.
class poison_look {
 public:
  explicit poison_look(const std::byte* p) noexcept : all_(aligned_16(p)), any_(all_) {}
  void at(const std::byte* p) noexcept { take(aligned_16(p)); }
  void anywhere(const std::byte* p) noexcept { take(anywhere_16(p)); }
  void line(const std::byte* p) noexcept
  {
    for (std::size_t i = 0; i != poison_line; i += 16) at(p + i);
  }
  [[nodiscard]] bool is_poison() const noexcept
  {
    const __m128i same = _mm_and_si128(_mm_cmpeq_epi8(all_, poison_of_16()), _mm_cmpeq_epi8(any_, poison_of_16()));
    return _mm_movemask_epi8(same) == 0xFFFF;
  }

 private:
  void take(__m128i seen) noexcept
  {
    all_ = _mm_and_si128(all_, seen);
    any_ = _mm_or_si128(any_, seen);
  }

  __m128i all_;
  __m128i any_;
};

inline void poison_16(std::byte* p) noexcept { _mm_store_si128(reinterpret_cast<__m128i*>(p), poison_of_16()); }
inline void poison_a_line(std::byte* p) noexcept
{
  for (std::size_t i = 0; i != poison_line; i += 16) poison_16(p + i);
}

/// Slots whose redzone is in their last 16 bytes, and whose bin is found from their size.
struct evenly_spaced_slots {
  static constexpr bool turns_often = false;  // periods are of few slots, so that their end is worth a look ahead
  static constexpr std::size_t size_for(std::size_t bytes) noexcept { return (bytes + 16) & ~std::size_t{15}; }
  /// A slot of another class came from an alignment, or the bytes are wrong: not for the short path.
  [[nodiscard]] static bool is_size_of(const slab& s, std::size_t bytes, std::size_t& size) noexcept
  {
    size = size_for(bytes);
    return s.slot_bytes == static_cast<std::uint32_t>(size);
  }
  [[nodiscard]] static bin& bin_for(checked_cache& k, std::size_t, std::size_t size) noexcept { return k.bin_of(size); }
  [[nodiscard]] static bin& bin_in(checked_cache& k, const slab&, std::size_t size) noexcept { return k.bin_of(size); }

  static void write_redzone(std::byte* slot, std::size_t, std::size_t size) noexcept
  {
    _mm_store_si128(reinterpret_cast<__m128i*>(slot + size - redzone_bytes),
                    _mm_set1_epi8(static_cast<char>(redzone_byte)));
  }
  // Of the last 16 bytes those that are not the block's.
  [[nodiscard]] static bool is_intact_behind(const std::byte* slot, std::size_t bytes, std::size_t size,
                                             poison_rule) noexcept
  {
    const __m128i redzone = _mm_set1_epi8(static_cast<char>(redzone_byte));
    const __m128i right = _mm_cmpeq_epi8(aligned_16(slot + size - redzone_bytes), redzone);
    const auto wrong = 0xFFFFU ^ static_cast<unsigned>(_mm_movemask_epi8(right));
    return wrong >> (bytes % redzone_bytes) == 0;
  }
};

/// From both ends towards the middle, where 16 bytes may be taken twice.
struct tiny_slots : evenly_spaced_slots {
  /// Behind the last ready slot stand stale ones, which a prefetch may name.
  static void ask_for_later(const free_slot* next) noexcept
  {
    __builtin_prefetch(next[slots_ahead].slot, 0, 2);
    __builtin_prefetch(next[slots_ahead].record, 1, 2);
  }
  [[nodiscard]] static bool is_poison(const std::byte* slot, std::size_t size, const record&, poison_rule) noexcept
  {
    const auto same = [](const std::byte* p) { return _mm_cmpeq_epi8(aligned_16(p), poison_of_16()); };
    const std::byte* const end = slot + size;
    __m128i all = _mm_and_si128(same(slot), same(end - 16));
    if (size > 32) {
      all = _mm_and_si128(all, _mm_and_si128(same(slot + 16), same(end - 32)));
      if (size > 64) {
        all = _mm_and_si128(all, _mm_and_si128(same(slot + 32), same(end - 48)));
        if (size > 96) all = _mm_and_si128(all, _mm_and_si128(same(slot + 48), same(end - 64)));
      }
    }
    return _mm_movemask_epi8(all) == 0xFFFF;
  }
  static void write_poison(std::byte* slot, std::size_t size, std::size_t, poison_rule) noexcept
  {
    std::byte* const end = slot + size;
    poison_16(slot);
    poison_16(end - 16);
    if (size <= 32) return;
    poison_16(slot + 16);
    poison_16(end - 32);
    if (size <= 64) return;
    poison_16(slot + 32);
    poison_16(end - 48);
    if (size <= 96) return;
    poison_16(slot + 48);
    poison_16(end - 64);
  }
};

/// Asks for the record and the first lines of the slot after the next.
inline void ask_for_next(const free_slot* next) noexcept
{
  __builtin_prefetch(next[1].record, 1, 2);
  const auto place = reinterpret_cast<std::uintptr_t>(next[1].slot);  // may be stale, or null: a number
  for (std::size_t line = 0; line != 4 * poison_line; line += poison_line)
    __builtin_prefetch(reinterpret_cast<const void*>(place + line), 0, 2);
}

/// Where the middle line of a sparse slot begins, whose block had so many bytes: see poison_lines.
[[nodiscard]] inline std::size_t middle_line(const std::byte* slot, std::size_t block) noexcept
{
  return block / 2 - (reinterpret_cast<std::uintptr_t>(slot) + block / 2) % poison_line;
}

/// A line at a time, the last one maybe twice.
struct fine_slots : evenly_spaced_slots {
  static void ask_for_later(const free_slot* next) noexcept { ask_for_next(next); }
  [[nodiscard]] static bool is_poison(const std::byte* slot, std::size_t size, const record&, poison_rule rule) noexcept
  {
    poison_look look(slot);
    const std::byte* const last = slot + size - poison_line;
    if (rule.sparse(size)) {
      look.line(slot);
      look.line(slot + poison_line);
      look.line(slot + middle_line(slot, size - 16));
    } else {
      for (const std::byte* p = slot; p < last; p += poison_line) look.line(p);
    }
    look.line(last);
    return look.is_poison();
  }
  static void write_poison(std::byte* slot, std::size_t size, std::size_t, poison_rule rule) noexcept
  {
    std::byte* const last = slot + size - poison_line;
    if (rule.sparse(size)) {
      poison_a_line(slot);
      poison_a_line(slot + poison_line);
      poison_a_line(slot + middle_line(slot, size - 16));
    } else {
      for (std::byte* p = slot; p < last; p += poison_line) {
        asm("" : "+r"(p));  // stays a loop: as a call of memset it would cost the caller its frame
        poison_a_line(p);
      }
    }
    poison_a_line(last);
  }
};

/// Whether all from `p` to `end` is poison: at least one byte. What is read begins at most 15 bytes in front of it.
[[nodiscard]] GPA_NO_SANITIZE inline bool is_poison_tail(const std::byte* p, const std::byte* end) noexcept
{
  unsigned right = 0xFFFF;
  const auto same = [](const std::byte* at) {
    return static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(anywhere_16(at), poison_of_16())));
  };
  for (; end - p > 16; p += 16) right &= same(p);
  const auto in_front = static_cast<unsigned>(16 - (end - p));
  return right == 0xFFFF && (same(end - 16) | ((1U << in_front) - 1U)) == 0xFFFF;
}

/// Poison in places only. A block may be much smaller than its slot, for its alignment.
struct coarse_slots {
  static constexpr bool turns_often = true;
  static constexpr std::size_t size_for(std::size_t bytes) noexcept { return slot_size(size_class(bytes + 1)); }
  [[nodiscard]] static bool is_size_of(const slab& s, std::size_t bytes, std::size_t& size) noexcept
  {
    size = s.slot_bytes;
    return size > fine_bytes && bytes < size;
  }
  [[nodiscard]] static bin& bin_for(checked_cache& k, std::size_t bytes, std::size_t) noexcept
  {
    return k.bins[size_class(bytes + 1)];
  }
  [[nodiscard]] static bin& bin_in(checked_cache& k, const slab& s, std::size_t) noexcept { return k.bins[s.size_class]; }

  static void ask_for_later(const free_slot* next) noexcept { ask_for_next(next); }
  [[nodiscard]] static bool is_poison(const std::byte* slot, std::size_t size, const record& r, poison_rule rule) noexcept
  {
    if (!rule.sparse(size)) [[unlikely]] return false;
    const std::size_t block = block_of(bytes_of(tag_of(r.word.load(std::memory_order_relaxed))));
    poison_look look(slot);
    look.line(slot);
    look.line(slot + poison_line);
    look.line(slot + middle_line(slot, block));
    const std::byte* const end = slot + block_end(block, size);
    for (std::size_t i = 0; i != poison_line; i += 16) look.anywhere(end + i);
    look.line(slot + size - poison_line);
    return look.is_poison();
  }
  static void write_poison(std::byte* slot, std::size_t size, std::size_t bytes, poison_rule) noexcept
  {
    const std::size_t block = block_of(bytes);
    poison_a_line(slot);
    poison_a_line(slot + poison_line);
    poison_a_line(slot + middle_line(slot, block));
    std::byte* const end = slot + block_end(block, size);
    for (std::size_t i = 0; i != poison_line; i += 16)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(end + i), poison_of_16());
    poison_a_line(slot + size - poison_line);
  }

  static void write_redzone(std::byte* slot, std::size_t bytes, std::size_t size) noexcept
  {
    detail::write_redzone(slot, bytes, size);
  }
  // The redzone; and of the slot's last line what is poison behind it.
  [[nodiscard]] static bool is_intact_behind(const std::byte* slot, std::size_t bytes, std::size_t size,
                                             poison_rule rule) noexcept
  {
    if (!rule.sparse(size) || !redzone_intact(slot, bytes, size)) [[unlikely]] return false;
    if (size - bytes <= redzone_bytes) return true;
    if (size - bytes >= redzone_bytes + poison_line) return is_poison_line(slot + size - poison_line);
    return is_poison_tail(slot + bytes + redzone_bytes, slot + size);
  }

 private:
  static constexpr std::size_t block_of(std::size_t bytes) noexcept { return std::max(bytes, least_whole); }
  static constexpr std::size_t block_end(std::size_t block, std::size_t size) noexcept
  {
    return std::min(block - poison_line * 3 / 4, size - poison_line);
  }
  [[nodiscard]] static bool is_poison_line(const std::byte* p) noexcept
  {
    poison_look look(p);
    for (std::size_t i = 16; i != poison_line; i += 16) look.at(p + i);
    return look.is_poison();
  }
};

}  // namespace gpa::detail
