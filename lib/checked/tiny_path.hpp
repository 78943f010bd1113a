// The path nearly every small block takes: no lock, and without call stacks no call and no frame.
//
// Whatever is unusual (nothing to hand out, damage, a full ring, a tag that differs) is noticed before anything is
// changed, and left to the general path, which sees the same and acts. Kept in step with checked_heap::allocate() and
// deallocate(): same claim, same order of stores.
//
// About 225 instructions a pair of 64 bytes, front door and poison included (g++ 12 -O3, callgrind, 2026-11-22);
// test/golden/instructions.txt holds the sum.
#pragma once

#include "checked/checked_heap.hpp"

namespace gpa::detail {

inline constexpr std::size_t tiny_bytes = 128;

/// 1, 2, 4, 8 or 16.
constexpr bool is_tiny_alignment(std::size_t alignment) noexcept
{
  return alignment <= 16 && ((0x10116U >> alignment) & 1U) != 0;
}

// Slots of 16 to 128 bytes: from both ends towards the middle, where 16 bytes may be taken twice. No loop, no call.

GPA_NO_SANITIZE inline __m128i poison_in_16(const std::byte* p) noexcept
{
  return _mm_cmpeq_epi8(_mm_load_si128(reinterpret_cast<const __m128i*>(p)), _mm_set1_epi8(static_cast<char>(poison_byte)));
}

[[gnu::always_inline]] inline bool is_poison_tiny(const std::byte* p, std::size_t size) noexcept
{
  const std::byte* const end = p + size;
  __m128i same = _mm_and_si128(poison_in_16(p), poison_in_16(end - 16));
  if (size > 32) {
    same = _mm_and_si128(same, _mm_and_si128(poison_in_16(p + 16), poison_in_16(end - 32)));
    if (size > 64) {
      same = _mm_and_si128(same, _mm_and_si128(poison_in_16(p + 32), poison_in_16(end - 48)));
      if (size > 96) same = _mm_and_si128(same, _mm_and_si128(poison_in_16(p + 48), poison_in_16(end - 64)));
    }
  }
  return _mm_movemask_epi8(same) == 0xFFFF;
}

[[gnu::always_inline]] inline void write_poison_tiny(std::byte* p, std::size_t size) noexcept
{
  const auto write = [poison = _mm_set1_epi8(static_cast<char>(poison_byte))](std::byte* at) {
    _mm_store_si128(reinterpret_cast<__m128i*>(at), poison);
  };
  std::byte* const end = p + size;
  write(p);
  write(end - 16);
  if (size <= 32) return;
  write(p + 16);
  write(end - 32);
  if (size <= 64) return;
  write(p + 32);
  write(end - 48);
  if (size <= 96) return;
  write(p + 48);
  write(end - 64);
}

/// What is computed from it before is computed again: as a part of addresses that costs nothing, kept it takes a register.
[[gnu::always_inline]] inline void keep_in_a_register(std::size_t& n) noexcept { asm("" : "+r"(n)); }

// Whether a slot's last bytes, from `bytes` of the block on (at most 16 of them), are all redzone.
GPA_NO_SANITIZE inline bool ends_in_redzone(const std::byte* end, std::size_t bytes) noexcept
{
  const __m128i seen = _mm_load_si128(reinterpret_cast<const __m128i*>(end - redzone_bytes));
  const auto wrong = 0xFFFFU ^ static_cast<unsigned>(_mm_movemask_epi8(
                                   _mm_cmpeq_epi8(seen, _mm_set1_epi8(static_cast<char>(redzone_byte)))));
  return wrong >> (bytes % redzone_bytes) == 0;
}

// In line wherever it is called: a call would need a frame, and clang 14 would make one.
[[gnu::always_inline]] inline void* checked_heap::allocate_tiny(checked_cache& k, std::size_t bytes,
                                                                std::size_t alignment, std::uint32_t trace) noexcept
{
  if (!is_tiny_alignment(alignment)) [[unlikely]] return nullptr;
  const std::size_t size = (bytes + 16) & ~std::size_t{15};
  bin& b = k.bin_of(size);
  free_slot* const next = b.next;
  if (next == b.end) [[unlikely]] return nullptr;
  std::byte* const slot = next->slot;
  record& r = *next->record;
  // Behind the last ready slot stand stale ones, which a prefetch may name.
  __builtin_prefetch(next[slots_ahead].slot, 0, 2);
  __builtin_prefetch(next[slots_ahead].record, 1, 2);
  if (!is_poison_tiny(slot, size)) [[unlikely]] return nullptr;
  b.next = next + 1;
  announce_hand_out(r, bytes, alignment);
  r.alloc_trace.store(trace, std::memory_order_relaxed);
  r.alloc_thread.store(k.thread, std::memory_order_relaxed);
  _mm_store_si128(reinterpret_cast<__m128i*>(slot + size - redzone_bytes),
                  _mm_set1_epi8(static_cast<char>(redzone_byte)));
  r.word.store(make_word(encode(slot_state::live, bytes, alignment), 0), std::memory_order_release);
  k.counts.count_allocation(bytes);
  return slot;
}

[[gnu::always_inline]] inline bool checked_heap::deallocate_tiny(checked_cache& k, void* p, std::size_t bytes,
                                                                 std::size_t alignment, std::uint32_t trace) noexcept
{
  if (alignment > 16) [[unlikely]] return false;
  region* const found = region_of(p);
  if (found == nullptr) [[unlikely]] return false;
  const auto& s = static_cast<const slab&>(*found);
  return do_alone(k, s, [&] {  // so from here on it is a slab, and this heap's, as `k` is
    // A slot of another class came from an alignment, or the bytes are wrong: not for this path.
    std::size_t size = (bytes + 16) & ~std::size_t{15};
    if (s.slot_bytes != static_cast<std::uint32_t>(size)) [[unlikely]] return false;
    auto* const slot = static_cast<std::byte*>(p);
    const auto [index, exact] = s.slot_at(static_cast<std::size_t>(slot - s.base));
    if (!exact) [[unlikely]] return false;
    record& r = s.records[index];
    if (r.word.load(std::memory_order_relaxed) != make_word(encode(slot_state::live, bytes, alignment), 0)) [[unlikely]]
      return false;
    if (!ends_in_redzone(slot + size, bytes)) [[unlikely]] return false;
    bin& b = k.bin_of(size);
    free_slot* const tail = b.tail;
    if (tail == b.stop) [[unlikely]] return false;
    r.word.store(make_word(encode(slot_state::freed, bytes, alignment), trace), std::memory_order_release);
    keep_in_a_register(size);
    write_poison_tiny(slot, size);
    r.free_thread.store(k.thread, std::memory_order_relaxed);
    r.word.store(make_word(encode(slot_state::poisoned, bytes, alignment), trace), std::memory_order_release);
    k.counts.count_free(bytes);
    k.clock += b.step;
    *tail = free_slot{slot, &r};
    b.tail = tail + 1;
    return true;
  });
}

}  // namespace gpa::detail
