// Giving memory back: trim() while the heap lives, bury() and free_buried() after its end, release() at once.
#include "checked/checked_heap.hpp"

#include "base/assert.hpp"
#include "base/bits.hpp"
#include "blocks/owner.hpp"
#include "os/metadata.hpp"
#include "os/pages.hpp"

#include <algorithm>
#include <bitset>
#include <new>

namespace gpa::detail {

namespace {

constexpr std::size_t most_pages = slab_size(class_count - 1) / page_size;

// Drops the pages of a slab that no live slot lies on. Returns the bytes dropped.
std::size_t discard_around_live(slab& s) noexcept
{
  std::bitset<most_pages> needed;
  for (std::size_t i = 0; i != s.slot_count; ++i) {
    if (!is_live(state_of(tag_of(s.records[i].word.load(std::memory_order_relaxed))))) continue;
    const std::size_t begin = i * s.slot_bytes / page_size;
    const std::size_t last = ((i + 1) * s.slot_bytes - 1) / page_size;
    for (std::size_t page = begin; page <= last; ++page) needed.set(page);
  }
  std::size_t dropped = 0;
  const std::size_t pages = s.bytes / page_size;
  for (std::size_t page = 0; page != pages;) {
    std::size_t end = page;
    while (end != pages && !needed.test(end)) ++end;
    if (end != page) discard_pages(s.base + page * page_size, (end - page) * page_size);
    dropped += (end - page) * page_size;
    page = end == pages ? end : end + 1;
  }
  return dropped;
}

std::uint32_t count_live(const slab& s) noexcept
{
  std::uint32_t live = 0;
  for (std::size_t i = 0; i != s.slot_count; ++i)
    if (is_live(state_of(tag_of(s.records[i].word.load(std::memory_order_acquire))))) ++live;
  return live;
}

}  // namespace

checked_heap::~checked_heap() { release(); }

slab* checked_heap::slabs() noexcept
{
  const mutex_guard guard(lock_);
  return slabs_;
}

void checked_heap::delete_slab(slab& s) noexcept
{
  clear_region(s);
  held_.fetch_sub(s.held, std::memory_order_relaxed);
  supply_.give_back(s.base, s.bytes, granule_size);
  metadata_free(s.records, records_bytes(s.slot_count));
  metadata_free(&s, sizeof s);
}

// Slots whose quarantine is over go to the heap, in batches. What finds no memory for its batch rests until release().
void checked_heap::put_back(const ring_entry* entries, std::size_t count, unsigned c) noexcept
{
  while (count != 0) {
    const std::size_t take = std::min<std::size_t>(count, batch_slots(slot_size(c)));
    void* const place = metadata_allocate(sizeof(slot_batch));
    if (place == nullptr) return;
    auto* const batch = new (place) slot_batch;
    batch->count = take;
    std::copy_n(entries, take, batch->entries.begin());
    entries += take;
    count -= take;
    batch->next = central_[c];
    central_[c] = batch;
    central_count_[c].fetch_add(1, std::memory_order_relaxed);
  }
}

void checked_heap::gather_free(bin& b, unsigned c, list_of<ring_entry>& entries)
{
  std::size_t count = b.size();
  for (const slot_batch* batch = central_[c]; batch != nullptr; batch = batch->next) count += batch->count;
  entries.reserve(count);  // the only thing that can fail, and nothing is taken yet
  while (b.head != b.tail) entries.push_back(b.entries[b.head++ & b.mask]);
  while (central_[c] != nullptr) {
    slot_batch* const batch = central_[c];
    entries.insert(entries.end(), batch->entries.begin(),
                   batch->entries.begin() + static_cast<std::ptrdiff_t>(batch->count));
    central_[c] = batch->next;
    central_count_[c].fetch_sub(1, std::memory_order_relaxed);
    metadata_free(batch, sizeof *batch);
  }
}

// Every slot carved from it is in our hands, and no other thread carves from it.
bool checked_heap::is_unused(const slab& s, const bin& b) const noexcept
{
  const std::uint32_t filled = s.filled.load(std::memory_order_relaxed);
  return filled != 0 && s.free_slots * s.slot_bytes == filled && (!s.carving || b.current == &s);
}

void checked_heap::trim_class(checked_cache& k, unsigned c, list_of<slab*>& unused)
{
  bin& b = k.bins[c];
  list_of<ring_entry> entries;
  const mutex_guard guard(lock_);
  gather_free(b, c, entries);
  for (const ring_entry& e : entries) ++static_cast<slab*>(region_of(e.slot()))->free_slots;
  if (b.current != nullptr)
    b.current->free_slots +=
        static_cast<std::uint32_t>(static_cast<std::size_t>(b.fresh_end - b.fresh) / b.current->slot_bytes);
  const auto kept = std::remove_if(entries.begin(), entries.end(), [&](const ring_entry& e) {
    return is_unused(static_cast<const slab&>(*region_of(e.slot())), b);
  });
  put_back(entries.data(), static_cast<std::size_t>(kept - entries.begin()), c);
  for (slab* s = slabs_; s != nullptr; s = s->next) {
    if (s->size_class != c) continue;
    if (is_unused(*s, b)) unused.push_back(s);
    s->free_slots = 0;
  }
}

// An unused slab over the system loses its pages, not its records: a late free of one of its blocks is still a double
// free. Over a user's upstream it is given back whole.
void checked_heap::retire_unused(checked_cache& k, list_of<slab*>& unused) noexcept
{
  const mutex_guard guard(lock_);
  for (slab* s : unused) {
    bin& b = k.bins[s->size_class];
    if (b.current == s) {
      b.current = nullptr;
      b.fresh = b.fresh_end = nullptr;
    }
    s->carving = false;
    s->filled.store(0, std::memory_order_release);
    if (supply_.from_system()) {
      discard_pages(s->base, s->bytes);
      if (s->listed) continue;
      s->listed = true;
      s->next_free = with_room_[s->size_class];
      with_room_[s->size_class] = s;
      central_count_[s->size_class].fetch_add(1, std::memory_order_relaxed);
      continue;
    }
    slab** link = &slabs_;
    while (*link != s) link = &(*link)->next;
    *link = s->next;
    if (!s->listed) continue;
    link = &with_room_[s->size_class];
    while (*link != s) link = &(*link)->next_free;
    *link = s->next_free;
    central_count_[s->size_class].fetch_sub(1, std::memory_order_relaxed);
  }
}

void checked_heap::trim(checked_cache& k) noexcept
{
  list_of<slab*> unused;
  {
    const mutex_guard scanning(scan_lock_);  // verify() must not read pages that go
    try {
      for (unsigned c = 1; c != class_count; ++c) {
        list_of<slab*> of_class;
        trim_class(k, c, of_class);
        unused.reserve(unused.size() + of_class.size());
        retire_unused(k, of_class);
        unused.insert(unused.end(), of_class.begin(), of_class.end());
      }
    } catch (const std::bad_alloc&) {
      // What was trimmed so far stays trimmed; nothing is lost.
    }
  }
  if (!supply_.from_system())
    for (slab* s : unused) delete_slab(*s);  // calls the upstream: no lock held
  large_.trim();
}

void checked_heap::bury() noexcept
{
  slab* all = nullptr;
  {
    const mutex_guard guard(lock_);
    all = slabs_;
    slabs_ = nullptr;
    for (slot_batch*& list : central_) {
      while (list != nullptr) {
        slot_batch* const batch = list;
        list = batch->next;
        metadata_free(batch, sizeof *batch);
      }
    }
    with_room_ = {};
    for (auto& count : central_count_) count.store(0, std::memory_order_relaxed);
  }
  slab* kept = nullptr;
  while (all != nullptr) {
    slab& s = *all;
    all = s.next;
    s.live_slots = supply_.from_system() ? count_live(s) : 0;
    if (s.live_slots == 0) {
      delete_slab(s);
      continue;
    }
    const std::size_t dropped = discard_around_live(s);
    s.held -= dropped;
    held_.fetch_sub(dropped, std::memory_order_relaxed);
    s.next = kept;
    kept = &s;
  }
  {
    const mutex_guard guard(lock_);
    slabs_ = kept;
  }
  large_.bury();
}

bool checked_heap::free_buried(const judgement& right, std::uint32_t trace, std::uint16_t thread) noexcept
{
  if (right.large != nullptr) return large_.free_buried(*right.large, right.word);
  if (right.small == nullptr) return false;
  std::uint64_t expected = right.word;
  if (!right.small->word.compare_exchange_strong(
          expected, make_word(with_state(tag_of(right.word), slot_state::poisoned), trace), std::memory_order_acq_rel))
    return false;
  right.small->free_thread.store(thread, std::memory_order_relaxed);
  slab& s = *right.in_slab;
  {
    const mutex_guard guard(lock_);
    if (--s.live_slots != 0) return true;
    slab** link = &slabs_;
    while (*link != &s) link = &(*link)->next;
    *link = s.next;
  }
  delete_slab(s);
  return true;
}

void checked_heap::release() noexcept
{
  bury();
  slab* all = nullptr;
  {
    const mutex_guard guard(lock_);
    all = slabs_;
    slabs_ = nullptr;
  }
  while (all != nullptr) {
    slab& s = *all;
    all = s.next;
    delete_slab(s);
  }
  large_.release();
}

void checked_heap::reset_cache(checked_cache& k) noexcept
{
  for (bin& b : k.bins) {
    b.head = b.tail = 0;
    b.fresh = b.fresh_end = nullptr;
    b.fresh_record = nullptr;
    b.current = nullptr;
  }
}

void checked_heap::salvage(checked_cache& k) noexcept
{
  for (unsigned c = 1; c != class_count; ++c) {
    bin& b = k.bins[c];
    const mutex_guard guard(lock_);
    const std::uint32_t held = std::min(b.size(), b.mask + 1);
    for (std::uint32_t i = 0; i != held; ++i) {
      const ring_entry e = b.entries[(b.head + i) & b.mask];
      const std::uint64_t word = e.record()->word.load(std::memory_order_acquire);
      if (is_poisoned(state_of(tag_of(word)))) put_back(&e, 1, c);
    }
    for (std::byte* p = b.fresh; p != b.fresh_end; p += slot_size(c), ++b.fresh_record) {
      const ring_entry e = ring_entry::make(p, b.fresh_record, 0);
      if (!is_live(state_of(tag_of(b.fresh_record->word.load(std::memory_order_acquire))))) put_back(&e, 1, c);
    }
    slab* const s = b.current;
    if (s == nullptr) continue;
    s->carving = false;
    s->listed = true;
    s->next_free = with_room_[c];
    with_room_[c] = s;
    central_count_[c].fetch_add(1, std::memory_order_relaxed);
  }
  reset_cache(k);
}

bool checked_heap::ignore(const void* p) noexcept
{
  for (;;) {
    const judgement j = judge(p, 0, 1, &owner_);
    if (j.belongs_to != &owner_ || j.offset != 0) return false;
    if (j.large != nullptr) {
      const slot_state state = large_state(j.word);
      if (!is_live(state)) return false;
      if (is_ignored(state)) return true;
      std::uint64_t seen = j.word;
      const slot_state ignored =
          state == slot_state::live ? slot_state::live_ignored : slot_state::ignored_inspected;
      if (j.large->word.compare_exchange_strong(seen, large_with_state(seen, ignored))) return true;
      continue;
    }
    if (j.small == nullptr) return false;
    const slot_state state = state_of(tag_of(j.word));
    if (!is_live(state)) return false;
    if (is_ignored(state)) return true;
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
  lock_.lock();
  large_.lock_for_fork();
}

void checked_heap::unlock_after_fork() noexcept GPA_THREAD_SAFETY(no_thread_safety_analysis)
{
  large_.unlock_after_fork();
  lock_.unlock();
  supply_.unlock_after_fork();
  damage_lock_.unlock();
  scan_lock_.unlock();
}

void checked_heap::check() const noexcept
{
  const mutex_guard guard(lock_);
  for (const slab* s = slabs_; s != nullptr; s = s->next) {
    GPA_ASSERT(region_of(s->base) == s && s->owner == &owner_);  // C3
    const std::uint32_t filled = s->filled.load(std::memory_order_relaxed);
    GPA_ASSERT(filled <= s->slot_count * s->slot_bytes);
    for (std::size_t i = 0; i != filled / s->slot_bytes; ++i) {
      const tag t = tag_of(s->records[i].word.load(std::memory_order_relaxed));
      const slot_state state = state_of(t);
      GPA_ASSERT(bytes_of(t) < s->slot_bytes);
      if (state == slot_state::fresh || state == slot_state::poisoned)
        GPA_ASSERT(is_poison(s->slot(i), s->slot_bytes));  // C2
    }
  }
  for (unsigned c = 1; c != class_count; ++c)
    for (const slot_batch* batch = central_[c]; batch != nullptr; batch = batch->next)
      for (std::uint64_t i = 0; i != batch->count; ++i) {
        const slot_state state = state_of(tag_of(batch->entries[i].record()->word.load(std::memory_order_relaxed)));
        GPA_ASSERT(!is_live(state) && state != slot_state::freed);  // C1
      }
}

}  // namespace gpa::detail
