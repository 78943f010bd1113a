// The thread caches of one resource: made at a thread's first call, orphaned at its end, adopted by the next thread.
#include "base/bits.hpp"
#include "base/tools.hpp"
#include "blocks/sampled_range.hpp"
#include "cache_lease.hpp"
#include "core.hpp"
#include "environment.hpp"
#include "fault_report.hpp"
#include "front_door.hpp"
#include "os/metadata.hpp"
#include "os/pages.hpp"
#include "os/threads.hpp"
#include "registry.hpp"
#include "sampling.hpp"

#include <algorithm>
#include <bit>
#include <new>

namespace gpa::detail {

namespace {

// Caches stand at pages of their own. All at the same place of it, two resources used in turn would be in each other's
// way: a load waits for an earlier store whose address ends in the same 12 bits. So they stand a line apart, as far as what
// their piece of memory has left over allows.
template <class Cache>
constexpr std::size_t room_of_cache = std::bit_ceil(sizeof(Cache));

template <class Cache>
Cache* new_cache() noexcept
{
  constexpr std::size_t line = 64;
  constexpr std::size_t places = (room_of_cache<Cache> - sizeof(Cache)) / line + 1;
  static_assert(room_of_cache<Cache> >= page_size && places * line < page_size);
  constinit static std::atomic<std::size_t> made{0};
  auto* const room = static_cast<std::byte*>(metadata_allocate(room_of_cache<Cache>));
  if (room == nullptr) return nullptr;
  return new (room + made.fetch_add(1, std::memory_order_relaxed) % places * line) Cache;
}

template <class Cache>
void delete_cache(Cache& k) noexcept
{
  metadata_free(reinterpret_cast<std::byte*>(&k) - address(&k) % page_size, room_of_cache<Cache>);
}

void free_cache(cache_header& k) noexcept
{
  if (k.partner != nullptr) free_cache(*k.partner);
  if (!k.checked) {
    fast_heap::free_arrays(static_cast<fast_cache&>(k));
    delete_cache(static_cast<fast_cache&>(k));
    return;
  }
  auto& checked = static_cast<checked_cache&>(k);
  for (bin& b : checked.bins) {
    if (b.entries != nullptr) metadata_free(b.entries, ring_bytes(b.capacity()));
    if (b.arrays != nullptr) metadata_free(b.arrays, sizeof(bin_arrays));
  }
  delete_cache(checked);
}

bool keeps_stacks_of_frees(const gpa::options& o) noexcept
{
  return o.environment == environment::ignored || environment_settings().free_trace;
}

}  // namespace

// This thread has the cache now. Records name threads; the fast heap has none, and asks the system for no names.
void core::name_owner(cache_header& k) const noexcept
{
  if (options_.checks.is_never()) return;
  k.thread = static_cast<std::uint16_t>(this_thread_number());
  if (k.partner != nullptr) k.partner->thread = k.thread;
  static_cast<checked_cache&>(k.checked ? k : *k.partner).begin_clock();
}

cache_header* core::make_cache() noexcept
{
  checked_cache* checked = nullptr;
  fast_cache* fast = nullptr;
  if (!options_.checks.is_never()) {
    checked = new_cache<checked_cache>();
    if (checked == nullptr) return nullptr;
    checked_.adopt(*checked);
    checked->larger = widest_paths();
    checked->checked = true;
    checked->frames = static_cast<std::uint32_t>(options_.stack_frames);
    checked->free_frames = keeps_stacks_of_frees(options_) ? checked->frames : 0;
    checked->exact_peak = !options_.thread_safe && options_.checks.is_always();  // else its partner looks
    checked->plain = checked->frames == 0;
    checked->traced = checked->frames != 0;
    checked->frees_plain = checked->plain && !checked->exact_peak;
    checked->frees_traced = checked->traced && !checked->exact_peak;
    if (checked->exact_peak) checked->slow_up_to = ~std::uintptr_t{0};
    checked->birth = birth_;
    checked->handle = &handle_;
    explain_faults();
  }
  if (options_.checks.is_always()) return checked;
  fast = new_cache<fast_cache>();
  if (fast == nullptr) {
    if (checked != nullptr) free_cache(*checked);
    return nullptr;
  }
  fast->birth = birth_;
  fast->handle = &handle_;
  fast->sole = has_sole_cache();
  fast->exact_peak = !options_.thread_safe;
  fast->partner = checked;
  fast->quick_below = fast_heap::quick_below;
  if (checked != nullptr) {
    fast->slow_up_to = std::max(sampled_range_end(), std::uintptr_t{1}) - 1;  // there may be none
    fast->dice = static_cast<std::uint32_t>(next_number() * 2654435761U) | 1U;
    fast->counts.set_due(first_sampling_gap(fast->dice, options_.checks.interval()));
  }
  if (fast->exact_peak) fast->slow_up_to = ~std::uintptr_t{0};
  return fast;
}

cache_header* core::adopt_or_make_cache() noexcept
{
  cache_header* k = nullptr;
  {
    const mutex_guard guard(lock_);
    if (dropped_) return nullptr;
    k = orphans_;
    if (k != nullptr) {
      orphans_ = k->next_orphan;
      k->orphan = false;
    }
  }
  if (k == nullptr) {
    k = make_cache();
    if (k == nullptr) return nullptr;
    const mutex_guard guard(lock_);
    k->next = caches_;
    caches_ = k;
    if (k->sole) sole_.store(k, std::memory_order_release);
  }
  name_owner(*k);
  return k;
}

void core::orphan(cache_header& k) noexcept
{
  const mutex_guard guard(lock_);
  add_orphan(k);
}

void core::add_orphan(cache_header& k) noexcept
{
  if (dropped_ || k.orphan) return;
  k.orphan = true;
  cache_header*& place = orphans_ == nullptr ? orphans_ : orphans_->next_orphan;  // the first one stays it
  k.next_orphan = place;
  place = &k;
}

// The first orphan stays as it is, with what the thread kept: whoever comes next finds it warm. The others are emptied. Over
// a user's upstream none is: giving memory back would call the upstream, and locks are held.
void core::thread_ended(cache_header& k) noexcept
{
  const mutex_guard guard(lock_);
  if (dropped_) return;
  if (cache_header* const c = k.checked ? &k : k.partner; c != nullptr) checked_.leave(static_cast<checked_cache&>(*c));
  if (!k.checked) fast_.leave(static_cast<fast_cache&>(k));
  if (limit_.is_set()) limit_.catch_up(k);
  const bool first = orphans_ == nullptr;
  if (!first && !k.checked && supply_.from_system() && life_.load(std::memory_order_relaxed) == life::alive)
    fast_.empty(static_cast<fast_cache&>(k));
  add_orphan(k);
}

// What the fast heap's caches keep becomes free. Nobody else may be inside.
void core::flush_caches() noexcept
{
  const mutex_guard guard(lock_);
  for (cache_header* k = caches_; k != nullptr; k = k->next)
    if (!k->checked) fast_.flush(static_cast<fast_cache&>(*k));
}

void core::flush(cache_header& k) noexcept
{
  if (k.partner != nullptr) flush(*k.partner);
  if (k.checked) {
    checked_.end_quarantine(static_cast<checked_cache&>(k));
  } else {
    fast_.flush(static_cast<fast_cache&>(k));
  }
}

// The same for those of threads that are gone, and the end of their quarantine. No lock is held meanwhile, so the
// upstream may be called; should that fork, the child has listed them again.
void core::flush_orphans() noexcept
{
  const std::uint32_t forks = forks_;
  cache_header* idle = nullptr;
  {
    const mutex_guard guard(lock_);
    idle = orphans_;
    orphans_ = nullptr;
  }
  for (cache_header* k = idle; k != nullptr; k = k->next_orphan) flush(*k);
  const mutex_guard guard(lock_);
  while (idle != nullptr && forks == forks_) {
    cache_header* const next = idle->next_orphan;
    idle->next_orphan = orphans_;
    orphans_ = idle;
    idle = next;
  }
}

bool core::has_caches() noexcept
{
  const mutex_guard guard(lock_);
  return !dropped_;
}

void core::drop_heaps() noexcept
{
  cache_header* all = nullptr;
  {
    const mutex_guard guard(lock_);
    dropped_ = true;
    all = caches_;
    caches_ = orphans_ = nullptr;
    sole_.store(nullptr, std::memory_order_relaxed);
  }
  tools_destroy_pool(this);  // closes what is in it, so before memory goes back
  const tools_quiet quiet;
  checked_.release();
  fast_.release();
  while (all != nullptr) {
    cache_header* const next = all->next;
    free_cache(*all);
    all = next;
  }
}

cache_lease::cache_lease(core& c) noexcept : core_(c)
{
  cache_ = c.has_sole_cache() ? c.sole_.load(std::memory_order_acquire) : find_cache(c.birth());
  if (cache_ != nullptr) return;
  cache_ = c.adopt_or_make_cache();
  if (cache_ == nullptr || cache_->sole) return;
  borrowed_ = !remember_cache(c.birth(), cache_, registry_thread_exit_handler());
}

cache_lease::~cache_lease()
{
  if (borrowed_) core_.orphan(*cache_);
}

// The locks a fork must find free, in one order: caches, then each heap's.
void core::lock_for_fork() noexcept GPA_THREAD_SAFETY(no_thread_safety_analysis)
{
  lock_.lock();
  if (is_sampled()) supply_.lock_for_fork();  // else the checked heap's own
  checked_.lock_for_fork();
  fast_.lock_for_fork();
  numbers_.lock_for_fork();
  log_.lock_for_fork();
  if (profile_.has_value()) profile_->lock_for_fork();
}

void core::unlock_after_fork() noexcept GPA_THREAD_SAFETY(no_thread_safety_analysis)
{
  if (profile_.has_value()) profile_->unlock_after_fork();
  log_.unlock_after_fork();
  numbers_.unlock_after_fork();
  fast_.unlock_after_fork();
  checked_.unlock_after_fork();
  if (is_sampled()) supply_.unlock_after_fork();
  lock_.unlock();
}

// A thread that is lost may have been busy with the orphans, which are in no list then: they are as those of lost threads.
void core::list_lost_orphans() noexcept
{
  std::size_t missing = 0;
  for (const cache_header* k = caches_; k != nullptr; k = k->next) missing += k->orphan ? 1 : 0;
  for (const cache_header* k = orphans_; k != nullptr; k = k->next_orphan) --missing;
  for (cache_header* k = caches_; k != nullptr && missing != 0; k = k->next) {
    if (!k->orphan) continue;
    const cache_header* listed = orphans_;
    while (listed != nullptr && listed != k) listed = listed->next_orphan;
    if (listed != nullptr) continue;
    k->orphan = false;
    --missing;
  }
}

// Only the thread that forked is left. What the others' caches hold goes to the heap, as far as the records agree
// that it is free; their counters stay, so the totals stay right.
void core::become_child(std::uint32_t survivor) noexcept
{
  gate_.forget_others();
  if (!has_ended()) gate_.open();  // who was in release() is gone
  ::new (&report_lock_) mutex;
  supply_.become_child(survivor);
  ++forks_;
  const totals t = sum();
  const cache_header* const own = find_cache(birth_);
  checked_.become_child();
  const mutex_guard guard(lock_);
  if (!inherited_blocks_are_reported()) {
    inherited_blocks_ = t.unchecked_blocks;
    inherited_bytes_ = t.unchecked_bytes;
  }
  list_lost_orphans();
  for (cache_header* k = caches_; k != nullptr; k = k->next) {
    for (cache_header* part = k; part != nullptr; part = part->partner)
      if (part->checked) checked_heap::forget_waiting(static_cast<checked_cache&>(*part));
    if (k == own || k->orphan || k->sole) {  // a sole one is the survivor's who forks
      name_owner(*k);
      continue;
    }
    k->promised.store(0, std::memory_order_relaxed);
    if (k->checked) checked_.salvage(static_cast<checked_cache&>(*k));
    if (k->partner != nullptr) checked_.salvage(static_cast<checked_cache&>(*k->partner));
    for (cache_header* part = k; part != nullptr; part = part->partner) part->counts.repair();
    if (!k->checked) {
      fast_.leave(static_cast<fast_cache&>(*k));
      fast_.lose_arrays(static_cast<fast_cache&>(*k));
    }
    k->orphan = true;
    k->next_orphan = orphans_;
    orphans_ = k;
  }
  // What lost threads added to the one number and to their own may differ.
  limit_.restart();
  for (cache_header* k = caches_; k != nullptr; k = k->next) {
    limit::forget(*k);
    if (limit_.is_set()) limit_.catch_up(*k);
  }
  if (owning_thread_.load(std::memory_order_relaxed) == survivor)
    owning_thread_.store(this_thread_serial(), std::memory_order_relaxed);
}

}  // namespace gpa::detail
