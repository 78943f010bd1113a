// Giving memory back: trim() while the heap lives, bury() and free_buried() after its end, release() at once.
#include "checked/checked_heap.hpp"

#include "base/assert.hpp"
#include "base/bits.hpp"
#include "blocks/needed_pages.hpp"
#include "blocks/owner.hpp"
#include "os/metadata.hpp"
#include "os/pages.hpp"

#include <algorithm>
#include <array>

namespace gpa::detail {

namespace {

// Drops the pages of a slab that no live slot lies on. Returns the bytes dropped.
std::size_t discard_around_live(slab& s) noexcept
{
  needed_pages needed;
  for (std::size_t i = 0; i != s.slot_count; ++i)
    if (is_live(state_of(tag_of(s.records[i].word.load(std::memory_order_relaxed))))) needed.need_slot(i, s.slot_bytes);
  return needed.drop_others(s.base, s.bytes);
}

std::uint32_t count_live(const slab& s) noexcept
{
  std::uint32_t live = 0;
  for (std::size_t i = 0; i != s.carved.load(std::memory_order_relaxed); ++i)  // records behind were never touched
    if (is_live(state_of(tag_of(s.records[i].word.load(std::memory_order_acquire))))) ++live;
  return live;
}

std::size_t touched_bytes(const slab& s) noexcept
{
  return round_up(std::size_t{s.carved.load(std::memory_order_relaxed)} * s.slot_bytes, page_size);
}

bool is_unused(const slab& s) noexcept
{
  return s.free_slots == s.slot_count && s.carved.load(std::memory_order_relaxed) != 0;
}

}  // namespace

checked_heap::~checked_heap() { release(); }

slab* checked_heap::slabs() noexcept
{
  const mutex_guard guard(slabs_lock_);
  return slabs_;
}

void checked_heap::delete_slabs(slab* first) noexcept
{
  for (const slab* s = first; s != nullptr; s = s->next) clear_region(*s);
  delete_cleared(first);
}

// Neighbours go back together: of slabs made one after the other the newest stands first in a list, at the highest address.
void checked_heap::delete_cleared(slab* first) noexcept
{
  while (first != nullptr) {
    std::byte* base = nullptr;
    std::size_t bytes = 0;
    do {
      slab& s = *first;
      first = s.next;
      base = s.base;
      bytes += s.bytes;
      forget(s);
    } while (supply_.from_system() && first != nullptr && first->base + first->bytes == base);
    supply_.give_back(base, bytes, granule_size);
  }
}

void checked_heap::forget(slab& s) noexcept
{
  held_.fetch_sub(s.held, std::memory_order_relaxed);
  metadata_free(s.free_bits, records_bytes(s.fitting()), bits_bytes(s.fitting()) + s.touched * sizeof(record));
  if (void* const lives = s.lives.load(std::memory_order_relaxed); lives != nullptr)
    metadata_free(lives, s.slot_count * sizeof(std::uint64_t));
  metadata_free(&s, sizeof s);
}

// Of a slab without a block in anybody's hands: it loses its pages, not its records, so a late free of one of its
// blocks is still a double free.
void checked_heap::retire(unsigned, slab& s) noexcept
{
  for (std::uint32_t i = 0; i != s.carved.load(std::memory_order_relaxed); ++i) {
    std::atomic<std::uint64_t>& word = s.records[i].word;
    const std::uint64_t seen = word.load(std::memory_order_relaxed);
    const bool never = alignment_of(tag_of(seen)) == 0;
    word.store(never ? 0 : make_word(with_state(tag_of(seen), slot_state::freed), free_trace_of(seen)),
               std::memory_order_relaxed);
  }
  s.carved.store(0, std::memory_order_release);
  s.cursor = 0;
  idle_.fetch_sub(s.idle_slots * s.slot_bytes, std::memory_order_relaxed);
  s.idle_slots = 0;
  s.thinned = false;
  discard_pages(s.base, s.bytes);
  held_.fetch_sub(s.held, std::memory_order_relaxed);
  s.held = 0;
}

// Over a user's upstream such a slab is unlinked, to be given back whole.
slab* checked_heap::unlink_unused() noexcept
{
  slab* unlinked = nullptr;
  const mutex_guard guard(slabs_lock_);
  for (slab** link = &slabs_; *link != nullptr;) {
    slab& s = **link;
    const unsigned c = s.size_class;
    const mutex_guard of_class(classes_[c].lock);
    if (!is_unused(s)) {
      link = &s.next;
      continue;
    }
    *link = s.next;
    idle_.fetch_sub(s.idle_slots * s.slot_bytes, std::memory_order_relaxed);
    classes_[c].slots -= s.slot_count;
    classes_[c].free -= s.slot_count;
    slab** free_link = &classes_[c].with_free;
    while (*free_link != &s) free_link = &(*free_link)->next_free;
    *free_link = s.next_free;
    s.next = unlinked;
    unlinked = &s;
  }
  return unlinked;
}

// Rings go too: with slots of many sizes they are the larger part of what a thread keeps.
void checked_heap::end_quarantine(checked_cache& k) noexcept
{
  for (unsigned c = 1; c != class_count; ++c) {
    bin& b = k.bins[c];
    const mutex_guard guard(classes_[c].lock);
    drain(k, c, true);
    while (b.next != b.end) put_free(c, (b.next++)->slot);
    b.free_ring();
  }
  note_waiting(k);
}

void checked_heap::trim() noexcept
{
  slab* unlinked = nullptr;
  {
    const mutex_guard scanning(scan_lock_);  // verify() must not read pages that go
    if (!supply_.from_system()) unlinked = unlink_unused();
    for (const slab* s = unlinked; s != nullptr; s = s->next) clear_region(*s);  // scans look there, too
    for (slab* s = supply_.from_system() ? slabs() : nullptr; s != nullptr; s = s->next) {
      const unsigned c = s->size_class;
      const mutex_guard guard(classes_[c].lock);
      if (is_unused(*s)) {
        retire(c, *s);
      } else if (s->idle_slots != 0 || s->held > touched_bytes(*s)) {
        thin(c, *s, true);
      }
    }
    const mutex_guard guard(tolerance_lock_);
    tolerance_.forget();  // asked for: nothing to learn from
  }
  supply_.trim();
  delete_cleared(unlinked);  // calls the upstream: no lock held
  large_.trim();
}

void checked_heap::bury() noexcept
{
  slab* all = nullptr;
  {
    const mutex_guard guard(slabs_lock_);
    all = slabs_;
    slabs_ = nullptr;
  }
  for (unsigned c = 1; all != nullptr && c != class_count; ++c) {
    const mutex_guard guard(classes_[c].lock);
    classes_[c].with_free = nullptr;
    classes_[c].slots = classes_[c].free = 0;
    classes_[c].owners = 0;
  }
  idle_.store(0, std::memory_order_relaxed);
  taken_.store(0, std::memory_order_relaxed);
  waiting_.store(0, std::memory_order_relaxed);
  threads_waiting_.store(0, std::memory_order_relaxed);
  {
    const mutex_guard guard(tolerance_lock_);
    tolerance_.forget();
  }
  slab* kept = nullptr;
  slab* gone = nullptr;
  for (slab** last = &gone; all != nullptr;) {
    slab& s = *all;
    all = s.next;
    s.live_slots = supply_.from_system() ? count_live(s) : 0;
    if (s.live_slots == 0) {
      *last = &s;
      s.next = nullptr;
      last = &s.next;
      continue;
    }
    s.sole.store(nullptr, std::memory_order_relaxed);  // its cache may go, and another begin at the same address
    const auto still = static_cast<std::uint32_t>(std::min<std::size_t>(s.bytes - discard_around_live(s), s.held));
    held_.fetch_sub(s.held - still, std::memory_order_relaxed);
    s.held = still;
    s.next = kept;
    kept = &s;
  }
  {
    const mutex_guard guard(slabs_lock_);
    slabs_ = kept;
  }
  delete_slabs(gone);
  large_.bury();
}

bool checked_heap::free_buried(const judgement& right, std::uint32_t trace, std::uint16_t thread) noexcept
{
  if (right.large != nullptr) return large_.free_buried(*right.large, right.block, right.word);
  if (right.small == nullptr) return false;
  slab& s = *right.in_slab;
  {
    const mutex_guard guard(slabs_lock_);
    // Since it was judged its last block may have been freed, and the slab's header and records be anybody's.
    const region_head head = head_of(s);
    if (head.holder != &owner_ || head.kind != region_kind::checked_slab || s.live_slots == 0) return false;
    std::uint64_t expected = right.word;
    if (!right.small->word.compare_exchange_strong(
            expected, make_word(with_state(tag_of(right.word), slot_state::poisoned), trace), std::memory_order_acq_rel))
      return false;
    right.small->free_thread.store(thread, std::memory_order_relaxed);
    if (--s.live_slots != 0) return true;
    slab** link = &slabs_;
    while (*link != &s) link = &(*link)->next;
    *link = s.next;
    s.next = nullptr;
  }
  delete_slabs(&s);
  return true;
}

void checked_heap::release() noexcept
{
  bury();
  slab* all = nullptr;
  {
    const mutex_guard guard(slabs_lock_);
    all = slabs_;
    slabs_ = nullptr;
  }
  delete_slabs(all);
  large_.release();
}

void checked_heap::reset_cache(checked_cache& k) noexcept
{
  for (bin& b : k.bins) {
    b.forget_all();
    b.has_its_own = false;
  }
  k.waiting = 0;
}

void checked_heap::salvage(checked_cache& k) noexcept
{
  // A slot the thread was about to move when the process forked is lost, or is seen live: the record decides.
  const auto put_if_free = [this](unsigned c, std::byte* slot) GPA_THREAD_SAFETY(no_thread_safety_analysis) {
    region* const found = region_of(slot);
    if (found == nullptr || !owns(*found)) return;
    const auto& s = static_cast<const slab&>(*found);
    const std::size_t index = s.index_of(slot);
    const bool listed = (s.free_bits[index / 64] >> index % 64 & 1) != 0;
    const tag t = tag_of(s.records[index].word.load(std::memory_order_acquire));
    if (!listed && is_poisoned(state_of(t))) put_free(c, slot);
  };
  k.claiming.store(nullptr, std::memory_order_relaxed);
  for (unsigned c = 1; c != class_count; ++c) {
    bin& b = k.bins[c];
    const mutex_guard guard(classes_[c].lock);
    // The newest entry may have been half written: what stands there could be a slot that somebody else has by now.
    std::uint32_t end = b.tail_position();
    if (end - b.closed > b.period()) end = b.closed;  // the thread was opening one
    for (; static_cast<std::int32_t>(end - b.head) > 1; ++b.head) put_if_free(c, b.entry(b.head).slot);
    for (; b.next < b.end; ++b.next) put_if_free(c, b.next->slot);
    if (b.entries != nullptr) b.order_places();  // two of them may have been about to change places
    b.forget_all();
  }
}

bool checked_heap::ignore(const void* p) noexcept
{
  if (const region* const r = region_of(p); r != nullptr && head_of(*r).holder != &owner_)
    return large_.ignore(static_cast<const std::byte*>(p));  // another resource may stand on it
  for (;;) {
    const judgement j = judge(p, 0, 1, &owner_);
    if (j.belongs_to != &owner_ || j.offset != 0) return false;
    if (j.large != nullptr) return large_blocks::ignore(*j.large, j.word);
    if (j.small == nullptr) return false;
    const slot_state state = state_of(tag_of(j.word));
    if (!is_live(state)) return false;
    if (is_ignored(state)) return true;
    share(*j.in_slab);
    std::uint64_t seen = j.word;
    const slot_state ignored = state == slot_state::live ? slot_state::live_ignored : slot_state::ignored_inspected;
    if (j.small->word.compare_exchange_strong(seen, make_word(with_state(tag_of(seen), ignored), 0))) return true;
  }
}

void checked_heap::lock_for_fork() noexcept GPA_THREAD_SAFETY(no_thread_safety_analysis)
{
  scan_lock_.lock();
  damage_lock_.lock();
  supply_.lock_for_fork();
  slabs_lock_.lock();
  for (class_slabs& c : classes_) c.lock.lock();
  tolerance_lock_.lock();
  large_.lock_for_fork();
}

void checked_heap::unlock_after_fork() noexcept GPA_THREAD_SAFETY(no_thread_safety_analysis)
{
  large_.unlock_after_fork();
  tolerance_lock_.unlock();
  for (class_slabs& c : classes_) c.lock.unlock();
  slabs_lock_.unlock();
  supply_.unlock_after_fork();
  damage_lock_.unlock();
  scan_lock_.unlock();
}

void checked_heap::check() const noexcept GPA_THREAD_SAFETY(no_thread_safety_analysis)  // nobody else is inside
{
  const mutex_guard guard(slabs_lock_);
  std::size_t taken = 0;
  std::array<std::size_t, class_count> slots{};
  std::array<std::size_t, class_count> free_bits{};
  for (const slab* s = slabs_; s != nullptr; s = s->next) {
    GPA_ASSERT(region_of(s->base) == s && s->owner == &owner_);  // C3
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i != s->slot_count; ++i) {
      const tag t = tag_of(s->records[i].word.load(std::memory_order_relaxed));
      const slot_state state = state_of(t);
      const bool free = (s->free_bits[i / 64] >> i % 64 & 1) != 0;
      bits += free ? 1 : 0;
      GPA_ASSERT(bytes_of(t) < s->slot_bytes);
      GPA_ASSERT(!free || !is_live(state));  // C1
      GPA_ASSERT(state != slot_state::poisoned || holds_poison(s->slot(i), s->slot_bytes, bytes_of(t), poison_));  // C2
    }
    GPA_ASSERT(bits == s->free_slots && (bits == 0) == !s->listed);
    taken += (s->slot_count - bits) * std::size_t{s->slot_bytes};
    slots[s->size_class] += s->slot_count;
    free_bits[s->size_class] += bits;
  }
  GPA_ASSERT(taken == taken_.load(std::memory_order_relaxed));
  for (std::size_t c = 0; c != classes_.size(); ++c) GPA_ASSERT(slots[c] == classes_[c].slots && free_bits[c] == classes_[c].free);
}

}  // namespace gpa::detail
