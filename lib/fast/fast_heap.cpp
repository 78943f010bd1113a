#include "fast/fast_heap.hpp"

#include "base/bits.hpp"
#include "os/metadata.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace gpa::detail {

namespace {

// The slot size that serves a request, or 0 when it is too large for a slab.
std::size_t small_size(std::size_t bytes, std::size_t alignment) noexcept
{
  if (bytes > small_limit || alignment > small_alignment) return 0;
  const std::size_t size = round_up(std::max<std::size_t>(bytes, 1), std::max<std::size_t>(alignment, 16));
  return size <= largest_slot ? size : 0;
}

std::size_t large_size(std::size_t bytes) noexcept { return round_up(std::max<std::size_t>(bytes, 1), granule_size); }

constexpr std::size_t batch_slots(std::size_t slot) noexcept
{
  return slots_in(std::size_t{64} << 10, slot, 1, most_in_batch);
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
    if (bytes > (std::size_t{1} << 47) || alignment > (std::size_t{1} << 46)) return nullptr;
    span* const s = spans_.take(large_size(bytes), std::max(alignment, granule_size), region_kind::fast_large);
    if (s == nullptr) return nullptr;
    p = s->base;
  }
  k.counts.count_allocation(bytes);
  if (k.exact_peak) [[unlikely]] owner_.heartbeat();
  return p;
}

void fast_heap::deallocate(fast_cache& k, void* p, std::size_t bytes, std::size_t alignment) noexcept
{
  const std::size_t size = small_size(bytes, alignment);
  k.counts.count_free(bytes);
  if (size == 0) {
    if (span* const s = span_of(p); s != nullptr && s->kind == region_kind::fast_large && s->base == p) spans_.put(*s);
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

bool fast_heap::resize(void* p, std::size_t old_bytes, std::size_t new_bytes, std::size_t alignment) noexcept
{
  const std::size_t before = small_size(old_bytes, alignment);
  const std::size_t after = small_size(new_bytes, alignment);
  if (before != 0 && after != 0) return size_class(before) == size_class(after);
  if (before != after) return false;
  span* const s = span_of(p);
  return s != nullptr && s->kind == region_kind::fast_large && s->base == p && spans_.resize(*s, large_size(new_bytes));
}

// ---- between a thread and the slabs ----

bool fast_heap::refill(fast_cache& k, unsigned c) noexcept
{
  fast_bin& b = k.bins[c];
  if (b.base == nullptr && !grow_array(k, c)) return false;
  const auto wanted = static_cast<std::uint32_t>(std::min<std::size_t>(batch_slots(slot_size(c)), b.capacity()));
  for (;;) {
    {
      const mutex_guard guard(lock_);
      b.top = b.base + take_slots(c, b.base, wanted);
    }
    if (b.top != b.base) break;
    span* const s = new_slab(c);
    if (s == nullptr) return false;
    const mutex_guard guard(lock_);
    list(*s);
  }
  std::reverse(b.base, b.top);  // the lowest address is handed out first
  return true;
}

std::uint32_t fast_heap::take_slots(unsigned c, void** slots, std::uint32_t wanted) noexcept
{
  std::uint32_t taken = 0;
  while (taken != wanted && with_free_[c] != nullptr) {
    span& s = *with_free_[c];
    const std::size_t slot = slot_size(c);
    const std::uint32_t before = taken;
    std::uint32_t cursor = s.cursor;
    const std::uint32_t limit = std::min(wanted, taken + s.free_slots);
    while (taken != limit) {
      std::uint64_t bits = s.free_bits[cursor];
      std::byte* const first = s.base + std::size_t{cursor} * 64 * slot;
      for (; bits != 0 && taken != limit; bits &= bits - 1)
        slots[taken++] = first + static_cast<std::size_t>(std::countr_zero(bits)) * slot;
      s.free_bits[cursor] = bits;
      if (bits == 0 && taken != limit) ++cursor;
    }
    s.cursor = cursor;
    s.free_slots -= taken - before;
    if (s.free_slots == 0) unlist(s);
  }
  return taken;
}

void fast_heap::put_slot(span& s, const void* slot, span*& emptied) noexcept
{
  const auto offset = static_cast<std::uint64_t>(static_cast<const std::byte*>(slot) - s.base);
  const std::uint64_t index = (offset * s.slot_reciprocal) >> reciprocal_shift;
  std::uint64_t& word = s.free_bits[index / 64];
  const std::uint64_t bit = std::uint64_t{1} << index % 64;
  if ((word & bit) != 0 || index >= s.slot_count) return;  // the user's mistake, undefined; our counts stay right
  word |= bit;
  s.cursor = std::min(s.cursor, static_cast<std::uint32_t>(index / 64));
  if (++s.free_slots == 1) list(s);
  if (s.free_slots != s.slot_count) return;
  const bool only_one = with_free_[s.size_class] == &s && s.next == nullptr;
  if (only_one && !buried_) return;
  unlist(s);
  s.next = emptied;
  emptied = &s;
}

// `count` at most a batch.
void fast_heap::put_slots(void* const* slots, std::size_t count) noexcept
{
  std::array<span*, most_in_batch> of;
  for (std::size_t i = 0; i != count; ++i) {
    of[i] = span_of(slots[i]);
    __builtin_prefetch(of[i], 1);
  }
  span* emptied = nullptr;
  {
    const mutex_guard guard(lock_);
    for (std::size_t i = 0; i != count; ++i)
      if (of[i] != nullptr && of[i]->kind == region_kind::fast_slab) put_slot(*of[i], slots[i], emptied);
  }
  delete_slabs(emptied);
}

// The array is full, or there is none yet.
void fast_heap::make_room(fast_cache& k, unsigned c) noexcept
{
  fast_bin& b = k.bins[c];
  if (b.capacity() < most_capacity(slot_size(c)) && grow_array(k, c)) return;
  const std::size_t count = b.count() - b.count() / 2;  // the older half: what was freed last is used next
  for (std::size_t done = 0; done != count;) {
    const std::size_t batch = std::min<std::size_t>(count - done, batch_slots(slot_size(c)));
    put_slots(b.base + done, batch);
    done += batch;
  }
  std::memmove(b.base, b.base + count, (b.count() - count) * sizeof(void*));
  b.top -= count;
}

bool fast_heap::grow_array(fast_cache& k, unsigned c) noexcept
{
  fast_bin& b = k.bins[c];
  const std::size_t slot = slot_size(c);
  const std::uint32_t before = b.capacity();
  const std::uint32_t after = before == 0 ? first_capacity(slot) : std::min(2 * before, most_capacity(slot));
  const std::size_t more = (after - before) * slot;
  if (before != 0 && k.could_keep + more > fast_cache::most_kept) return false;
  auto* const fresh = static_cast<void**>(metadata_allocate(after * sizeof(void*)));
  if (fresh == nullptr) return false;
  const std::uint32_t count = b.count();
  if (before != 0) {
    std::memcpy(fresh, b.base, count * sizeof(void*));
    metadata_free(b.base, before * sizeof(void*));
  }
  b = {fresh + count, fresh, fresh + after};
  k.could_keep += more;
  return true;
}

void fast_heap::flush(fast_cache& k) noexcept
{
  for (fast_bin& b : k.bins) {
    while (b.top != b.base) {
      const std::size_t batch = std::min<std::size_t>(b.count(), most_in_batch);
      b.top -= batch;
      put_slots(b.top, batch);
    }
  }
}

void fast_heap::reset_cache(fast_cache& k) noexcept
{
  for (fast_bin& b : k.bins) b.top = b.base;
}

void fast_heap::free_arrays(fast_cache& k) noexcept
{
  for (fast_bin& b : k.bins) {
    if (b.base != nullptr) metadata_free(b.base, b.capacity() * sizeof(void*));
    b = {};
  }
  k.could_keep = 0;
}

}  // namespace gpa::detail
