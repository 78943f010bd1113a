// From a resource's id to this thread's cache for it, in a few instructions and without a lock.
//
//    ways      four {id, cache}, direct-mapped by the id's low bits        <- hot paths compare one of them
//    table     {birth, cache} of every resource this thread has used       <- a miss is answered here, lock-free
//    registry  every resource alive (registry.hpp)                          <- first use, thread exit
//
// Ids are 64-bit and never reused, so a stale way or table row can never match: a resource made again at the same
// address has another id. A resource that must be noticed on every call (a limit, a log, a tool looking on) is simply
// never put into a way.
//
// The state is trivially destructible and stays valid to the thread's last instruction; a separate hook orphans the
// caches when the thread's C++ destructors run. Afterwards the phase is `gone`, and callers borrow a cache per call.
#pragma once

#include "blocks/owner.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace gpa::detail {

/// Counters of one cache: written by its thread only, read by anybody. What a thread frees need not be its own
/// allocations, so only the sum over all caches of a resource means anything.
struct tally {
  std::atomic<std::uint64_t> allocated_blocks{0};
  std::atomic<std::uint64_t> allocated_bytes{0};
  std::atomic<std::uint64_t> freed_blocks{0};
  std::atomic<std::uint64_t> freed_bytes{0};

  void count_allocation(std::size_t bytes) noexcept
  {
    add(allocated_blocks, 1);
    add(allocated_bytes, bytes);
  }
  void count_free(std::size_t bytes) noexcept
  {
    add(freed_blocks, 1);
    add(freed_bytes, bytes);
  }
  [[nodiscard]] std::int64_t live_blocks() const noexcept
  {
    return static_cast<std::int64_t>(allocated_blocks.load(std::memory_order_relaxed) -
                                     freed_blocks.load(std::memory_order_relaxed));
  }
  [[nodiscard]] std::int64_t live_bytes() const noexcept
  {
    return static_cast<std::int64_t>(allocated_bytes.load(std::memory_order_relaxed) -
                                     freed_bytes.load(std::memory_order_relaxed));
  }
  /// A resize is a free and an allocation of one block, not a block more.
  void count_resize(std::size_t old_bytes, std::size_t new_bytes) noexcept
  {
    if (new_bytes >= old_bytes) {
      add(allocated_bytes, new_bytes - old_bytes);
    } else {
      add(freed_bytes, old_bytes - new_bytes);
    }
  }

 private:
  // Only the cache's thread writes, so no locked instruction; but compilers do not make this one instruction either.
  static void add(std::atomic<std::uint64_t>& n, std::uint64_t more) noexcept
  {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    asm("addq %1, %0" : "+m"(n) : "er"(more) : "cc");
#else
    n.store(n.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
#endif
  }
};

/// What every cache begins with. Belongs to one thread at a time; the memory is the resource's.
struct cache_header {
  std::uint64_t birth = 0;         // of the resource
  cache_header* partner = nullptr;  // sampling: the checked heap's cache of the same thread
  std::uint32_t frames = 0;        // call stacks: how deep
  std::uint16_t thread = 0;        // number of the thread it belongs to
  bool checked = false;            // a checked_cache, else a fast_cache
  bool sampled = false;            // a fast_cache with a partner: now and then a block goes there
  bool exact_peak = false;         // one thread owns the resource: every allocation looks at the peak
  bool plain = false;              // checked, no call stacks, no exact peak: the shortest path will do
  bool traced = false;             // as plain, but with call stacks
  std::size_t quick_below = 0;     // requests of fewer bytes take the fast heap's shortest path
  tally counts;
  std::uint32_t until_sample = 0;  // sampling: allocations to the next one picked
  std::uint32_t dice = 0;          // sampling: the state of its random numbers
  std::atomic<std::int64_t> budgeted{0};  // live bytes already counted against a limit
  cache_header* next = nullptr;           // of the same resource
  cache_header* next_orphan = nullptr;
  bool orphan = false;
};

struct way {
  std::uint64_t id;
  cache_header* cache;
};

enum class thread_phase : std::uint8_t { fresh, attached, gone };

struct thread_table_row {
  std::uint64_t birth;  // 0 = free
  cache_header* cache;
};

struct thread_state {
  way ways[4];
  thread_table_row* table;
  std::uint32_t rows;  // a power of two, or 0
  std::uint32_t used;
  thread_phase phase;
  std::uint32_t ignoring;  // gpa::ignore_scopes that live
  std::uint16_t tag;       // of the innermost gpa::tag_scope
};
static_assert(sizeof(thread_state) <= 128, "the thread-local storage budget of design.md");

extern __thread thread_state my_thread __attribute__((tls_model("initial-exec")));

/// Ids are multiples of this: their low bits are then the offset of their way, without a shift.
inline constexpr std::uint64_t id_step = sizeof(way);

[[nodiscard]] inline way& way_of(std::uint64_t id) noexcept
{
  constexpr std::uint64_t last_way = 3 * sizeof(way);
  return *reinterpret_cast<way*>(reinterpret_cast<std::byte*>(my_thread.ways) + (id & last_way));
}
static_assert(sizeof(way) == 16);

/// This thread's cache for the resource, or null. Lock-free.
[[nodiscard]] inline cache_header* find_cache(std::uint64_t birth) noexcept
{
  const thread_state& state = my_thread;
  if (state.rows == 0) return nullptr;
  for (std::uint64_t i = birth * 0x9E3779B97F4A7C15U >> 32;; ++i) {
    const thread_table_row& row = state.table[i & (state.rows - 1)];
    if (row.birth == birth) return row.cache;
    if (row.birth == 0) return nullptr;
  }
}

/// Told at thread exit of every cache the thread had; and asked which births are still alive when a table is full.
struct thread_exit_handler {
  void (*orphan)(std::uint64_t birth, cache_header* cache) noexcept;
  bool (*is_alive)(std::uint64_t birth) noexcept;
};

/// Remembers this thread's cache. False when memory is refused or the thread's destructors have run: then the caller
/// borrows a cache for the call.
[[nodiscard]] bool remember_cache(std::uint64_t birth, cache_header* cache,
                                  const thread_exit_handler& handler) noexcept;

}  // namespace gpa::detail
