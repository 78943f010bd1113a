// From whose slab a thread takes slots: its own first. Two threads that take turns at one slab would have blocks side by
// side, each on twice as many pages, and lines of both in the pairs a CPU fetches.
#include "blocks/slab_owners.hpp"
#include "fast/fast_heap.hpp"

namespace gpa::detail {

namespace {

constexpr unsigned most_looked_at = 8;  // slabs, for one of the cache's own

}  // namespace

void fast_heap::add_slab(span& s, fast_cache& k) noexcept
{
  fast_bin& b = k.bins[s.size_class];
  class_slabs& all = classes_[s.size_class];
  if (supply_.from_system()) s.sole.store(&k, std::memory_order_relaxed);
  std::atomic<std::uint64_t>& made = made_[s.size_class / 64];
  if (const std::uint64_t bit = std::uint64_t{1} << s.size_class % 64; (made.load(std::memory_order_relaxed) & bit) == 0)
    made.fetch_or(bit, std::memory_order_relaxed);
  const mutex_guard guard(all.lock);
  all.add(s);
  if (b.has_its_own || !supply_.from_system()) return;
  b.has_its_own = true;
  if (all.owners++ != 0) for_owners_.fetch_add(slab_size(s.size_class), std::memory_order_relaxed);
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

// Where there are more threads and classes than much_is_free() allows for, slabs are shared.
bool fast_heap::may_have_its_own(const class_slabs& all, const span& other) const noexcept
{
  return for_owners_.load(std::memory_order_relaxed) < most_for_owners &&
         room_for_an_own_slab(all.slots, all.free, all.owners, other.slot_count);
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
