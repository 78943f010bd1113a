// From whose slab a thread takes slots: its own first, so that it frees there alone, without a locked instruction
// (claim.hpp).
#include "checked/checked_heap.hpp"

#include "blocks/slab_owners.hpp"
#include "os/barrier.hpp"

namespace gpa::detail {

namespace {

constexpr unsigned most_looked_at = 8;  // slabs, for one that need not be shared

}  // namespace

void checked_heap::add_slab(slab& s, checked_cache& k) noexcept
{
  const unsigned c = s.size_class;
  if (process_barrier_available()) s.sole.store(&k, std::memory_order_relaxed);
  const mutex_guard guard(slabs_lock_);
  s.next = slabs_;
  slabs_ = &s;
  const mutex_guard of_class(classes_[c].lock);
  classes_[c].slots += s.slot_count;
  classes_[c].free += s.slot_count;
  if (!k.bins[c].has_its_own) {
    k.bins[c].has_its_own = true;
    ++classes_[c].owners;
  }
  list_free(c, s);
}

// A slab with free slots, put first in its list: of those that stand first one that is this cache's alone, or one that
// nobody has alone, or whichever there is. Null when there is none.
slab* checked_heap::slab_with_free(const checked_cache& k, unsigned c) noexcept
{
  slab* const first = classes_[c].with_free;
  if (first == nullptr || first->sole.load(std::memory_order_relaxed) == &k) return first;
  slab* before_best = nullptr;
  bool best_is_shared = first->sole.load(std::memory_order_relaxed) == nullptr;
  slab* before = first;
  for (unsigned i = 0; i != most_looked_at && before->next_free != nullptr; ++i, before = before->next_free) {
    const void* const sole = before->next_free->sole.load(std::memory_order_relaxed);
    if (sole != &k && (sole != nullptr || best_is_shared)) continue;
    before_best = before;
    if (sole == &k) break;
    best_is_shared = true;
  }
  if (before_best == nullptr) return first;
  slab* const best = before_best->next_free;
  before_best->next_free = best->next_free;
  best->next_free = first;
  return classes_[c].with_free = best;
}

void checked_heap::leave(checked_cache& k) noexcept
{
  for (unsigned c = 1; c != class_count; ++c) {
    if (!k.bins[c].has_its_own) continue;
    k.bins[c].has_its_own = false;
    const mutex_guard of_class(classes_[c].lock);
    if (classes_[c].owners != 0) --classes_[c].owners;  // none are left after bury()
  }
}

// From then on the cache frees there without a locked instruction, and waits for nobody.
bool checked_heap::may_have_its_own(const slab& other, unsigned c) noexcept
{
  return process_barrier_available() && supply_.from_system() &&
         room_for_an_own_slab(classes_[c].slots, classes_[c].free, classes_[c].owners, other.slot_count);
}

}  // namespace gpa::detail
