// The path nearly every small block takes: no lock, and without call stacks no call and no frame.
//
// Whatever is unusual (nothing to hand out, damage, a full period, a tag that differs) is noticed before anything is
// changed, and left to the general path, which sees the same and acts. Kept in step with checked_heap::allocate() and
// deallocate(): same claim, same order of stores. What differs by the slot's size is in slot_kinds.hpp.
//
// Where several caches free to a slab the claim comes first, and damage is told from here: before it is won the block may
// be somebody else's, and its memory gone.
//
// The order of the lines matters to compilers: so written, all values fit the registers that need not be saved.
// test/golden/instructions.txt holds the instructions of a pair.
#pragma once

#include "checked/checked_heap.hpp"
#include "checked/slot_kinds.hpp"

namespace gpa::detail {

/// What is computed from it before is computed again: as a part of addresses that costs nothing, kept it takes a register.
[[gnu::always_inline]] inline void keep_in_a_register(std::size_t& n) noexcept { asm("" : "+r"(n)); }

// In line wherever they are called: a call would need a frame, and clang 14 would make one.

template <class Slots>
[[gnu::always_inline]] inline void* checked_heap::allocate_short(checked_cache& k, std::size_t bytes,
                                                                 std::size_t alignment, std::uint32_t trace) noexcept
{
  if (!Slots::serve(alignment)) [[unlikely]] return nullptr;
  const std::size_t size = Slots::size_for(bytes, alignment);
  bin& b = Slots::bin_for(k, bytes, size);
  free_slot* const next = b.next;
  if (next == b.end) [[unlikely]] return nullptr;
  std::byte* const slot = next->slot;
  record& r = *next->record;
  Slots::ask_for_later(next);
  if (!Slots::is_poison(slot, size, r, k.poison)) [[unlikely]] return nullptr;
  b.next = next + 1;
  announce_hand_out(r, bytes, alignment);
  r.alloc_trace.store(trace, std::memory_order_relaxed);
  r.alloc_thread.store(k.thread, std::memory_order_relaxed);
  Slots::write_redzone(slot, bytes, size);
  r.word.store(make_word(encode(slot_state::live, bytes, alignment), 0), std::memory_order_release);
  k.counts.count_small_allocation(bytes);
  if (slot == nullptr) __builtin_unreachable();  // or the caller would compare
  return slot;
}

template <class Slots>
[[gnu::always_inline]] inline bool checked_heap::deallocate_short(checked_cache& k, void* p, std::size_t bytes,
                                                                  std::size_t alignment, std::uint32_t trace) noexcept
{
  if (!Slots::may_have(alignment)) [[unlikely]] return false;
  region* const found = region_of(p);
  if (found == nullptr) [[unlikely]] return false;
  const auto& s = static_cast<const slab&>(*found);
  auto* const slot = static_cast<std::byte*>(p);
  std::size_t size = 0;
  record* r = nullptr;
  free_slot* tail = nullptr;
  const auto poison = [&]() __attribute__((always_inline)) {
    Slots::write_poison(slot, size, bytes, k.poison);
    r->free_thread.store(k.thread, std::memory_order_relaxed);
    r->word.store(make_word(encode(slot_state::poisoned, bytes, alignment), trace), std::memory_order_release);
  };
  const bool claimed = do_alone(k, s, [&]() __attribute__((always_inline)) {
    // So it is a slab, and this heap's, as `k` is.
    if (!Slots::is_size_of(s, bytes, size)) [[unlikely]] return false;
    if constexpr (Slots::turns_often)
      if (const bin& b = Slots::bin_in(k, s, size); b.tail == b.stop) return false;
    const auto [index, exact] = s.slot_at(static_cast<std::size_t>(slot - s.base));
    if (!exact) [[unlikely]] return false;
    r = &s.records[index];
    if (r->word.load(std::memory_order_relaxed) != make_word(encode(slot_state::live, bytes, alignment), 0)) [[unlikely]]
      return false;
    if (!Slots::is_intact_behind(slot, bytes, size, k.poison)) [[unlikely]] return false;
    const bin& b = Slots::bin_in(k, s, size);
    tail = b.tail;
    if (!Slots::turns_often && tail == b.stop) [[unlikely]] return false;
    r->word.store(make_word(encode(slot_state::freed, bytes, alignment), trace), std::memory_order_release);
    if constexpr (Slots::poisoned_alone) poison();
    return true;
  });
  if (!claimed) [[unlikely]] return false;
  bin& b = Slots::bin_in(k, s, size);
  if constexpr (!Slots::poisoned_alone) {
    keep_in_a_register(size);
    poison();
  }
  k.counts.count_small_free(bytes);
  k.clock += b.step;
  *tail = free_slot{slot, r};
  b.tail = tail + 1;
  return true;
}

template <class Slots>
[[gnu::always_inline]] inline bool checked_heap::deallocate_shared(checked_cache& k, region& found, void* p,
                                                                   std::size_t bytes, std::size_t alignment,
                                                                   std::uint32_t trace) noexcept
{
  if (!Slots::may_have(alignment) || !k.heap->owns(found)) [[unlikely]] return false;
  auto& s = static_cast<slab&>(found);
  auto* const slot = static_cast<std::byte*>(p);
  std::size_t size = 0;
  if (!Slots::is_size_of(s, bytes, size)) [[unlikely]] return false;
  bin& b = Slots::bin_in(k, s, size);
  if (b.tail == b.stop) [[unlikely]] return false;
  const auto [index, exact] = s.slot_at(static_cast<std::size_t>(slot - s.base));
  if (!exact) [[unlikely]] return false;
  record& r = s.records[index];
  std::uint64_t expected = make_word(encode(slot_state::live, bytes, alignment), 0);
  const std::uint64_t freed = make_word(encode(slot_state::freed, bytes, alignment), trace);
  if (!r.word.compare_exchange_strong(expected, freed, std::memory_order_acq_rel, std::memory_order_relaxed)) [[unlikely]]
    return false;
  // Not before: the other thread may have freed it, and its memory be gone.
  if (!Slots::is_intact_behind(slot, bytes, size, k.poison)) [[unlikely]] {
    k.heap->complete_claimed_free(k, s, index, bytes, freed);
    return true;
  }
  Slots::write_poison(slot, size, bytes, k.poison);
  r.free_thread.store(k.thread, std::memory_order_relaxed);
  r.word.store(freed | poisoned_bit, std::memory_order_release);
  k.counts.count_small_free(bytes);
  k.clock += b.step;
  *b.tail++ = free_slot{slot, &r};
  return true;
}

}  // namespace gpa::detail
