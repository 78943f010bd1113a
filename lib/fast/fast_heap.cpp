#include "fast/fast_heap.hpp"

#include "base/bits.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace gpa::detail {

namespace {

// The slot size that serves a request, or 0 when it is too large for a slab.
std::size_t small_size(std::size_t bytes, std::size_t alignment) noexcept
{
  if (bytes > small_limit || alignment > small_alignment) return 0;
  const std::size_t size = round_up(std::max<std::size_t>(bytes, 1), std::max<std::size_t>(alignment, 16));
  return size <= largest_slot ? size : 0;
}

std::size_t large_size(std::size_t bytes) noexcept
{
  return round_up(std::max<std::size_t>(bytes, 1), granule_size);
}

constexpr std::uint32_t batch_slots(std::size_t slot) noexcept
{
  return slots_in(std::size_t{256} << 10, slot, 1, most_in_batch);
}

constexpr std::uint32_t dense = 24;  // free slots of a word; with fewer, to go from bit to bit costs less than 64 steps

// Writes the slots of a word's bits to `to`, the highest first, without a branch on any of them. `last`: that of bit 63.
inline void write_dense(std::uint64_t bits, std::byte* last, std::size_t slot, void** to) noexcept
{
  for (std::size_t n = 0; bits != 0; last -= slot) {
    to[n] = last;
    asm("addq %0, %0\n\tadcq $0, %1" : "+r"(bits), "+r"(n) : : "cc");  // the bit is counted, and shifted out
  }
}

}  // namespace

void* fast_heap::allocate(fast_cache& k, std::size_t bytes, std::size_t alignment) noexcept
{
  const std::size_t size = small_size(bytes, alignment);
  void* p = nullptr;
  if (size != 0) {
    const unsigned c = size_class(size);
    fast_bin& b = k.bins[c];
    if (b.top == b.base && !refill(k, c)) [[unlikely]] return nullptr;
    p = *--b.top;
  } else {
    p = take_large(k, bytes, alignment);
    if (p == nullptr) return nullptr;
  }
  k.counts.count_allocation(bytes);
  return p;
}

void fast_heap::deallocate(fast_cache& k, void* p, std::size_t bytes, std::size_t alignment) noexcept
{
  const std::size_t size = small_size(bytes, alignment);
  if (size == 0 && k.has_risen()) owner_.heartbeat();
  k.counts.count_free(bytes);
  k.counts.settle_frees();
  if (size == 0) {
    put_large(k, p);
    return;
  }
  const unsigned c = size_class(size);
  fast_bin& b = k.bins[c];
  if (b.top == b.end) [[unlikely]] {
    make_room(k, c);
    if (b.top == b.end) {  // no memory for an array
      put_slots(&p, 1);
      return;
    }
  }
  *b.top++ = p;
}

bool fast_heap::resize(fast_cache& k, void* p, std::size_t old_bytes, std::size_t new_bytes,
                       std::size_t alignment) noexcept
{
  const std::size_t before = small_size(old_bytes, alignment);
  const std::size_t after = small_size(new_bytes, alignment);
  if (before != 0 && after != 0) return size_class(before) == size_class(after);
  if (before != after) return false;
  span* const s = span_of(p, region_kind::fast_large);
  if (s == nullptr || s->base != p) return false;
  if (spans_.resize(*s, large_size(new_bytes))) return true;
  if (k.kept_large == 0) return false;
  put_all_large(k);  // what is behind it may be ours
  return spans_.resize(*s, large_size(new_bytes));
}

// ---- between a thread and the span cache ----

void* fast_heap::take_large(fast_cache& k, std::size_t bytes, std::size_t alignment) noexcept
{
  if (bytes > (std::size_t{1} << 47) || alignment > (std::size_t{1} << 46)) return nullptr;
  const std::size_t size = large_size(bytes);
  if (size <= fast_cache::kept_granules * granule_size && alignment <= granule_size) {
    span*& kept = k.large[size / granule_size - 1];
    if (kept != nullptr) {
      span& s = *kept;
      kept = s.next;
      k.kept_large -= size;
      s.next = nullptr;
      s.kept = false;
      return s.base;
    }
  }
  span* const s = spans_.take(size, std::max(alignment, granule_size), region_kind::fast_large);
  return s == nullptr ? nullptr : s->base;
}

void fast_heap::put_large(fast_cache& k, void* p) noexcept
{
  span* const s = span_of(p, region_kind::fast_large);
  if (s == nullptr || s->base != p || s->kept) return;
  if (s->bytes > fast_cache::kept_granules * granule_size || !supply_.from_system()) {
    spans_.put(*s);
    return;
  }
  if (k.kept_large + s->bytes > fast_cache::most_kept_large) put_all_large(k);
  span*& kept = k.large[s->bytes / granule_size - 1];
  s->kept = true;
  s->next = kept;
  kept = s;
  k.kept_large += s->bytes;
}

void fast_heap::put_all_large(fast_cache& k) noexcept
{
  for (span*& kept : k.large) {
    while (kept != nullptr) {
      span& s = *kept;
      kept = s.next;
      s.next = nullptr;
      s.kept = false;
      spans_.put(s);
    }
  }
  k.kept_large = 0;
}

// ---- between a thread and the slabs ----

bool fast_heap::refill(fast_cache& k, unsigned c) noexcept
{
  fast_bin& b = k.bins[c];
  if (k.has_risen()) owner_.heartbeat();
  b.scarce = true;
  for (bool from_others = !supply_.from_system() || own_refused_.load(std::memory_order_relaxed);;) {
    // Each time anew: an upstream that was asked for a slab may have used the bin. Or it forked, and in the child the array
    // is lost, where the thread had borrowed the cache.
    if (b.base == nullptr && !grow_array(k, c)) return false;
    if (b.room() < b.capacity) end_frugality(b, batch_slots(slot_size(c)));
    const auto wanted = std::min(batch_slots(slot_size(c)), b.room());
    const std::uint32_t taken = take_slots(k, c, b.base + wanted, wanted, from_others);
    if (taken != 0) {
      if (taken != wanted) std::memmove(b.base, b.base + (wanted - taken), taken * sizeof(void*));
      b.top = b.base + taken;
      b.refilled = true;
      return true;
    }
    span* const s = new_slab(c);
    if (s != nullptr) add_slab(*s, k);
    if (b.top != b.base) return true;  // an upstream has freed blocks of ours meanwhile
    if (s != nullptr) {
      own_refused_.store(false, std::memory_order_relaxed);
    } else if (from_others) {
      return false;
    } else {
      from_others = true;
      own_refused_.store(true, std::memory_order_relaxed);
    }
  }
}

// Writes slots in front of `end`, the lowest address last: it is handed out first.
std::uint32_t fast_heap::take_slots(fast_cache& k, unsigned c, void** end, std::uint32_t wanted,
                                    bool from_others) noexcept
{
  const std::uint32_t enough = wanted == most_in_batch ? most_in_batch / 4 : wanted;
  std::uint32_t left = wanted;
  std::uint32_t first_time = 0;
  class_slabs& all = classes_[c];
  const mutex_guard guard(all.lock);
  while (left != 0) {
    span* const s = all.slab_with_free(k);
    if (s == nullptr) break;
    if (!from_others && !is_of(*s, k) && (left != wanted || may_have_its_own(all, *s))) break;
    const std::uint32_t untouched = s->untouched_slots();
    const std::uint32_t here = take_from(*s, end, left, enough - std::min(enough, wanted - left));
    first_time += untouched - s->untouched_slots();
    end -= here;
    left -= here;
    all.free -= here;
    if (s->used != s->slot_count) break;  // there are enough
    s->cursor = span::none_free;
    all.unlist(*s);
  }
  free_in_slabs_.fetch_sub((wanted - left - first_time) * slot_size(c), std::memory_order_relaxed);
  return wanted - left;
}

// How many: all that is asked for, or all the slab has, but where `enough` are taken and a word of free slots would be
// torn apart: whole ones cost half as much a slot.
inline std::uint32_t fast_heap::take_from(span& s, void** end, std::uint32_t count, std::uint32_t enough) noexcept
{
  const std::size_t slot = s.slot_bytes;
  const std::uint32_t wanted = std::min(count, s.free_slots());
  std::uint32_t left = wanted;
  for (;; ++s.cursor) {
    std::uint64_t bits = s.free_bits[s.cursor];
    std::byte* p = s.base + std::size_t{s.cursor} * 64 * slot;
    const auto free = static_cast<std::uint32_t>(std::popcount(bits));
    if (free > left && wanted - left >= enough) break;
    if (free >= dense && left >= free) {
      end -= free;
      write_dense(bits, p + 63 * slot, slot, end);
      bits = 0;
      left -= free;
    }
    for (; bits != 0 && left != 0; bits &= bits - 1, --left)
      *--end = p + static_cast<std::size_t>(std::countr_zero(bits)) * slot;
    s.free_bits[s.cursor] = bits;
    if (left == 0) break;
  }
  s.used += wanted - left;
  const std::uint32_t first_free = s.cursor * 64 + static_cast<std::uint32_t>(std::countr_zero(s.free_bits[s.cursor]));
  s.touched = std::max(s.touched, std::min(first_free, s.slot_count));
  return wanted - left;
}

bool fast_heap::much_is_free() const noexcept
{
  const std::size_t allowed = much_free + std::min(for_owners_.load(std::memory_order_relaxed), most_for_owners);
  return free_in_slabs_.load(std::memory_order_relaxed) > std::max(spans_.held_bytes() / 5, allowed);
}

// The array is full, or there is none yet.
void fast_heap::make_room(fast_cache& k, unsigned c) noexcept
{
  fast_bin& b = k.bins[c];
  b.scarce = true;
  if (k.has_risen()) owner_.heartbeat();
  spans_.shed_idle();
  bool much = much_is_free();
  if (much && !k.frugal) {
    flush(k);
    delete_empty_slabs();
    much = much_is_free();
    for (unsigned other = 1; much && other != class_count; ++other) make_frugal(k.bins[other], other);
  }
  k.frugal = much;
  if (b.base != nullptr && much) return make_frugal(b, c);
  if (b.end != b.base + b.capacity) {
    b.end = b.base + b.capacity;
    return;
  }
  const bool refilled = b.refilled || b.base == nullptr;
  b.refilled = false;
  const bool wanted = refilled && b.capacity < most_capacity(slot_size(c));
  if (wanted && grow_array(k, c)) return;
  span* emptied = nullptr;
  put_oldest(b, b.count() - b.count() / 2, emptied);  // what was freed last is used next
  if (wanted && ++k.refused == fast_cache::most_refused) shrink_balanced_arrays(k, emptied);
  delete_slabs(emptied);  // the upstream is called, and may use the resource
}

void fast_heap::put_oldest(fast_bin& b, std::uint32_t count, span*& emptied) noexcept
{
  for (std::uint32_t done = 0; done != count;) {
    const std::uint32_t batch = std::min(count - done, most_in_batch);
    put_slots(b.base + done, batch, emptied);
    done += batch;
  }
  std::memmove(b.base, b.base + count, (b.count() - count) * sizeof(void*));
  b.top -= count;
}

void fast_heap::put_all(fast_bin& b) noexcept
{
  while (b.top != b.base) {
    const std::uint32_t batch = std::min(b.count(), most_in_batch);
    b.top -= batch;
    put_slots(b.top, batch);
  }
}

void fast_heap::flush(fast_cache& k) noexcept
{
  k.counts.settle_frees();  // the arrays have room again
  for (fast_bin& b : k.bins) put_all(b);
  put_all_large(k);
}

void fast_heap::empty(fast_cache& k) noexcept
{
  flush(k);
  note_no_arrays(k);
  free_arrays(k);
}

}  // namespace gpa::detail
