// From a resource's id to this thread's cache for it, in a few instructions and without a lock.
//
//    ways      six {id, cache}; a resource's is always the same one        <- hot paths compare one of them
//    near      sixteen more, before the table                              <- another resource has the way
//    table     {birth, cache} of every resource this thread has used       <- a miss is answered here, lock-free
//    registry  every resource alive (registry.hpp)                          <- first use, thread exit
//
//    id        63             1         0
//             +----------------+---------+
//             |  never reused  | careful |
//             +----------------+---------+
//
// Ids are 64-bit and never reused, so a stale way or table row can never match: a resource made again at the same
// address has another id. Resources made one after the other have different ways, and do not drive each other out. The
// front door says where the way is, as its distance from the thread pointer, which is the same in every thread. A
// resource that must be noticed on every call (a limit, a log, a tool looking on) is simply never put into a way; its
// id says so.
//
// The state is trivially destructible and stays valid to the thread's last instruction; a separate hook orphans the
// caches when the thread's C++ destructors run. Afterwards the phase is `gone`, and callers borrow a cache per call.
#pragma once

#include "base/attributes.hpp"
#include "blocks/tally.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory_resource>

namespace gpa::detail {

/// What every cache begins with. Belongs to one thread at a time; the memory is the resource's. What hot paths look at
/// stands in one line of the CPU's cache; frees that look at the peak leave them.
struct cache_header {
  std::uint32_t frames = 0;        // call stacks: how deep
  std::uint16_t thread = 0;        // number of the thread it belongs to; 0 if nothing is checked
  bool checked = false;            // a checked_cache, else a fast_cache
  bool plain = false;              // checked, without call stacks
  bool traced = false;             // checked, with call stacks
  bool frees_plain = false;        // as above; both false where the peak is exact
  bool frees_traced = false;
  bool exact_peak = false;         // one thread owns the resource: frees look at the peak, and leave the hot path for it
  std::uint32_t free_frames = 0;   // of a free's call stack; 0 or as `frames`
  std::size_t quick_below = 0;     // requests of fewer bytes take the fast heap's shortest path
  std::uintptr_t slow_up_to = 0;   // frees up to this address leave the hot path: of picked blocks, or all
  tally counts;
  std::uint64_t birth = 0;         // of the resource
  std::pmr::memory_resource* handle = nullptr;  // the resource's late handle: for who has lost the object on the way
  bool sole = false;               // a fast_cache of a resource that has no other: one thread calls it at a time
  bool orphan = false;
  cache_header* partner = nullptr;  // sampling: the checked heap's cache of the same thread
  std::uint32_t dice = 0;          // sampling: the state of its random numbers
  std::atomic<std::int64_t> budgeted{0};  // live and promised bytes already counted against a limit
  std::atomic<std::int64_t> promised{0};  // to allocations that are under way: limit.hpp
  std::atomic<std::uint32_t> limit_turn{0};  // the limit that the cache was first caught up with: limit.hpp
  std::atomic<std::int64_t> peak_blocks{0};  // where it is exact: the most that were live, its partner's among them
  std::atomic<std::int64_t> peak_bytes{0};
  std::atomic<std::int64_t> known_blocks{0};  // up to so many live by this cache's counts, its resource's peak is known
  std::atomic<std::int64_t> known_bytes{0};
  cache_header* next = nullptr;  // of the same resource
  cache_header* next_orphan = nullptr;

  /// Before something is freed: more than then was live at no moment since the last free. Where the peak is exact.
  void note_own_peak() noexcept { note_own_peak(live_of_both()); }
  void note_own_peak(const live_count& live) noexcept
  {
    const auto raise = [](std::atomic<std::int64_t>& peak, std::int64_t now) {
      if (now > peak.load(std::memory_order_relaxed)) peak.store(now, std::memory_order_relaxed);
    };
    raise(peak_blocks, live.blocks);
    raise(peak_bytes, live.bytes);
  }
  /// What is live is the most from now on.
  void forget_peak() noexcept
  {
    known_blocks.store(0, std::memory_order_relaxed);
    known_bytes.store(0, std::memory_order_relaxed);
    const live_count live = exact_peak ? live_of_both() : live_count();
    peak_blocks.store(live.blocks, std::memory_order_relaxed);
    peak_bytes.store(live.bytes, std::memory_order_relaxed);
  }
  /// Before something is freed, on slow paths: whether so much is live here as never before, a sixty-fourth more, so that
  /// the resource's peak is worth a look. Few are, of however many calls.
  [[nodiscard]] bool has_risen() noexcept
  {
    const live_count live = counts.live();
    const bool more = live.blocks > known_blocks.load(std::memory_order_relaxed) ||
                      live.bytes > known_bytes.load(std::memory_order_relaxed);
    if (more) [[unlikely]] remember_rise(live);
    return more;
  }
  GPA_COLD void remember_rise(const live_count& live) noexcept;
  [[nodiscard]] live_count live_of_both() const noexcept
  {
    live_count live = counts.live();
    if (partner == nullptr) return live;
    const live_count others = partner->counts.live();
    return {live.blocks + others.blocks, live.bytes + others.bytes};
  }
};

/// False, of a fast cache: the block is certainly no picked one, and nobody wants to look at the peak.
[[nodiscard]] inline bool leaves_hot_path(const cache_header& k, const void* p) noexcept
{
  return reinterpret_cast<std::uintptr_t>(p) <= k.slow_up_to;
}

struct way {
  std::uint64_t id;
  cache_header* cache;
};

enum class thread_phase : std::uint8_t { fresh, attached, gone };

struct thread_table_row {
  std::uint64_t birth;  // 0 = free
  cache_header* cache;
};

/// Open addressing; at least a quarter of the rows is free. Before them, ways for those that share one of the six: used
/// in turn they would take it from each other with every call, so only each 1 024th that is found here does.
struct thread_table {
  static constexpr std::size_t near_count = 16;
  static constexpr std::uint64_t near_uses = 1024;
  static constexpr std::uint64_t no_birth = ~std::uint64_t{0};  // of a row that was one's

  way near[near_count];
  std::uint64_t near_left;  // until one gets its way again
  std::uint64_t last_row;  // the number of rows, a power of two, less one
  std::uint64_t used;
  std::uint64_t freed;     // bytes, in resources that share a quarantine: checked/checked_cache.hpp
  thread_table_row rows[1];  // and more

  [[nodiscard]] static constexpr std::uint64_t first_try(std::uint64_t birth) noexcept
  {
    return birth * 0x9E3779B97F4A7C15U >> 32;
  }
};

inline constexpr std::size_t way_count = 6;  // what 128 bytes of thread-local storage leave room for

struct thread_state {
  way ways[way_count];
  thread_table* table;
  std::uint32_t ignoring;  // gpa::ignore_scopes that live
  thread_phase phase;
  std::uint16_t tag;       // of the innermost gpa::tag_scope
};
static_assert(sizeof(thread_state) <= 112, "with what else is thread-local 128 bytes, the budget of design.md");

extern __thread thread_state my_thread __attribute__((tls_model("initial-exec")));

[[nodiscard]] inline std::uint64_t bytes_freed_by_thread() noexcept
{
  return my_thread.table == nullptr ? 0 : my_thread.table->freed;
}

inline constexpr std::uint64_t careful_bit = 1;

[[nodiscard]] constexpr std::uint64_t make_id(std::uint64_t number, bool careful) noexcept
{
  return number << 1 | (careful ? careful_bit : 0);
}

/// Where the way of a resource is, in every thread: counted from the thread pointer.
[[nodiscard]] std::ptrdiff_t place_of_way(std::uint64_t birth) noexcept;

/// Whether that resource has its way in this thread; then `cache` is this thread's for it.
///
/// Compilers first compute the address of what is thread-local; the CPU needs no instruction for that.
[[nodiscard, gnu::always_inline]] inline bool has_way(std::uint64_t id, std::ptrdiff_t place,
                                                      cache_header*& cache) noexcept
{
  const way& w = *reinterpret_cast<const way*>(place);  // from the thread pointer
  bool same = false;
  asm volatile("cmpq %%fs:%1, %2" : "=@cce"(same) : "m"(w.id), "r"(id) : "memory");
  if (!same) [[unlikely]] return false;
  asm volatile("movq %%fs:%1, %0" : "=r"(cache) : "m"(w.cache) : "memory");
  return true;
}

inline void set_way(std::uint64_t id, std::ptrdiff_t place, cache_header* cache) noexcept
{
  *reinterpret_cast<way*>(static_cast<std::byte*>(__builtin_thread_pointer()) + place) = {id, cache};
  thread_table* const t = my_thread.table;
  if (t == nullptr) return;
  t->near[cache->birth % thread_table::near_count] = {id, cache};
  t->near_left = thread_table::near_uses;
}

/// No resource has a way any more.
inline void empty_ways() noexcept
{
  for (way& w : my_thread.ways) w = {};
  if (my_thread.table == nullptr) return;
  for (way& w : my_thread.table->near) w = {};
}

/// Of a resource whose way another one has. Believed as a way is; false as well when it is time to regain that.
[[nodiscard, gnu::always_inline]] inline bool has_near(std::uint64_t id, std::uint64_t birth,
                                                       cache_header*& cache) noexcept
{
  thread_table* const t = my_thread.table;
  if (t == nullptr) [[unlikely]] return false;
  const way& w = t->near[birth % thread_table::near_count];
  if (w.id != id || --t->near_left == 0) [[unlikely]] return false;
  cache = w.cache;
  return true;
}

/// This thread's cache for the resource, or null. Lock-free.
[[nodiscard]] inline cache_header* find_cache(std::uint64_t birth) noexcept
{
  const thread_table* const table = my_thread.table;
  if (table == nullptr) return nullptr;
  for (std::uint64_t i = thread_table::first_try(birth);; ++i) {
    const thread_table_row& row = table->rows[i & table->last_row];
    if (row.birth == birth) return row.cache;
    if (row.birth == 0) return nullptr;
  }
}

/// Of a resource whose way another one has: puts it back there, as its id allows. Null: take the careful path.
[[nodiscard]] inline cache_header* regain_way(std::uint64_t id, std::ptrdiff_t place, std::uint64_t birth) noexcept
{
  if ((id & careful_bit) != 0 || my_thread.ignoring != 0 || my_thread.tag != 0) return nullptr;
  cache_header* const k = find_cache(birth);
  if (k != nullptr) set_way(id, place, k);
  return k;
}

/// Told at thread exit of every cache the thread had; and asked which births are still alive when a table is full.
struct thread_exit_handler {
  void (*orphan)(std::uint64_t birth, cache_header* cache) noexcept;
  bool (*is_alive)(std::uint64_t birth) noexcept;
};

/// Remembers this thread's cache. False when memory is refused, by malloc too if the thread has none yet, or the thread's
/// destructors have run: then the caller borrows a cache for the call.
[[nodiscard]] bool remember_cache(std::uint64_t birth, cache_header* cache,
                                  const thread_exit_handler& handler) noexcept;

}  // namespace gpa::detail
