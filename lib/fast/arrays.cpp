// A thread's arrays of free slots: made, made larger and smaller, few slots in them while much is free, and their end.
#include "fast/fast_heap.hpp"

#include "os/metadata.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace gpa::detail {

namespace {

constexpr std::uint32_t used_for_each = 64;  // slots of a class in use, for one that an array keeps while much is free

}  // namespace

bool fast_heap::grow_array(fast_cache& k, unsigned c) noexcept
{
  const std::size_t slot = slot_size(c);
  const std::uint32_t before = k.bins[c].capacity;
  const std::uint32_t after = before == 0 ? first_capacity(slot) : std::min(2 * before, most_capacity(slot));
  const bool large = after * slot > fast_cache::large_array;
  return (before == 0 || may_keep(k, (after - before) * slot, large)) && replace_array(k, c, after);
}

bool fast_heap::may_keep(const fast_cache& k, std::size_t more, bool large) const noexcept
{
  const std::size_t then = k.could_keep + more;
  if (then <= fast_cache::most_kept) return true;
  return !large && then <= fast_cache::most_kept_by_few &&
         in_arrays_.load(std::memory_order_relaxed) + static_cast<std::ptrdiff_t>(more) <= much_in_arrays;
}

bool fast_heap::replace_array(fast_cache& k, unsigned c, std::uint32_t capacity) noexcept
{
  fast_bin& b = k.bins[c];
  const std::size_t slot = slot_size(c);
  auto* const fresh = static_cast<void**>(metadata_allocate_unset(capacity * sizeof(void*)));
  if (fresh == nullptr) return false;
  const std::uint32_t count = b.count();
  if (b.base != nullptr) {
    std::memcpy(fresh, b.base, count * sizeof(void*));
    metadata_free(b.base, b.capacity * sizeof(void*));
  }
  const std::size_t more = capacity * slot - b.capacity * slot;  // or less
  if (k.could_keep == 0) with_arrays_.fetch_add(1, std::memory_order_relaxed);
  k.could_keep += more;
  in_arrays_.fetch_add(static_cast<std::ptrdiff_t>(more), std::memory_order_relaxed);
  b.top = fresh + count;
  b.base = fresh;
  b.end = fresh + capacity;
  b.capacity = capacity;
  return true;
}

void fast_heap::reset_cache(fast_cache& k) noexcept
{
  for (fast_bin& b : k.bins) {
    b.top = b.base;
    b.has_its_own = false;
  }
  k.large = {};
  k.kept_large = 0;
}

void fast_heap::note_no_arrays(fast_cache& k) noexcept
{
  if (k.could_keep == 0) return;
  with_arrays_.fetch_sub(1, std::memory_order_relaxed);
  in_arrays_.fetch_sub(static_cast<std::ptrdiff_t>(std::exchange(k.could_keep, 0)), std::memory_order_relaxed);
}

void fast_heap::lose_arrays(fast_cache& k) noexcept
{
  k.bins = {};
  note_no_arrays(k);
  k.counts.settle_frees();
  reset_cache(k);
}

void fast_heap::free_arrays(fast_cache& k) noexcept
{
  for (fast_bin& b : k.bins) {
    if (b.base != nullptr) metadata_free(b.base, b.capacity * sizeof(void*));
    b = {};
  }
  k.could_keep = 0;
}

void fast_heap::shrink_balanced_arrays(fast_cache& k, span*& emptied) noexcept
{
  k.refused = 0;
  for (unsigned c = 1; c != class_count; ++c) {
    fast_bin& b = k.bins[c];
    const bool balanced = !std::exchange(b.scarce, false);
    const std::uint32_t half = b.capacity / 2;
    if (!balanced || half < first_capacity(slot_size(c))) continue;
    if (b.count() > half) put_oldest(b, b.count() - half, emptied);
    (void)replace_array(k, c, half);
  }
}

void fast_heap::make_frugal(fast_bin& b, unsigned c) noexcept
{
  put_all(b);
  const std::uint32_t threads = std::max(with_arrays_.load(std::memory_order_relaxed), 1U);
  const std::uint32_t used = classes_[c].used_lately.load(std::memory_order_relaxed);
  b.end = b.base + std::min({b.capacity, least_capacity(slab_size(c), threads), std::max(used / used_for_each, 1U)});
}

// It is refilled, so it is not only freed into: slots of a refill lie side by side, and keep few slabs.
void fast_heap::end_frugality(fast_bin& b, std::uint32_t wanted) noexcept
{
  b.end = b.base + (much_is_free() ? std::min(b.capacity, wanted) : b.capacity);
}

}  // namespace gpa::detail
