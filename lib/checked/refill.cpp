// Where slots come from when a thread has none ready, and where they go when their quarantine is over.
//
// One lock, of the class, per batch of 64 slots or 64 KiB that is taken: what is over in the thread's own ring becomes free
// bits, and the lowest free bits of one slab become ready slots. And one where a ring is full, or where a thread that only
// frees has 32 slots and more to hand on. Only when no slab of the class has any does a new one come from the supply.
#include "checked/checked_heap.hpp"

#include "base/assert.hpp"
#include "blocks/owner.hpp"
#include "os/metadata.hpp"
#include "os/pages.hpp"

#include "base/bits.hpp"
#include "base/tools.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <new>

namespace gpa::detail {

namespace {

constexpr std::size_t first_piece = 4096;  // a slab is opened up a page at first, then twice as far each time
constexpr std::uint32_t worth_ordering = 512;  // fewer free bits than that are left alone while the ring has slots
constexpr std::uint32_t most_drained = 4096;  // slots that one hold of the lock turns into free bits

void put_bit(slab& s, std::size_t index) noexcept
{
  s.free_bits[index / 64] |= std::uint64_t{1} << index % 64;
  ++s.free_slots;
  ++s.idle_slots;
  s.cursor = std::min(s.cursor, static_cast<std::uint32_t>(index / 64));
}

// Clears the lowest bits of `s`, at most `wanted` and none from slot `end` on, and writes their slots to `to`, lowest
// address first. Returns how many; what the slab counts is the caller's to correct.
std::uint32_t take_free_bits(slab& s, std::uint32_t wanted, std::uint32_t end, free_slot* to) noexcept
{
  const std::size_t size = s.slot_bytes;
  std::byte* const base = s.base;
  record* const records = s.records;
  free_slot* const first = to;
  free_slot* const last = to + std::min(wanted, s.free_slots);
  std::uint32_t cursor = s.cursor;
  while (to != last) {
    const std::uint32_t behind = end - cursor * 64;  // slots that may be taken, from this word's first on
    if (static_cast<std::int32_t>(behind) <= 0) break;
    const std::uint64_t here = behind < 64 ? (std::uint64_t{1} << behind) - 1 : ~std::uint64_t{0};
    std::uint64_t& word = s.free_bits[cursor];
    std::uint64_t bits = word & here;
    while (bits != 0 && to != last) {
      const std::size_t index = cursor * std::size_t{64} + static_cast<std::size_t>(std::countr_zero(bits));
      bits &= bits - 1;
      *to++ = {base + index * size, records + index};
    }
    word = (word & ~here) | bits;
    if (word != 0) break;
    if (to != last) ++cursor;
  }
  s.cursor = cursor;
  return static_cast<std::uint32_t>(to - first);
}

void poison_untouched(const free_slot& next, std::size_t size, poison_rule rule) noexcept
{
  const std::uint64_t word = next.record->word.load(std::memory_order_relaxed);
  if (is_poisoned(state_of(tag_of(word)))) return;
  GPA_ASSERT(!is_live(state_of(tag_of(word))));  // it is nobody's
  tools_open(next.slot, size);
  write_poison(next.slot, size, bytes_of(tag_of(word)), rule);
  tools_close(next.slot, size);
  next.record->word.store(make_word(with_state(tag_of(word), slot_state::poisoned), free_trace_of(word)),
                          std::memory_order_release);
}

bin_arrays* new_arrays() noexcept
{
  auto* const fresh = static_cast<bin_arrays*>(metadata_allocate_unset(sizeof(bin_arrays)));
  if (fresh != nullptr) fresh->mark = fresh->over = 0;  // of a fresh page, to write before reading: else the system is asked twice for it
  return fresh;
}

// The slot size that serves a request, or 0 when it is too large for a slab.
std::size_t small_size(std::size_t bytes, std::size_t alignment) noexcept
{
  if (bytes > small_limit || alignment > small_alignment) return 0;
  const std::size_t size = alignment <= 16 ? bytes + 1 : round_up(bytes + 1, alignment);
  return size <= largest_slot ? size : 0;
}

}  // namespace

void* checked_heap::allocate_slow(checked_cache& k, std::size_t bytes, std::size_t alignment,
                                  const void* caller) noexcept
{
  const std::size_t size = small_size(bytes, alignment);
  if (size == 0) {
    const std::uint32_t trace = k.frames != 0 ? capture_stack(k.frames, caller) : 0;
    void* const p = large_.allocate(bytes, alignment, trace, k.thread);
    if (p == nullptr) return nullptr;
    k.counts.count_allocation(bytes);
    k.counts.settle();
    return p;
  }
  const unsigned c = size_class(size);
  bin& b = k.bins[c];
  if (b.next == b.end && !refill(k, c)) return nullptr;
  return hand_out(k, c, *b.next++, bytes, alignment, caller);
}

bool checked_heap::refill(checked_cache& k, unsigned c) noexcept
{
  bin& b = k.bins[c];
  if (b.arrays == nullptr) {
    b.arrays = new_arrays();
    if (b.arrays == nullptr) return false;
  }
  const std::uint32_t wanted = batch_slots(slot_size(c));
  k.counts.settle();
  if (find_ready(k, b)) return true;
  k.catch_up();
  b.mark_open_period(k.clock);
  for (bool shares = false;;) {
    bool passed_over = false;  // there was a slab, but of somebody else
    slab* from = nullptr;
    std::uint32_t untouched = 0;
    std::uint32_t left = 0;  // free bits of the slab that are not taken now
    {
      const mutex_guard guard(classes_[c].lock);
      drain(k, c, false);
      from = slab_with_free(k, c);
      passed_over = from != nullptr && !shares && from->sole.load(std::memory_order_relaxed) != &k &&
                    may_have_its_own(*from, c);
      if (passed_over) from = nullptr;
      if (from != nullptr) {
        untouched = take_slots(c, *from, b, wanted);
        left = from->free_slots + (from->listed && from->next_free != nullptr ? from->next_free->free_slots : 0);
      }
    }
    if (b.next != b.end) {
      b.direct = untouched != 0 || left < worth_ordering;
      for (const free_slot* next = b.end - untouched; next != b.end; ++next) poison_untouched(*next, slot_size(c), poison_);
      if (const void* const sole = from->sole.load(std::memory_order_acquire); sole != nullptr && sole != &k) share(*from);
      owner_.heartbeat();
      return true;
    }
    slab* const s = new_slab(c, !passed_over);
    if (s != nullptr) add_slab(*s, k);
    if (b.next != b.end) return true;  // damage was found on the way, and a handler told of it has allocated
    if (s != nullptr) {
      continue;
    } else if (passed_over) {
      shares = true;
    } else {
      return false;
    }
  }
}

// Slots whose quarantine ended last are handed out next, at most a period of them.
bool checked_heap::find_ready(checked_cache& k, bin& b) noexcept
{
  if (!b.direct || b.arrays == nullptr) return false;
  const std::uint32_t over = k.look_how_far(b);
  const std::uint32_t head = b.head;
  if (over == head) return false;
  const std::uint32_t in_period = head & (b.period() - 1);
  if (in_period == 0) b.put_last_first(over);
  const std::uint32_t count = std::min({most_ready, over - head, b.period() - in_period});
  free_slot* const first = &b.entry(head);
  b.set_ready(first, first + count);
  b.head = head + count;
  b.takes = true;
  return true;
}

bool checked_heap::turn_period(checked_cache& k, bin& b) noexcept
{
  if (b.entries == nullptr || k.clock - k.looked_at >= k.look_after || !b.has_room_for_the_next()) return false;
  if (k.has_some_for_others(b)) return false;
  k.heap->look_at_peak(k);
  k.counts.settle();
  k.catch_up();
  b.close_period(k.clock);
  return true;
}

// Free bits become ready slots, to be handed out in the order of their addresses. Returns how many of them, the last ones,
// may have no poison: never handed out, or dropped by trim() or a look for surplus.
std::uint32_t checked_heap::take_slots(unsigned c, slab& s, bin& b, std::uint32_t wanted) noexcept
{
  GPA_ASSERT(s.size_class == c && s.slot_bytes == slot_size(c));  // else slots would lie across each other
  const std::uint32_t carved = s.carved.load(std::memory_order_relaxed);
  const std::uint32_t piece = std::max(static_cast<std::uint32_t>(first_piece / s.slot_bytes), std::max(carved, 1U));
  const std::uint32_t open_to = std::min(carved + piece, s.slot_count);  // slots from here on stay untouched
  free_slot* const ready = b.arrays->ready.data();
  const std::uint32_t taken = take_free_bits(s, wanted, open_to, ready);
  s.free_slots -= taken;
  classes_[c].free -= taken;
  std::uint32_t untouched = 0;
  while (untouched != taken && ready[taken - 1 - untouched].record >= s.records + carved) ++untouched;
  if (untouched != 0) {
    const auto end = static_cast<std::uint32_t>(ready[taken - 1].record - s.records) + 1;
    s.touched = std::max(s.touched, static_cast<std::uint16_t>(end));
    s.carved.store(end, std::memory_order_release);
  }
  const std::uint32_t taken_idle = std::min(s.idle_slots, taken - untouched);
  s.idle_slots -= taken_idle;
  taken_.fetch_add(taken * s.slot_bytes, std::memory_order_relaxed);
  idle_.fetch_sub(taken_idle * s.slot_bytes, std::memory_order_relaxed);
  tolerance_.note_less(idle());
  if (s.held != s.bytes) {  // pages were dropped
    const mutex_guard guard(tolerance_lock_);
    tolerance_.note_need(s.bytes - s.held, idle());
    held_.fetch_add(s.bytes - s.held, std::memory_order_relaxed);
    s.held = static_cast<std::uint32_t>(s.bytes);
  }
  if (s.thinned) untouched = taken;
  if (s.free_slots == 0) {
    classes_[c].with_free = s.next_free;
    s.listed = false;
    s.thinned = false;
  }
  b.set_ready(ready, ready + taken);
  b.takes = true;
  return untouched;
}

void checked_heap::list_free(unsigned c, slab& s) noexcept
{
  GPA_ASSERT(s.size_class == c);
  if (s.listed) return;
  s.listed = true;
  s.next_free = classes_[c].with_free;
  classes_[c].with_free = &s;
}

void checked_heap::put_free(unsigned c, std::byte* slot) noexcept
{
  auto& s = static_cast<slab&>(*region_of(slot));
  list_free(c, s);
  put_bit(s, s.index_of(slot));
  ++classes_[c].free;
  idle_.fetch_add(s.slot_bytes, std::memory_order_relaxed);
  taken_.fetch_sub(s.slot_bytes, std::memory_order_relaxed);
}

// Slots of the ring whose quarantine is over, or all of them, become free bits.
void checked_heap::drain(checked_cache& k, unsigned c, bool all) noexcept
{
  bin& b = k.bins[c];
  std::uint32_t left = all ? b.waiting() : most_drained;
  std::uint32_t head = b.head;
  for (;;) {
    // As many as stand side by side in the ring's array.
    const std::uint32_t in_period = b.period() - (head & (b.period() - 1));
    const std::uint32_t run = std::min({left, in_period, all ? left : k.slots_over(b, head)});
    if (run == 0) break;
    const free_slot* const first = &b.entry(head);
    for (const free_slot* next = first; next != first + run; ++next) {
      auto& s = static_cast<slab&>(*region_of(next->slot));
      if (!s.listed) list_free(c, s);
      put_bit(s, static_cast<std::size_t>(next->record - s.records));
    }
    head += run;
    left -= run;
  }
  classes_[c].free += head - b.head;
  const std::size_t drained = (head - b.head) * slot_size(c);
  idle_.fetch_add(drained, std::memory_order_relaxed);
  taken_.fetch_sub(drained, std::memory_order_relaxed);
  b.move_head(head);
  if (all) b.forget_waiting();
}

// At any price: the quarantine of large blocks may end for it. A smaller one is better than none: an upstream may be small,
// or nearly used up.
slab* checked_heap::new_slab(unsigned c, bool at_any_price) noexcept
{
  for (std::size_t bytes = slab_size(c); bytes >= granule_size; bytes /= 2)
    if (slab* const s = new_slab_of(c, bytes); s != nullptr) return s;
  return at_any_price && large_.end_quarantine() ? new_slab_of(c, slab_size(c)) : nullptr;
}

slab* checked_heap::new_slab_of(unsigned c, std::size_t bytes) noexcept
{
  const std::size_t slot = slot_size(c);
  const std::size_t fitting = bytes / slot;
  const std::size_t count = used_slots(fitting);
  void* const place = metadata_allocate(sizeof(slab));
  auto* const records = static_cast<std::byte*>(metadata_allocate(records_bytes(fitting)));
  std::byte* const base = place != nullptr && records != nullptr ? supply_.take(bytes, granule_size) : nullptr;
  slab* s = nullptr;
  if (base != nullptr) {
    s = new (place) slab;
    s->owner = &owner_;
    s->base = base;
    s->bytes = bytes;
    s->kind = region_kind::checked_slab;
    s->slot_reciprocal = reciprocal(slot);
    s->records = reinterpret_cast<record*>(records + bits_bytes(fitting));
    s->slot_bytes = static_cast<std::uint32_t>(slot);
    s->slot_count = static_cast<std::uint32_t>(count);
    s->size_class = static_cast<std::uint8_t>(c);
    s->held = static_cast<std::uint32_t>(bytes);
    s->free_bits = reinterpret_cast<std::uint64_t*>(records);
    s->free_slots = s->slot_count;
    for (std::size_t i = 0; i != count / 64; ++i) s->free_bits[i] = ~std::uint64_t{0};  // and not read: as in new_arrays()
    if (count % 64 != 0) s->free_bits[count / 64] = (std::uint64_t{1} << count % 64) - 1;
    if (!enter_region(*s)) {
      supply_.give_back(base, bytes, granule_size);
      s = nullptr;
    }
  }
  if (s == nullptr) {
    if (place != nullptr) metadata_free(place, sizeof(slab));
    if (records != nullptr) metadata_free(records, records_bytes(fitting));
    return nullptr;
  }
  held_.fetch_add(bytes, std::memory_order_relaxed);
  return s;
}

// Called when the open period is full, or when there is no ring yet. False: no memory for it, or none is wanted.
bool checked_heap::make_room(checked_cache& k, unsigned c) noexcept
{
  k.counts.settle();
  if (k.rule.endless) return false;  // the slot is never handed out again, so nothing need know it is free
  bin& b = k.bins[c];
  if (b.entries != nullptr) {
    k.catch_up();
    b.close_period(k.clock);
    if (k.clock - k.looked_at >= k.look_after) look_for_surplus(k);
    if (b.has_room_for_a_period() && !k.has_some_for_others(b)) return true;
    b.takes = false;
    b.take_ready_out_of_ring();
    const mutex_guard guard(classes_[c].lock);
    const std::uint32_t before = b.waiting();
    drain(k, c, false);
    if (before - b.waiting() >= worth_ordering) b.direct = false;  // much was freed: better from the slabs, in order
    GPA_ASSERT(b.has_room_for_a_period());
    return true;
  }
  return make_ring(k, c);
}

bool checked_heap::make_ring(checked_cache& k, unsigned c) noexcept
{
  bin& b = k.bins[c];
  if (b.arrays == nullptr) {
    b.arrays = new_arrays();
    if (b.arrays == nullptr) return false;
    b.next = b.end = b.arrays->ready.data();
  }
  const std::size_t slot = slot_size(c);
  const ring_shape shape = ring_shape::of(k.rule, slot);
  void* const entries = metadata_allocate_unset(ring_bytes(shape.capacity));
  if (entries == nullptr) return false;
  b.set_ring(static_cast<free_slot*>(entries), shape, k.rule.step(slot));
  return true;
}

}  // namespace gpa::detail
