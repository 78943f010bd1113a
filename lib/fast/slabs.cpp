// The fast heap's slabs: made, listed, given back.
#include "base/assert.hpp"
#include "base/bits.hpp"
#include "blocks/needed_pages.hpp"
#include "fast/fast_heap.hpp"
#include "os/metadata.hpp"

#include <bit>
#include <utility>

namespace gpa::detail {

namespace {

std::size_t free_bits_bytes(std::size_t slots) noexcept
{
  return bitmap_words(slots) * sizeof(std::uint64_t);
}

// Forgotten first: in the child of a fork nobody frees them again.
void free_bits_of(span& s) noexcept
{
  metadata_free(std::exchange(s.free_bits, nullptr), free_bits_bytes(s.slot_count));
}

bool is_free(const span& s, std::size_t index) noexcept
{
  return (s.free_bits[index / 64] >> index % 64 & 1) != 0;
}

// Of a slab with a block.
std::uint32_t end_of_used(const span& s) noexcept
{
  std::uint32_t end = s.touched;
  while (is_free(s, end - 1)) --end;
  return end;
}

// Drops the pages of a slab that only free slots lie on.
void discard_around_used(const span& s) noexcept
{
  needed_pages needed;
  for (std::size_t i = 0; i != s.slot_count; ++i)
    if (!is_free(s, i)) needed.need_slot(i, s.slot_bytes);
  needed.drop_others(s.base, s.bytes);
}

}  // namespace

// A smaller one is better than none: an upstream may be small, or nearly used up.
span* fast_heap::new_slab(unsigned c) noexcept
{
  for (std::size_t bytes = slab_size(c); bytes >= granule_size; bytes /= 2)
    if (span* const s = new_slab_of(c, bytes); s != nullptr) return s;
  return nullptr;
}

span* fast_heap::new_slab_of(unsigned c, std::size_t bytes) noexcept
{
  const std::size_t slot = slot_size(c);
  const std::size_t count = bytes / slot;
  auto* const bits = static_cast<std::uint64_t*>(metadata_allocate(free_bits_bytes(count)));
  if (bits == nullptr) return nullptr;
  span* const s = spans_.take(bytes, granule_size, region_kind::fast_slab);
  if (s == nullptr) {
    metadata_free(bits, free_bits_bytes(count));
    return nullptr;
  }
  for (std::size_t w = 0; w != count / 64; ++w) bits[w] = ~std::uint64_t{0};
  if (count % 64 != 0) bits[count / 64] = (std::uint64_t{1} << count % 64) - 1;
  s->free_bits = bits;
  s->slot_count = static_cast<std::uint32_t>(count);
  s->used = s->cursor = s->touched = 0;
  s->slot_reciprocal = reciprocal(slot);
  s->slot_bytes = static_cast<std::uint32_t>(slot);
  s->size_class = static_cast<std::uint8_t>(c);
  return s;
}

// Unlisted ones without a block.
void fast_heap::delete_slabs(span* first) noexcept
{
  while (first != nullptr) {
    span& s = *first;
    first = s.next;
    free_bits_of(s);
    spans_.put(s);
  }
}

void fast_heap::class_slabs::list(span& s) noexcept
{
  s.previous = nullptr;
  s.next = with_free;
  if (with_free != nullptr) with_free->previous = &s;
  with_free = &s;
}

void fast_heap::class_slabs::unlist(span& s) noexcept
{
  (s.previous != nullptr ? s.previous->next : with_free) = s.next;
  if (s.next != nullptr) s.next->previous = s.previous;
  s.next = s.previous = nullptr;
}

void fast_heap::class_slabs::add(span& s) noexcept
{
  slots += s.slot_count;
  free += s.slot_count;
  list(s);
}

void fast_heap::class_slabs::remove(span& s) noexcept
{
  slots -= s.slot_count;
  free -= s.slot_count;
  unlist(s);
}

template <class Visit>
void fast_heap::for_each_made(Visit&& visit) noexcept
{
  for (std::size_t w = 0; w != made_.size(); ++w)
    for (std::uint64_t bits = made_[w].load(std::memory_order_relaxed); bits != 0; bits &= bits - 1)
      visit(classes_[w * 64 + static_cast<std::size_t>(std::countr_zero(bits))]);
}

// What stayed because it was the only one of its class.
void fast_heap::delete_empty_slabs() noexcept
{
  span* emptied = nullptr;
  for_each_made([&](class_slabs& all) {
    const mutex_guard guard(all.lock);
    span* const s = all.with_free;
    if (s == nullptr || s->used != 0 || s->next != nullptr) return;
    all.remove(*s);
    free_in_slabs_.fetch_sub(std::size_t{s->touched} * s->slot_bytes, std::memory_order_relaxed);
    s->next = emptied;
    emptied = s;
  });
  delete_slabs(emptied);
}

void fast_heap::trim() noexcept
{
  span* emptied = nullptr;
  for_each_made([&](class_slabs& all) {
    const mutex_guard guard(all.lock);
    std::size_t removed = 0;  // bytes
    for (span* s = all.with_free; s != nullptr;) {
      span& one = *s;
      s = s->next;
      if (one.used != 0) {
        if (!supply_.from_system()) continue;
        discard_around_used(one);
        const std::uint32_t end = end_of_used(one);
        removed += std::size_t{one.touched - end} * one.slot_bytes;
        one.touched = end;
        continue;
      }
      all.remove(one);
      removed += std::size_t{one.touched} * one.slot_bytes;
      one.next = emptied;
      emptied = &one;
    }
    free_in_slabs_.fetch_sub(removed, std::memory_order_relaxed);
  });
  delete_slabs(emptied);
  spans_.trim();
  supply_.trim();
}

void fast_heap::bury() noexcept
{
  buried_.store(true, std::memory_order_relaxed);
  spans_.keep_nothing();
  trim();
}

void fast_heap::free_buried(void* p) noexcept
{
  if (span_of(p, region_kind::fast_slab) != nullptr) {
    put_slots(&p, 1);
  } else if (span* const s = span_of(p, region_kind::fast_large); s != nullptr && s->base == p) {
    spans_.put(*s);
  }
}

void fast_heap::release() noexcept
{
  for_each_made([](class_slabs& all) {
    const mutex_guard guard(all.lock);
    all.with_free = nullptr;
    all.slots = all.free = all.owners = 0;
  });
  free_in_slabs_.store(0, std::memory_order_relaxed);
  for_owners_.store(0, std::memory_order_relaxed);
  spans_.for_each_used([](span& s) {
    if (s.free_bits != nullptr) free_bits_of(s);
  });
  spans_.release();
}

void fast_heap::lock_for_fork() noexcept GPA_THREAD_SAFETY(no_thread_safety_analysis)
{
  for (class_slabs& all : classes_) all.lock.lock();
  spans_.lock_for_fork();
}

void fast_heap::unlock_after_fork() noexcept GPA_THREAD_SAFETY(no_thread_safety_analysis)
{
  spans_.unlock_after_fork();
  for (class_slabs& all : classes_) all.lock.unlock();
}

void fast_heap::check() noexcept
{
  spans_.check();
  struct seen {
    std::size_t slabs_with_free = 0;
    std::size_t slots = 0;
    std::size_t free = 0;
  };
  std::array<seen, class_count> of_class;
  std::size_t free_bytes = 0;
  std::size_t for_owners = 0;
  spans_.for_each_used([&](const span& s) {
    if (s.size_class == 0) return;
    std::uint32_t bits = 0;
    for (std::size_t w = 0; w != bitmap_words(s.slot_count); ++w)
      bits += static_cast<std::uint32_t>(std::popcount(s.free_bits[w]));
    for (std::size_t w = 0; w < s.cursor && w != bitmap_words(s.slot_count); ++w) GPA_ASSERT(s.free_bits[w] == 0);
    GPA_ASSERT(bits == s.free_slots() && s.used <= s.slot_count);
    GPA_ASSERT((bits == 0) == (s.cursor == span::none_free));
    GPA_ASSERT(s.untouched_slots() <= bits);
    free_bytes += std::size_t{bits - s.untouched_slots()} * s.slot_bytes;
    seen& c = of_class[s.size_class];
    c.slots += s.slot_count;
    c.free += bits;
    if (bits != 0) ++c.slabs_with_free;
  });
  for (std::size_t c = 0; c != classes_.size(); ++c) {
    class_slabs& all = classes_[c];
    const mutex_guard guard(all.lock);
    for (const span* s = all.with_free; s != nullptr; s = s->next) {
      GPA_ASSERT(s->size_class == c && s->free_slots() != 0);
      --of_class[c].slabs_with_free;
    }
    GPA_ASSERT(of_class[c].slabs_with_free == 0);
    GPA_ASSERT(of_class[c].slots == all.slots && of_class[c].free == all.free);
    GPA_ASSERT(all.slots == 0 || (made_[c / 64].load(std::memory_order_relaxed) >> c % 64 & 1) != 0);
    if (all.owners > 1) for_owners += (all.owners - 1) * slab_size(static_cast<unsigned>(c));
  }
  GPA_ASSERT(for_owners == for_owners_.load(std::memory_order_relaxed));
  GPA_ASSERT(free_bytes == free_in_slabs_.load(std::memory_order_relaxed));
}

}  // namespace gpa::detail
