// From whose slab a thread takes slots: its own first. Two threads that take turns at one slab would have blocks side by
// side, each on twice as many pages, and lines of both in the pairs a CPU fetches.
#include "fast/fast_heap.hpp"

namespace gpa::detail {

namespace {

constexpr unsigned most_looked_at = 8;  // slabs, for one of the cache's own

}  // namespace

void fast_heap::add_slab(span& s, fast_cache& k) noexcept
{
  s.sole.store(&k, std::memory_order_relaxed);
  fast_bin& b = k.bins[s.size_class];
  class_slabs& all = classes_[s.size_class];
  free_in_slabs_.fetch_add(std::size_t{s.slot_count} * s.slot_bytes, std::memory_order_relaxed);
  const mutex_guard guard(all.lock);
  all.add(s);
  if (b.has_its_own) return;
  b.has_its_own = true;
  if (all.owners++ != 0) for_owners_.fetch_add(s.bytes, std::memory_order_relaxed);
}

// Of the slabs with free slots that stand first in the list one that is this cache's, now the first; else the first one,
// or null.
span* fast_heap::class_slabs::slab_with_free(const fast_cache& k) noexcept
{
  span* const first = with_free;
  if (first == nullptr || is_of(*first, k)) return first;
  span* s = first->next;
  for (unsigned i = 0; i != most_looked_at && s != nullptr; ++i, s = s->next) {
    if (!is_of(*s, k)) continue;
    unlist(*s);
    list(*s);
    return s;
  }
  return first;
}

// Whether a cache may have a new slab although this one of somebody else has free slots. So many slots may lie free for
// that: a slab for each who has one of its own, one more, and an eighth of what is used.
bool fast_heap::class_slabs::has_room_for_its_own(const span& other) const noexcept
{
  const std::size_t for_owners = (owners + std::size_t{1}) * other.slot_count;
  return free <= for_owners + (slots - free) / 8;
}

void fast_heap::leave(fast_cache& k) noexcept
{
  for (unsigned c = 1; c != class_count; ++c) {
    if (!k.bins[c].has_its_own) continue;
    k.bins[c].has_its_own = false;
    class_slabs& all = classes_[c];
    const mutex_guard guard(all.lock);
    if (all.owners == 0) continue;  // none are left after release()
    if (--all.owners != 0) for_owners_.fetch_sub(slab_size(c), std::memory_order_relaxed);
  }
}

}  // namespace gpa::detail
