#include "fast/fast_heap.hpp"

#include "base/bits.hpp"
#include "os/metadata.hpp"
#include "os/pages.hpp"

#include <algorithm>
#include <new>

namespace gpa::detail {

namespace {

constexpr std::uint32_t batch_nodes(std::size_t slot) noexcept
{
  const std::size_t fit = (std::size_t{64} << 10) / slot;
  return static_cast<std::uint32_t>(std::clamp<std::size_t>(fit, 1, 64));
}

// The slot size that serves a request, or 0 when it is too large for a slab.
std::size_t small_size(std::size_t bytes, std::size_t alignment) noexcept
{
  if (bytes > small_limit || alignment > small_alignment) return 0;
  const std::size_t size = round_up(std::max<std::size_t>(bytes, 1), std::max<std::size_t>(alignment, 16));
  return size <= largest_slot ? size : 0;
}

}  // namespace

void* fast_heap::allocate(fast_cache& k, std::size_t bytes, std::size_t alignment) noexcept
{
  const std::size_t size = small_size(bytes, alignment);
  void* p = nullptr;
  if (size != 0) {
    const unsigned c = size_class(size);
    fast_bin& b = k.bins[c];
    if (b.head == nullptr && b.fresh == b.fresh_end && !refill(k, c)) return nullptr;
    if (b.head != nullptr) {
      p = b.head;
      b.head = b.head->next();
      --b.count;
    } else {
      p = b.fresh;
      b.fresh += slot_size(c);
    }
  } else {
    if (bytes > (std::size_t{1} << 47) || alignment > (std::size_t{1} << 46)) return nullptr;
    const fast_range* const r = new_range(round_up(std::max<std::size_t>(bytes, 1), granule_size),
                                          std::max(alignment, granule_size), region_kind::fast_large);
    if (r == nullptr) return nullptr;
    p = r->base;
  }
  k.counts.count_allocation(bytes);
  if (k.exact_peak) [[unlikely]] owner_.heartbeat();
  return p;
}

void fast_heap::deallocate(fast_cache& k, void* p, std::size_t bytes, std::size_t alignment) noexcept
{
  k.counts.count_free(bytes);
  const std::size_t size = small_size(bytes, alignment);
  if (size == 0) {
    if (region* const r = region_of(p); r != nullptr) delete_range(static_cast<fast_range&>(*r));
    return;
  }
  const unsigned c = size_class(size);
  fast_bin& b = k.bins[c];
  auto* const node = static_cast<free_node*>(p);
  node->set_next(b.head);
  b.head = node;
  if (++b.count > 2 * batch_nodes(slot_size(c))) spill(b, c);
}

bool fast_heap::fits(std::size_t old_bytes, std::size_t new_bytes, std::size_t alignment) const noexcept
{
  const std::size_t before = small_size(old_bytes, alignment);
  const std::size_t after = small_size(new_bytes, alignment);
  if (before == 0 || after == 0)
    return before == after && round_up(old_bytes, granule_size) == round_up(new_bytes, granule_size);
  return size_class(before) == size_class(after);
}

bool fast_heap::refill(fast_cache& k, unsigned c) noexcept
{
  fast_bin& b = k.bins[c];
  {
    const mutex_guard guard(lock_);
    if (free_node* const batch = central_[c]; batch != nullptr) {
      central_[c] = batch->next_batch();
      b.head = batch;
      b.count = batch_nodes(slot_size(c));
      return true;
    }
  }
  owner_.heartbeat();
  const fast_range* const r = new_range(slab_size(c), granule_size, region_kind::fast_slab);
  if (r == nullptr) return false;
  b.fresh = r->base;
  b.fresh_end = r->base + slab_size(c) / slot_size(c) * slot_size(c);
  return true;
}

void fast_heap::spill(fast_bin& b, unsigned c) noexcept
{
  free_node* const batch = b.head;
  free_node* last = batch;
  const std::uint32_t nodes = batch_nodes(slot_size(c));
  for (std::uint32_t i = 1; i != nodes; ++i) last = last->next();
  b.head = last->next();
  b.count -= nodes;
  last->set_next(nullptr);
  const mutex_guard guard(lock_);
  batch->set_next_batch(central_[c]);
  central_[c] = batch;
}

fast_range* fast_heap::new_range(std::size_t bytes, std::size_t alignment, region_kind kind) noexcept
{
  void* const place = metadata_allocate(sizeof(fast_range));
  if (place == nullptr) return nullptr;
  std::byte* const base = supply_.take(bytes, alignment);
  if (base == nullptr) {
    metadata_free(place, sizeof(fast_range));
    return nullptr;
  }
  auto& r = *new (place) fast_range;
  r.owner = &owner_;
  r.base = base;
  r.bytes = bytes;
  r.kind = kind;
  r.range_alignment = alignment;
  if (!enter_region(r)) {
    supply_.give_back(base, bytes, alignment);
    metadata_free(place, sizeof(fast_range));
    return nullptr;
  }
  held_.fetch_add(bytes, std::memory_order_relaxed);
  const mutex_guard guard(lock_);
  r.next = ranges_;
  if (ranges_ != nullptr) ranges_->previous = &r;
  ranges_ = &r;
  return &r;
}

void fast_heap::delete_range(fast_range& r) noexcept
{
  {
    const mutex_guard guard(lock_);
    (r.previous != nullptr ? r.previous->next : ranges_) = r.next;
    if (r.next != nullptr) r.next->previous = r.previous;
  }
  clear_region(r);
  held_.fetch_sub(r.bytes, std::memory_order_relaxed);
  supply_.give_back(r.base, r.bytes, r.range_alignment);
  metadata_free(&r, sizeof r);
}

void fast_heap::release() noexcept
{
  for (;;) {
    fast_range* r = nullptr;
    {
      const mutex_guard guard(lock_);
      r = ranges_;
      central_ = {};
    }
    if (r == nullptr) return;
    delete_range(*r);
  }
}

}  // namespace gpa::detail
