#include "registry.hpp"

#include "core.hpp"
#include "default_resource_lock.hpp"
#include "leak_filter.hpp"
#include "reporter.hpp"

#include "base/mutex.hpp"
#include "base/short_sleep.hpp"
#include "blocks/sampled_range.hpp"
#include "os/containers.hpp"
#include "os/loader.hpp"
#include "os/metadata.hpp"
#include "os/threads.hpp"
#include "trace/interned.hpp"
#include "trace/symbolize.hpp"

#include <pthread.h>

#include <array>
#include <atomic>
#include <new>
#include <utility>

namespace gpa::detail {

namespace {

using core_map = hash_map<std::uint64_t, core*>;

constexpr std::size_t most_retired = 128;  // 8 KiB each, 16 where one in n is checked

constinit std::atomic<std::uint64_t> numbers{0};
constinit mutex lock;
alignas(core_map) std::byte storage[sizeof(core_map)];
constinit core_map* cores GPA_GUARDED_BY(lock) = nullptr;  // never destroyed
// Aligned so, tables stand in front of the small variables, and these on fewer pages.
alignas(64) constinit std::array<core*, most_retired> retired GPA_GUARDED_BY(lock){};
constinit std::size_t next_retired GPA_GUARDED_BY(lock) = 0;
constinit void* symbols GPA_GUARDED_BY(lock) = nullptr;  // during a fork

// In the order that lib/README.md has (Invariants), and held across the fork. Nobody else ever holds the locks of two
// cores, so their order among themselves does not matter.
void before_fork() noexcept GPA_THREAD_SAFETY(no_thread_safety_analysis)
{
  lock.lock();
  symbols = take_symbols_at_rest();
  if (cores != nullptr)
    for (const auto& [birth, c] : *cores) c->lock_for_fork();
  default_resource_lock();
  leak_filter_lock();
  interned_lock();
  sharing_lock();
  sampled_range_lock();
  loader_lock();
  metadata_lock();
}

void unlock_after_fork() noexcept GPA_THREAD_SAFETY(no_thread_safety_analysis)
{
  metadata_unlock();
  loader_unlock();
  sampled_range_unlock();
  sharing_unlock();
  interned_unlock();
  leak_filter_unlock();
  default_resource_unlock();
  if (cores != nullptr)
    for (const auto& [birth, c] : *cores) c->unlock_after_fork();
  lock.unlock();
}

void after_fork_in_parent() noexcept GPA_THREAD_SAFETY(no_thread_safety_analysis)
{
  void* const taken = symbols;
  unlock_after_fork();
  put_back_symbols(taken);  // with no lock held: it may be one too many
}

void after_fork_in_child() noexcept GPA_THREAD_SAFETY(no_thread_safety_analysis)
{
  const std::uint32_t survivor = this_thread_serial();
  renumber_threads_after_fork();
  keep_only_symbols(symbols);
  unlock_after_fork();
  if (!inherited_blocks_are_reported()) forget_demanded_exit_status();
  const mutex_guard guard(lock);
  if (cores == nullptr) return;
  for (const auto& [birth, c] : *cores) {
    // Of threads that are not here nobody will go on: heaps stay as far dropped as they are.
    std::uint32_t& dropping = c->in_registry.dropping;
    dropping = dropping == survivor ? this_thread_serial() : 0;
    c->become_child(survivor);
  }
}

void orphan(std::uint64_t birth, cache_header* cache) noexcept
{
  const mutex_guard guard(lock);
  if (cores == nullptr) return;
  if (const auto found = cores->find(birth); found != cores->end()) found->second->thread_ended(*cache);
}

bool is_alive(std::uint64_t birth) noexcept
{
  const mutex_guard guard(lock);
  if (cores == nullptr) return false;
  const auto found = cores->find(birth);
  return found != cores->end() && found->second->has_caches();
}

// Whether the caller is to drop the heaps: nobody is calling the core. Else who calls last does.
bool begin_dropping(core& c) noexcept GPA_REQUIRES(lock)
{
  registry_entry& entry = c.in_registry;
  entry.retires_unpinned = entry.pins != 0;
  if (entry.retires_unpinned) return false;
  entry.dropping = this_thread_serial();
  return true;
}

// The core can be asked about until many more were dropped.
void drop(core& c) noexcept
{
  c.drop_heaps();
  core* oldest = nullptr;
  {
    const mutex_guard guard(lock);
    c.in_registry.dropping = 0;
    // The oldest makes room that nobody is calling. If each is being called, this one is asked about for ever.
    for (std::size_t i = 0; i != most_retired; ++i) {
      core*& place = retired[next_retired];
      next_retired = (next_retired + 1) % most_retired;
      if (place != nullptr && place->in_registry.pins != 0) continue;
      oldest = std::exchange(place, &c);
      break;
    }
    if (oldest != nullptr) cores->erase(oldest->birth());
  }
  if (oldest != nullptr) core::destroy(*oldest);
}

}  // namespace

// Before the program has handlers of its own: those that were registered first are called last before a fork, and first
// after it. So what a program's handlers lock it has already when ours lock, and may allocate again when its own run.
[[gnu::constructor(101)]] static void register_fork_handlers() noexcept
{
  ::pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

std::uint64_t next_number() noexcept { return numbers.fetch_add(1, std::memory_order_relaxed) + 1; }

void register_core(core& c)
{
  const mutex_guard guard(lock);
  if (cores == nullptr) cores = new (storage) core_map;
  cores->emplace(c.birth(), &c);
}

core* find_core(std::uint64_t birth) noexcept
{
  const mutex_guard guard(lock);
  if (cores == nullptr) return nullptr;
  const auto found = cores->find(birth);
  return found == cores->end() ? nullptr : found->second;
}

// Somebody may be dropping its heaps, and takes no time to speak of, but for what an upstream does.
pinned_core::pinned_core(std::uint64_t birth) noexcept
{
  for (;;) {
    {
      const mutex_guard guard(lock);
      if (cores == nullptr) return;
      const auto found = cores->find(birth);
      if (found == cores->end()) return;
      registry_entry& entry = found->second->in_registry;
      if (entry.dropping == 0 || entry.dropping == this_thread_serial()) {
        ++entry.pins;
        core_ = found->second;
        return;
      }
    }
    short_sleep(20'000);
  }
}

pinned_core::~pinned_core()
{
  if (core_ == nullptr) return;
  {
    const mutex_guard guard(lock);
    registry_entry& entry = core_->in_registry;
    --entry.pins;
    if (!entry.retires_unpinned || !begin_dropping(*core_)) return;
  }
  drop(*core_);
}

void list_births(list_of<std::uint64_t>& births) noexcept
try {
  const mutex_guard guard(lock);
  if (cores == nullptr) return;
  births.reserve(cores->size());
  for (const auto& [birth, c] : *cores) births.push_back(birth);
} catch (const std::bad_alloc&) {
  // reserve() refused.
}

core* enter_core(std::uint64_t birth, std::string_view& busy) noexcept
{
  constexpr int tries = 10'000;
  for (int i = 0;; ++i) {
    {
      const mutex_guard guard(lock);
      if (cores == nullptr) return nullptr;
      const auto found = cores->find(birth);
      if (found == cores->end()) return nullptr;
      core& c = *found->second;
      if (c.enter()) return &c;
      if (c.has_ended()) return nullptr;
      if (i == tries) {
        busy = c.options().name;
        return nullptr;
      }
    }
    short_sleep(100'000);
  }
}

void retire_core(core& c) noexcept
{
  {
    const mutex_guard guard(lock);
    if (!begin_dropping(c)) return;
  }
  drop(c);
}

const thread_exit_handler& registry_thread_exit_handler() noexcept
{
  static constexpr thread_exit_handler handler{orphan, is_alive};
  return handler;
}

}  // namespace gpa::detail
