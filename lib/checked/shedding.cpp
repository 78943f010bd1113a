// What goes back by itself: pages of slabs on which nothing but slots past their quarantine lies.
//
// A thread looks after each MiB it freed. When more than 8 MiB wait in its rings beyond the quarantine, what is over
// goes to the slabs, where other threads find it. When that and what became free in slabs are more than max(an eighth of
// what is held, 8 MiB), slabs are thinned: their poison is looked at, and pages that hold no other slot are dropped. A
// slot with a page less is `freed` instead of `poisoned`, and poisoned anew before it is handed out again. A slot that
// was written to keeps its pages: whoever is handed it, or verify(), tells of that. Where nothing would go but pages that
// nobody came to yet, nothing goes: a huge page without one of them is none any more. At ebb, and when trim() asks, they
// do.
//
// Of blocks freed in random order the last few keep most pages, each its own. So while more than max(a quarter of what is
// used, 12 MiB) is held beyond it, pages that nobody touched yet counted too, slabs of which little is used are thinned
// each time what is live has fallen to a quarter. The next look comes halfway to there, where several threads free in as
// many parts of that, as each looks by itself; 4 KiB on at least: a burst must not be over between two looks. What waits in
// rings is not live, nor what waits in those of other threads, as each said when it last looked.
//
// What is needed again within a second is tolerated (blocks/tolerance.hpp). While verify() or a leak scan reads, nothing
// is dropped, and nobody waits for it.
#include "checked/checked_heap.hpp"

#include "base/assert.hpp"
#include "blocks/needed_pages.hpp"
#include "os/pages.hpp"

#include <algorithm>
#include <utility>

namespace gpa::detail {

namespace {

constexpr std::size_t always_kept = std::size_t{8} << 20;
constexpr std::size_t kept_at_ebb = std::size_t{12} << 20;
constexpr std::uint64_t least_gap = std::uint64_t{4} << 10;  // bytes freed, from one look to the next
constexpr int most_threads = 16;  // that share a gap
constexpr std::size_t worth_thinning = 3;  // slots in use on a page: with more there is hardly a page without

bool is_free(const slab& s, std::size_t index) noexcept
{
  return (s.free_bits[index / 64] >> index % 64 & 1) != 0;
}

}  // namespace

// Says what waits in the thread's rings.
std::size_t checked_heap::note_waiting(checked_cache& k) noexcept
{
  std::size_t waiting = 0;
  for (unsigned c = 1; c != class_count; ++c) waiting += k.bins[c].waiting() * slot_size(c);
  const std::size_t before = std::exchange(k.waiting, waiting);
  waiting_.fetch_add(waiting - before, std::memory_order_relaxed);
  if ((waiting != 0) != (before != 0)) threads_waiting_.fetch_add(waiting != 0 ? 1 : -1, std::memory_order_relaxed);
  return waiting;
}

// Of what is over.
void checked_heap::empty_rings(checked_cache& k) noexcept
{
  for (unsigned c = 1; c != class_count; ++c) {
    if (k.bins[c].entries == nullptr) continue;
    const mutex_guard guard(classes_[c].lock);
    empty_ring(k, c);
  }
}

void checked_heap::empty_ring(checked_cache& k, unsigned c) noexcept
{
  bin& b = k.bins[c];
  b.take_ready_out_of_ring();
  k.catch_up();
  b.mark_open_period(k.clock);
  for (std::uint32_t before = 0; before != b.waiting();) {
    before = b.waiting();
    drain(k, c, false);
  }
  b.direct = false;
}

void checked_heap::look_for_surplus(checked_cache& k) noexcept
{
  k.looked_at = k.clock;
  if (!supply_.from_system() || held_.load(std::memory_order_relaxed) <= always_kept) {
    k.look_after = usual_gap;
    return;
  }
  const std::size_t waiting = note_waiting(k);
  const std::size_t surplus = waiting - std::min(waiting, rule_.bytes);
  bool much = much_is_free(surplus);
  bool ebb = is_at_ebb(k);
  if (much || ebb || surplus > always_kept) empty_rings(k);  // else as ever: nobody waits for anybody
  while (much || ebb) {
    if (!scan_lock_.try_lock()) {
      if (ebb) k.look_after = least_gap;
      return;
    }
    if (ebb) live_before_ebb_.store(live(), std::memory_order_relaxed);
    thin_slabs(much, ebb);
    scan_lock_.unlock();
    if (!ebb) return;
    note_waiting(k);
    ebb = is_at_ebb(k);  // others, who found the lock taken, may have freed much in slabs that were passed
    much = false;
  }
}

void checked_heap::thin_slabs(bool much, bool ebb) noexcept
{
  for (slab* s = slabs(); s != nullptr; s = s->next) {
    const unsigned c = s->size_class;
    const mutex_guard guard(classes_[c].lock);
    const std::size_t used = s->slot_count - s->free_slots;
    if ((much && s->idle_slots * s->slot_bytes >= page_size) ||
        (ebb && s->idle_slots != 0 && used * page_size < s->held * worth_thinning))
      thin(c, *s, ebb);
  }
}

// Whether what became free lately, or is about to, is more than is kept for what comes.
bool checked_heap::much_is_free(std::size_t surplus) noexcept
{
  const std::size_t allowance = std::max(held_.load(std::memory_order_relaxed) / 8, always_kept);
  const std::size_t free = idle() + surplus;
  tolerance_.note_more(free);
  if (free <= allowance) return false;
  const mutex_guard guard(tolerance_lock_);
  return free > tolerance_.allowed(allowance, free);
}

std::size_t checked_heap::live() const noexcept
{
  const std::size_t taken = taken_.load(std::memory_order_relaxed);
  return taken - std::min(taken, waiting_.load(std::memory_order_relaxed));
}

// Whether little is live now of what was, and many pages are held for it. Says when to look again.
bool checked_heap::is_at_ebb(checked_cache& k) noexcept
{
  const std::size_t taken = taken_.load(std::memory_order_relaxed);
  const std::size_t live = this->live();
  const std::size_t held = held_.load(std::memory_order_relaxed);
  const std::size_t idle_pages = held - std::min(held, taken);
  const bool many = idle_pages > tolerance_.added_to(std::max(taken / 4, kept_at_ebb));
  const std::size_t before = live_before_ebb_.load(std::memory_order_relaxed);
  if (!many || live > before) live_before_ebb_.store(live, std::memory_order_relaxed);
  const bool ebb = many && live < before / 4;
  const std::size_t next_ebb = (ebb || live > before ? live : before) / 4;
  const int threads = std::clamp(threads_waiting_.load(std::memory_order_relaxed), 1, most_threads);
  const std::uint64_t halfway = (live - next_ebb) / 2 / static_cast<std::uint64_t>(threads);
  k.look_after = many ? std::clamp(halfway, least_gap, usual_gap) : usual_gap;
  return ebb;
}

void checked_heap::thin(unsigned, slab& s, bool untouched_too) noexcept
{
  idle_.fetch_sub(s.idle_slots * s.slot_bytes, std::memory_order_relaxed);
  s.idle_slots = 0;
  const std::size_t carved = s.carved.load(std::memory_order_relaxed);
  needed_pages needed;
  for (std::size_t i = 0; i != carved; ++i)
    if (!is_free(s, i)) needed.need_slot(i, s.slot_bytes);
  if (!untouched_too && (carved == 0 || needed.count() == needed_pages::last_page(carved - 1, s.slot_bytes) + 1)) return;
  for (std::size_t i = 0; i != carved; ++i) {
    if (!is_free(s, i) || needed.cover_slot(i, s.slot_bytes)) continue;
    const tag t = tag_of(s.records[i].word.load(std::memory_order_relaxed));
    GPA_ASSERT(!is_live(state_of(t)));  // its pages are about to go
    const bool whole = state_of(t) == slot_state::poisoned ? holds_poison(s.slot(i), s.slot_bytes, bytes_of(t), poison_)
                                                           : !is_poisoned(state_of(t));
    if (!whole) needed.need_slot(i, s.slot_bytes);
  }
  for (std::size_t i = 0; i != carved; ++i) {
    if (!is_free(s, i) || needed.cover_slot(i, s.slot_bytes)) continue;
    std::atomic<std::uint64_t>& word = s.records[i].word;
    const std::uint64_t seen = word.load(std::memory_order_relaxed);
    if (state_of(tag_of(seen)) != slot_state::poisoned) continue;
    word.store(make_word(with_state(tag_of(seen), slot_state::freed), free_trace_of(seen)), std::memory_order_relaxed);
    s.thinned = true;
  }
  needed.drop_others(s.base, s.bytes);
  const auto still = static_cast<std::uint32_t>(std::min<std::size_t>(needed.count() * page_size, s.held));
  {
    const mutex_guard guard(tolerance_lock_);
    tolerance_.note_given_back(s.held - still);
  }
  held_.fetch_sub(s.held - still, std::memory_order_relaxed);
  s.held = still;
}

}  // namespace gpa::detail
