// The kinds of slots that the short path tells apart, three of them so that it needs neither a call nor a frame: where a
// block's bin is, where its redzone stands, how poison is written and looked at.
//
//    tiny          blocks below 128 bytes    classes 16 bytes apart    whole, without a loop
//    fine          below 1 KiB               16 bytes apart            whole, in a loop; or in places
//    coarse        up to 32 KiB              an eighth apart           in places; whole where an option wants it: not here
//    over-aligned  to 32 bytes and more      any                       as poison.hpp and fill.hpp have it
//
// Which bytes are poison is poison.hpp's to say, and where the redzone stands fill.hpp's: this is the same, unrolled.
//
// Reading is exempt from sanitizers, as there.
#pragma once

#include "base/bits.hpp"
#include "checked/checked_cache.hpp"
#include "checked/fill.hpp"
#include "checked/poison_moves.hpp"
#include "checked/quarantine.hpp"
#include "checked/slab.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include <emmintrin.h>

namespace gpa::detail {

/// Blocks of fewer bytes have tiny slots.
inline constexpr std::size_t tiny_bytes = 128;
/// Blocks of fewer bytes have tiny or fine slots.
inline constexpr std::size_t fine_bytes = 1024;

/// Blocks that are aligned to 1, 2, 4, 8 or 16: every slot is.
struct any_slots {
  [[nodiscard]] static constexpr bool serve(std::size_t alignment) noexcept
  {
    if (!may_have(alignment)) [[unlikely]] return false;
    return ((0x10116U >> alignment) & 1U) != 0;
  }
  /// Of a block that is freed: what it was aligned to its record says.
  [[nodiscard]] static constexpr bool may_have(std::size_t alignment) noexcept { return alignment <= 16; }
};

/// Slots whose redzone is in their last 16 bytes, and whose bin is found from their size.
struct evenly_spaced_slots : any_slots {
  static constexpr bool poisoned_alone = false;  // while nobody else may claim: see claim.hpp
  static constexpr bool turns_often = false;  // periods are of few slots, so that their end is worth a look ahead
  static constexpr std::size_t size_for(std::size_t bytes, std::size_t) noexcept { return (bytes + 16) & ~std::size_t{15}; }
  /// A block that was shrunk where it stands, in a slot too large for it, has its redzone elsewhere: it is not found intact.
  [[nodiscard]] static bool is_size_of(const slab& s, std::size_t, std::size_t& size) noexcept
  {
    size = s.slot_bytes;
    return size <= fine_bytes;
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
  static constexpr bool poisoned_alone = true;
  /// Behind the last ready slot stand stale ones, which a prefetch may name.
  // In line at once: g++ 12 takes a function that does nothing but ask for one without effect, and drops the call.
  [[gnu::always_inline]] static void ask_for_later(const free_slot* next) noexcept
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
template <std::size_t lines>
inline void ask_for_next(const free_slot* next) noexcept
{
  __builtin_prefetch(next[1].record, 1, 2);
  const auto place = reinterpret_cast<std::uintptr_t>(next[1].slot);  // may be stale, or null: a number
  for (std::size_t line = 0; line != lines * poison_line; line += poison_line)
    __builtin_prefetch(reinterpret_cast<const void*>(place + line), 0, 2);
}

/// Where the middle line of a sparse slot begins, whose block had so many bytes: see poison_lines.
[[nodiscard]] inline std::size_t middle_line(const std::byte* slot, std::size_t block) noexcept
{
  return block / 2 - (reinterpret_cast<std::uintptr_t>(slot) + block / 2) % poison_line;
}

/// A line at a time, the last one maybe twice.
template <class Moves>
struct fine_slots : evenly_spaced_slots {
  static void ask_for_later(const free_slot* next) noexcept { ask_for_next<4>(next); }
  [[nodiscard]] static bool is_poison(const std::byte* slot, std::size_t size, const record&, poison_rule rule) noexcept
  {
    const std::byte* const last = slot + size - poison_line;
    if (rule.sparse(size)) return Moves::is_poison_at(slot, slot + middle_line(slot, size - 16), last);
    return Moves::is_poison_up_to(slot, last);
  }
  static void write_poison(std::byte* slot, std::size_t size, std::size_t, poison_rule rule) noexcept
  {
    std::byte* const last = slot + size - poison_line;
    if (rule.sparse(size)) {
      Moves::write_places(slot, slot + middle_line(slot, size - 16), last);
    } else {
      Moves::write_up_to(slot, last);
    }
  }
};

/// The slot that a block of `bytes` bytes (1 KiB to 32 KiB, aligned to 16 at most) takes, by bytes / 128: of those sizes
/// each is a multiple of 128. The last ones are for blocks aligned to more.
struct coarse_slot {
  std::uint16_t size;
  std::uint8_t size_class;
};
inline constexpr auto coarse_slots_by_bytes = [] {
  std::array<coarse_slot, largest_slot / 128> all{};
  for (std::size_t i = fine_bytes / 128; i != all.size(); ++i) {
    const unsigned c = size_class(i * 128 + 1);
    all[i] = {static_cast<std::uint16_t>(slot_size(c)), static_cast<std::uint8_t>(c)};
  }
  return all;
}();

/// Poison in places only. A block may be much smaller than its slot, for its alignment.
template <class Moves>
struct coarse_slots : any_slots {
  static constexpr bool poisoned_alone = false;
  static constexpr bool turns_often = true;
  static std::size_t size_for(std::size_t bytes, std::size_t) noexcept { return coarse_slots_by_bytes[bytes / 128].size; }
  [[nodiscard]] static bool is_size_of(const slab& s, std::size_t bytes, std::size_t& size) noexcept
  {
    size = s.slot_bytes;
    return bytes < size;
  }
  [[nodiscard]] static bin& bin_for(checked_cache& k, std::size_t bytes, std::size_t) noexcept
  {
    return k.bins[coarse_slots_by_bytes[bytes / 128].size_class];
  }
  [[nodiscard]] static bin& bin_in(checked_cache& k, const slab& s, std::size_t) noexcept { return k.bins[s.size_class]; }

  static void ask_for_later(const free_slot* next) noexcept { ask_for_next<2>(next); }
  [[nodiscard]] static bool is_poison(const std::byte* slot, std::size_t size, const record& r, poison_rule rule) noexcept
  {
    if (!rule.sparse(size)) [[unlikely]] return false;
    const std::size_t block = block_of(bytes_of(tag_of(r.word.load(std::memory_order_relaxed))));
    return Moves::is_poison_at(slot, slot + middle_line(slot, block), slot + block_end(block, size),
                               slot + size - poison_line);
  }
  static void write_poison(std::byte* slot, std::size_t size, std::size_t bytes, poison_rule) noexcept
  {
    Moves::write_places(slot, slot + middle_line(slot, bytes), slot + block_end(bytes, size), slot + size - poison_line);
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
    const std::size_t behind = size - bytes;
    const std::byte* const last = slot + size - poison_line;
    if (behind >= redzone_bytes + poison_line) return Moves::is_poison_line(last);
    if (behind <= redzone_bytes) return true;
    return Moves::changed_bytes(last) >> (poison_line + redzone_bytes - behind) == 0;
  }

 private:
  static constexpr std::size_t block_of(std::size_t bytes) noexcept { return std::max(bytes, least_whole); }
  static constexpr std::size_t block_end(std::size_t block, std::size_t size) noexcept
  {
    return std::min(block - poison_line * 3 / 4, size - poison_line);
  }
};

/// Of blocks up to 32 KiB that are aligned to 32 bytes and more: poisoned as slots of their size are, and with more poison
/// behind the redzone.
template <class Moves>
struct over_aligned_slots {
  static constexpr bool poisoned_alone = false;
  static constexpr bool turns_often = true;
  [[nodiscard]] static constexpr bool serve(std::size_t alignment) noexcept
  {
    return may_have(alignment) && alignment != 0 && (alignment & (alignment - 1)) == 0;
  }
  [[nodiscard]] static constexpr bool may_have(std::size_t alignment) noexcept { return alignment <= small_alignment; }

  /// A multiple of the alignment, as the slots of its class are then (size_class.hpp).
  static constexpr std::size_t size_for(std::size_t bytes, std::size_t alignment) noexcept
  {
    const std::size_t least = round_up(bytes + 1, alignment);
    return least <= fine_bytes ? least : coarse_slots_by_bytes[(least - 1) / 128].size;
  }
  [[nodiscard]] static bool is_size_of(const slab& s, std::size_t bytes, std::size_t& size) noexcept
  {
    size = s.slot_bytes;
    return bytes < size;
  }
  [[nodiscard]] static bin& bin_for(checked_cache& k, std::size_t, std::size_t size) noexcept
  {
    return size <= fine_bytes ? k.bin_of(size) : k.bins[coarse_slots_by_bytes[(size - 1) / 128].size_class];
  }
  [[nodiscard]] static bin& bin_in(checked_cache& k, const slab& s, std::size_t) noexcept { return k.bins[s.size_class]; }

  static void ask_for_later(const free_slot* next) noexcept { ask_for_next<2>(next); }
  [[nodiscard]] static bool is_poison(const std::byte* slot, std::size_t size, const record& r, poison_rule rule) noexcept
  {
    if (size <= tiny_bytes) return tiny_slots::is_poison(slot, size, r, rule);
    if (size <= fine_bytes) return fine_slots<Moves>::is_poison(slot, size, r, rule);
    return coarse_slots<Moves>::is_poison(slot, size, r, rule);
  }
  static void write_poison(std::byte* slot, std::size_t size, std::size_t bytes, poison_rule rule) noexcept
  {
    if (size <= tiny_bytes) return tiny_slots::write_poison(slot, size, bytes, rule);
    if (size <= fine_bytes) return fine_slots<Moves>::write_poison(slot, size, bytes, rule);
    if (rule.sparse(size)) return coarse_slots<Moves>::write_poison(slot, size, std::max(bytes, least_whole), rule);
    detail::write_poison(slot, size, bytes, rule);
  }

  static void write_redzone(std::byte* slot, std::size_t bytes, std::size_t size) noexcept
  {
    detail::write_redzone(slot, bytes, size);
  }
  [[nodiscard]] static bool is_intact_behind(const std::byte* slot, std::size_t bytes, std::size_t size,
                                             poison_rule rule) noexcept
  {
    if (size > fine_bytes || rule.sparse(size)) return coarse_slots<Moves>::is_intact_behind(slot, bytes, size, rule);
    return redzone_intact(slot, bytes, size) &&
           (size - bytes <= redzone_bytes || all_poison(slot + bytes + redzone_bytes, slot + size));
  }
};

}  // namespace gpa::detail
