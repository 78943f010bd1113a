// The path of blocks too large for tiny_path.hpp and small enough for a slab: no lock.
//
// As there, whatever is unusual is noticed before anything is changed, and left to the general path. Kept in step with
// tiny_path.hpp and with checked_heap::allocate() and deallocate(): same claim, same order of stores.
#pragma once

#include "checked/tiny_path.hpp"

namespace gpa::detail {

/// Asks for what handing out the next slot will read and write. Behind the last ready slot stand stale ones, which a
/// prefetch may name.
inline void prefetch_next(const free_slot& ahead) noexcept
{
  __builtin_prefetch(ahead.record, 1, 2);
  const auto place = reinterpret_cast<std::uintptr_t>(ahead.slot);  // may be null: a number, then
  for (std::size_t line = 0; line != 4 * poison_line; line += poison_line)
    __builtin_prefetch(reinterpret_cast<const void*>(place + line), 0, 2);
}

inline void* checked_heap::allocate_small(checked_cache& k, std::size_t bytes, std::size_t alignment, std::uint32_t trace) noexcept
{
  if (!is_tiny_alignment(alignment) || bytes > small_limit) [[unlikely]] return nullptr;
  const unsigned c = size_class(bytes + 1);
  const std::size_t size = slot_size(c);
  bin& b = k.bins[c];
  if (b.next == b.end && !find_ready(k, b)) [[unlikely]] return nullptr;
  free_slot* const next = b.next;
  std::byte* const slot = next->slot;
  record& r = *next->record;
  prefetch_next(next[1]);
  const std::size_t bytes_before = bytes_of(tag_of(r.word.load(std::memory_order_relaxed)));
  if (!holds_poison(slot, size, bytes_before, k.poison)) [[unlikely]] return nullptr;
  b.next = next + 1;
  announce_hand_out(r, bytes, alignment);
  r.alloc_trace.store(trace, std::memory_order_relaxed);
  r.alloc_thread.store(k.thread, std::memory_order_relaxed);
  write_redzone(slot, bytes, size);
  r.word.store(make_word(encode(slot_state::live, bytes, alignment), 0), std::memory_order_release);
  k.counts.count_allocation(bytes);
  return slot;
}

inline bool checked_heap::deallocate_small(checked_cache& k, void* p, std::size_t bytes, std::size_t alignment,
                                    std::uint32_t trace) noexcept
{
  if (alignment > 16) [[unlikely]] return false;
  region* const found = region_of(p);
  if (found == nullptr || found->sole.load(std::memory_order_relaxed) != &k) [[unlikely]] return false;
  const auto& s = static_cast<const slab&>(*found);  // and this heap's, as `k` is
  auto* const slot = static_cast<std::byte*>(p);
  const auto [index, exact] = s.slot_at(static_cast<std::size_t>(slot - s.base));
  const std::size_t size = s.slot_bytes;
  bin& b = k.bins[s.size_class];
  if (!exact || bytes >= size || !behind_intact(slot, bytes, size, k.poison)) [[unlikely]] return false;
  if (b.tail == b.stop && !turn_period(k, b)) [[unlikely]] return false;
  record& r = s.records[index];
  const std::uint64_t freed = make_word(encode(slot_state::freed, bytes, alignment), trace);
  if (!claim_alone(k, s, r.word, make_word(encode(slot_state::live, bytes, alignment), 0), freed)) [[unlikely]]
    return false;
  write_poison(slot, size, bytes, k.poison);
  r.free_thread.store(k.thread, std::memory_order_relaxed);
  r.word.store(freed | poisoned_bit, std::memory_order_release);
  k.counts.count_free(bytes);
  k.clock += b.step;
  *b.tail++ = free_slot{slot, &r};
  return true;
}

}  // namespace gpa::detail
