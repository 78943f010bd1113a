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

std::size_t large_size(std::size_t bytes) noexcept
{
  return round_up(std::max<std::size_t>(bytes, 1), granule_size);
}

constexpr std::size_t batch_slots(std::size_t slot) noexcept
{
  return slots_in(std::size_t{64} << 10, slot, 1, most_in_batch);
}

// Whether the first eight of `count` addresses follow each other, up or down, at the distance of a slot. Once the ends
// agree the others are compared without a branch in between: it would be one that nobody foresees.
inline bool is_run_of_eight(void* const* slots, std::size_t count, std::uint32_t slot) noexcept
{
  if (count < 8) return false;
  const auto* const first = static_cast<const std::byte*>(slots[0]);
  const std::ptrdiff_t far = static_cast<const std::byte*>(slots[7]) - first;
  if (far != 7 * std::ptrdiff_t{slot} && far != -7 * std::ptrdiff_t{slot}) return false;
  const std::ptrdiff_t step = far > 0 ? std::ptrdiff_t{slot} : -std::ptrdiff_t{slot};
  bool run = true;
  for (std::ptrdiff_t i = 1; i != 7; ++i) run &= slots[i] == first + i * step;
  return run;
}

// Eight bits from `first` on, up or down; 0 when they are not all of one word.
constexpr std::uint64_t run_mask(std::uint64_t first, bool up) noexcept
{
  const std::uint64_t low = up ? first : first - 7;
  return low <= 56 ? std::uint64_t{0xFF} << low : 0;
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
  if (k.exact_peak) [[unlikely]]
    owner_.heartbeat();
  return p;
}

void fast_heap::deallocate(fast_cache& k, void* p, std::size_t bytes, std::size_t alignment) noexcept
{
  const std::size_t size = small_size(bytes, alignment);
  k.counts.count_free(bytes);
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
  if (b.base == nullptr && !grow_array(k, c)) return false;
  const auto wanted = static_cast<std::uint32_t>(std::min<std::size_t>(batch_slots(slot_size(c)), b.room()));
  for (;;) {
    std::uint32_t taken = 0;
    {
      const mutex_guard guard(lock_);
      taken = take_slots(c, b.base + wanted, wanted);
    }
    if (taken != 0) {
      if (taken != wanted) std::memmove(b.base, b.base + (wanted - taken), taken * sizeof(void*));
      b.top = b.base + taken;
      b.refilled = true;
      return true;
    }
    span* const s = new_slab(c);
    if (s == nullptr) return false;
    const mutex_guard guard(lock_);
    free_in_slabs_ += std::size_t{s->slot_count} * s->slot_bytes;
    list(*s);
  }
}

// Writes slots in front of `end`, the lowest address last: it is handed out first.
std::uint32_t fast_heap::take_slots(unsigned c, void** end, std::uint32_t wanted) noexcept
{
  const std::size_t slot = slot_size(c);
  std::uint32_t left = wanted;
  while (left != 0 && with_free_[c] != nullptr) {
    span& s = *with_free_[c];
    std::uint32_t here = std::min(left, s.free_slots);
    s.free_slots -= here;
    free_in_slabs_ -= here * slot;
    left -= here;
    for (;; ++s.cursor) {
      std::uint64_t bits = s.free_bits[s.cursor];
      std::byte* p = s.base + std::size_t{s.cursor} * 64 * slot;
      if (bits == ~std::uint64_t{0} && here >= 64) {
        for (unsigned i = 0; i != 64; ++i, p += slot) *--end = p;
        bits = 0;
        here -= 64;
      }
      for (; bits != 0 && here != 0; bits &= bits - 1, --here)
        *--end = p + static_cast<unsigned>(std::countr_zero(bits)) * slot;
      s.free_bits[s.cursor] = bits;
      if (here == 0) break;
    }
    if (s.free_slots == 0) unlist(s);
  }
  return wanted - left;
}

// `count` at most a batch. What was allocated together is often freed together: the slab last used is kept at hand, and
// eight slots in the order of their addresses, or against it, are one step.
void fast_heap::put_slots(void* const* slots, std::size_t count) noexcept
{
  span* emptied = nullptr;
  {
    const mutex_guard guard(lock_);
    for (std::size_t i = 0; i != count;) {
      span* const s = span_of(slots[i], region_kind::fast_slab);
      if (s == nullptr) [[unlikely]] {  // the user's mistake, and undefined here
        ++i;
        continue;
      }
      const auto offset = static_cast<std::uint64_t>(static_cast<const std::byte*>(slots[i]) - s->base);
      const std::uint64_t index = divide(offset, s->slot_reciprocal).index;
      std::uint64_t& word = s->free_bits[index / 64];
      s->cursor = std::min(s->cursor, static_cast<std::uint32_t>(index / 64));
      std::uint64_t run = 0;
      if (is_run_of_eight(slots + i, count - i, s->slot_bytes)) run = run_mask(index % 64, slots[i + 1] > slots[i]);
      if (run != 0 && (word & run) == 0) {
        word |= run;
        i += 8;
        add_free(*s, 8, emptied);
      } else {
        // One that was freed twice must not count twice: two users would be given the same slab.
        const auto fresh = static_cast<std::uint32_t>(~word >> index % 64 & 1);
        word |= std::uint64_t{1} << index % 64;
        ++i;
        add_free(*s, fresh, emptied);
      }
    }
  }
  delete_slabs(emptied);
}

inline void fast_heap::add_free(span& s, std::uint32_t count, span*& emptied) noexcept
{
  free_in_slabs_ += std::size_t{count} * s.slot_bytes;
  const std::uint32_t before = s.free_slots;
  s.free_slots = before + count;
  if (before == 0 && count != 0) [[unlikely]]
    list(s);
  if (count != 0 && before + count == s.slot_count) [[unlikely]]
    retire(s, emptied);
}

void fast_heap::retire(span& s, span*& emptied) noexcept
{
  const bool only_one = with_free_[s.size_class] == &s && s.next == nullptr;
  if (only_one && !buried_) return;
  unlist(s);
  free_in_slabs_ -= std::size_t{s.slot_count} * s.slot_bytes;
  s.next = emptied;
  emptied = &s;
}

bool fast_heap::much_is_free() noexcept
{
  const mutex_guard guard(lock_);
  return free_in_slabs_ > std::max(spans_.held_bytes() / 5, much_free);
}

// The array is full, or there is none yet.
void fast_heap::make_room(fast_cache& k, unsigned c) noexcept
{
  fast_bin& b = k.bins[c];
  spans_.shed_idle();
  const bool much = much_is_free();
  if (much && !k.frugal) flush(k);
  k.frugal = much;
  if (b.base != nullptr && much) {
    put_all(b);
    b.end = b.base + std::min(b.capacity, least_capacity(slab_size(c)));
    return;
  }
  if (b.end != b.base + b.capacity) {
    b.end = b.base + b.capacity;
    return;
  }
  const bool refilled = b.refilled || b.base == nullptr;
  b.refilled = false;
  if (refilled && b.capacity < most_capacity(slot_size(c)) && grow_array(k, c)) return;
  const std::uint32_t count = b.count() - b.count() / 2;  // the older half: what was freed last is used next
  for (std::uint32_t done = 0; done != count;) {
    const std::uint32_t batch = std::min(count - done, most_in_batch);
    put_slots(b.base + done, batch);
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
  for (fast_bin& b : k.bins) put_all(b);
  put_all_large(k);
}

bool fast_heap::grow_array(fast_cache& k, unsigned c) noexcept
{
  fast_bin& b = k.bins[c];
  const std::size_t slot = slot_size(c);
  const std::uint32_t before = b.capacity;
  const std::uint32_t after = before == 0 ? first_capacity(slot) : std::min(2 * before, most_capacity(slot));
  const std::size_t more = (after - before) * slot;
  if (before != 0 && k.could_keep + more > fast_cache::most_kept) return false;
  auto* const fresh = static_cast<void**>(metadata_allocate_unset(after * sizeof(void*)));
  if (fresh == nullptr) return false;
  const std::uint32_t count = b.count();
  if (before != 0) {
    std::memcpy(fresh, b.base, count * sizeof(void*));
    metadata_free(b.base, before * sizeof(void*));
  }
  b.top = fresh + count;
  b.base = fresh;
  b.end = fresh + after;
  b.capacity = after;
  k.could_keep += more;
  return true;
}

void fast_heap::reset_cache(fast_cache& k) noexcept
{
  for (fast_bin& b : k.bins) b.top = b.base;
  k.large = {};
  k.kept_large = 0;
}

void fast_heap::free_arrays(fast_cache& k) noexcept
{
  for (fast_bin& b : k.bins) {
    if (b.base != nullptr) metadata_free(b.base, b.capacity * sizeof(void*));
    b = {};
  }
  k.could_keep = 0;
}

}  // namespace gpa::detail
