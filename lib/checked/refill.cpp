// Where slots come from when a thread's ring has none to hand out, and where they go when it holds too many.
//
// In order: a batch that another thread gave up, the next piece of the thread's current slab, a slab with room that
// nobody carves from, a new slab. One lock per batch; none for a piece.
#include "checked/checked_heap.hpp"

#include "blocks/owner.hpp"
#include "os/metadata.hpp"
#include "os/pages.hpp"

#include "base/bits.hpp"
#include "base/tools.hpp"

#include <algorithm>
#include <bit>
#include <new>

namespace gpa::detail {

namespace {

constexpr std::size_t piece_bytes = 4096;  // fresh memory is poisoned in pieces of about this size

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
    if (p != nullptr) k.counts.count_allocation(bytes);
    return p;
  }
  const unsigned c = size_class(size);
  bin& b = k.bins[c];
  for (;;) {
    if (b.head != b.tail) {
      const ring_entry oldest = b.entries[b.head & b.mask];
      if (k.is_over(oldest)) {
        ++b.head;
        return hand_out(k, c, oldest.slot(), *oldest.record(), bytes, alignment, caller);
      }
    }
    if (b.fresh != b.fresh_end) {
      std::byte* const slot = b.fresh;
      b.fresh += slot_size(c);
      return hand_out(k, c, slot, *b.fresh_record++, bytes, alignment, caller);
    }
    if (!refill(k, c)) return nullptr;
  }
}

bool checked_heap::refill(checked_cache& k, unsigned c) noexcept
{
  bin& b = k.bins[c];
  if (central_count_[c].load(std::memory_order_relaxed) != 0 && take_batch(k, c)) return true;
  if (carve(k, c)) return true;
  slab* next = nullptr;
  {
    const mutex_guard guard(lock_);
    if (b.current != nullptr) b.current->carving = false;
    b.current = nullptr;
    next = with_room_[c];
    if (next != nullptr) {
      with_room_[c] = next->next_free;
      next->carving = true;
      next->listed = false;
      central_count_[c].fetch_sub(1, std::memory_order_relaxed);
    }
  }
  if (next == nullptr) next = new_slab(c);
  if (next == nullptr) return false;
  b.current = next;
  return carve(k, c);
}

// The next piece of the current slab, poisoned, becomes the fresh range.
bool checked_heap::carve(checked_cache& k, unsigned c) noexcept
{
  bin& b = k.bins[c];
  slab* const s = b.current;
  if (s == nullptr) return false;
  const std::uint32_t filled = s->filled.load(std::memory_order_relaxed);
  const std::uint32_t first = filled / s->slot_bytes;
  if (first == s->slot_count) return false;
  const auto piece = static_cast<std::uint32_t>(std::max<std::size_t>(1, piece_bytes / s->slot_bytes));
  const std::uint32_t count = std::min(piece, s->slot_count - first);
  const std::size_t bytes = std::size_t{count} * s->slot_bytes;
  tools_open(s->slot(first), bytes);
  write_poison(s->slot(first), bytes);
  tools_close(s->slot(first), bytes);
  s->filled.store((first + count) * s->slot_bytes, std::memory_order_release);
  b.fresh = s->slot(first);
  b.fresh_end = b.fresh + bytes;
  b.fresh_record = s->records + first;
  owner_.heartbeat();
  return true;
}

// Slots that other threads gave up go to the front of the ring: their quarantine is over.
bool checked_heap::take_batch(checked_cache& k, unsigned c) noexcept
{
  bin& b = k.bins[c];
  if (b.limit == 0 && !make_room(k, c)) return false;
  slot_batch* batch = nullptr;
  {
    const mutex_guard guard(lock_);
    batch = central_[c];
    if (batch == nullptr) return false;
    central_[c] = batch->next;
    central_count_[c].fetch_sub(1, std::memory_order_relaxed);
  }
  const std::uint32_t over = k.now - k.rule.age;
  for (std::uint64_t i = batch->count; i-- != 0;) {
    const ring_entry e = batch->entries[i];
    --b.head;
    b.entries[b.head & b.mask] = ring_entry::make(e.slot(), e.record(), over);
  }
  metadata_free(batch, sizeof *batch);
  return true;
}

slab* checked_heap::new_slab(unsigned c) noexcept
{
  const std::size_t bytes = slab_size(c);
  const std::size_t slot = slot_size(c);
  const std::size_t count = bytes / slot;
  void* const place = metadata_allocate(sizeof(slab));
  void* const records = metadata_allocate(records_bytes(count));
  std::byte* base = place != nullptr && records != nullptr ? supply_.take(bytes, granule_size) : nullptr;
  if (base == nullptr && place != nullptr && records != nullptr && large_.end_quarantine()) base = supply_.take(bytes, granule_size);
  slab* s = nullptr;
  if (base != nullptr) {
    s = new (place) slab;
    s->owner = &owner_;
    s->checked_heap_of_slab = this;
    s->base = base;
    s->bytes = bytes;
    s->kind = region_kind::checked_slab;
    s->slot_reciprocal = reciprocal(slot);
    s->records = static_cast<record*>(records);
    s->slot_bytes = static_cast<std::uint32_t>(slot);
    s->slot_count = static_cast<std::uint32_t>(count);
    s->size_class = c;
    s->held = bytes;
    s->carving = true;
    if (!enter_region(*s)) {
      supply_.give_back(base, bytes, granule_size);
      s = nullptr;
    }
  }
  if (s == nullptr) {
    if (place != nullptr) metadata_free(place, sizeof(slab));
    if (records != nullptr) metadata_free(records, records_bytes(count));
    return nullptr;
  }
  held_.fetch_add(bytes, std::memory_order_relaxed);
  const mutex_guard guard(lock_);
  s->next = slabs_;
  slabs_ = s;
  return s;
}

// Called when a ring is full, or when there is none yet. False: no memory for it, or none is wanted.
bool checked_heap::make_room(checked_cache& k, unsigned c) noexcept
{
  if (k.rule.endless) return false;  // the slot is never handed out again, so nothing need know it is free
  bin& b = k.bins[c];
  const std::uint32_t batch = batch_slots(slot_size(c));
  if (b.limit != 0) return spill(b, c, batch) || b.size() <= b.mask;
  const auto limit = static_cast<std::uint32_t>(k.rule.most_slots(slot_size(c))) + 2 * batch;
  const std::uint32_t capacity = std::bit_ceil(limit + batch + 1);
  void* const entries = metadata_allocate(capacity * sizeof(ring_entry));
  if (entries == nullptr) return false;
  b.entries = static_cast<ring_entry*>(entries);
  b.mask = capacity - 1;
  b.limit = limit;
  return true;
}

// The oldest slots go to the heap, for any thread.
bool checked_heap::spill(bin& b, unsigned c, std::uint32_t count) noexcept
{
  void* const place = metadata_allocate(sizeof(slot_batch));
  if (place == nullptr) return false;
  auto* const batch = new (place) slot_batch;
  batch->count = count;
  for (std::uint32_t i = 0; i != count; ++i) batch->entries[i] = b.entries[b.head++ & b.mask];
  const mutex_guard guard(lock_);
  batch->next = central_[c];
  central_[c] = batch;
  central_count_[c].fetch_add(1, std::memory_order_relaxed);
  return true;
}

}  // namespace gpa::detail
