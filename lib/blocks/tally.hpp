// Counters of one cache: written by its thread only, read by anybody. What a thread frees need not be its own
// allocations, so only the sum over all caches of a resource means anything.
//
// Allocations are counted from `due` upwards, modulo 2^64: the one that makes the count zero is the one to pick, and
// that costs the hot path no more than a look at what the addition left in the CPU's flags. Where nothing is picked,
// `due` is 0, and the count never comes back to it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace gpa::detail {

struct tally {
  std::atomic<std::uint64_t> since_due{0};
  std::atomic<std::uint64_t> allocated_bytes{0};
  std::atomic<std::uint64_t> freed_blocks{0};
  std::atomic<std::uint64_t> freed_bytes{0};
  std::atomic<std::uint64_t> due{0};
  std::atomic<std::uint64_t> then{0};  // counted while the two above change

  void count_allocation(std::size_t bytes) noexcept
  {
    add(since_due, 1);
    add(allocated_bytes, bytes);
  }
  /// False: this block is due, and is no allocation of this tally.
  [[nodiscard]] bool count_allocation_unless_due(std::size_t bytes) noexcept
  {
    if (count_and_meet_due()) [[unlikely]] return false;
    add(allocated_bytes, bytes);
    return true;
  }
  [[nodiscard]] std::uint64_t allocated_blocks() const noexcept
  {
    for (;;) {
      const std::uint64_t next = due.load(std::memory_order_acquire);
      if (next == changing) return then.load(std::memory_order_relaxed);
      const std::uint64_t since = since_due.load(std::memory_order_relaxed);
      std::atomic_thread_fence(std::memory_order_acquire);
      if (due.load(std::memory_order_relaxed) != next) continue;  // it only grows
      const bool met_due = since == 0 && next != 0;  // that one is no allocation of this tally
      return next + since - (met_due ? 1 : 0);
    }
  }
  /// Whether the next allocation is the one to pick, or was already refused for that.
  [[nodiscard]] bool is_due() const noexcept { return since_due.load(std::memory_order_relaxed) + 1 <= 1; }
  /// `counted` allocations have been, and `more` from now one is due.
  void set_due(std::uint64_t counted, std::uint64_t more) noexcept
  {
    then.store(counted, std::memory_order_relaxed);
    due.store(changing, std::memory_order_release);
    std::atomic_thread_fence(std::memory_order_release);
    since_due.store(0 - more, std::memory_order_relaxed);
    due.store(counted + more, std::memory_order_release);
  }
  /// The one that was due got no memory: then the next is.
  void refuse_due() noexcept
  {
    if (since_due.load(std::memory_order_relaxed) == 0 && due.load(std::memory_order_relaxed) != 0)
      since_due.store(~std::uint64_t{0}, std::memory_order_relaxed);
  }
  /// The thread that was in set_due() is lost, in the child of a fork: done again.
  void repair_due(std::uint64_t more) noexcept
  {
    if (due.load(std::memory_order_relaxed) == changing) set_due(then.load(std::memory_order_relaxed), more);
  }
  /// As set_due(), where is_due() holds.
  void set_next_due(std::uint64_t more) noexcept { set_due(due.load(std::memory_order_relaxed) - 1, more); }
  void count_free(std::size_t bytes) noexcept
  {
    add(freed_blocks, 1);
    add(freed_bytes, bytes);
  }
  [[nodiscard]] std::int64_t live_blocks() const noexcept
  {
    const std::uint64_t freed = freed_blocks.load(std::memory_order_relaxed);
    return static_cast<std::int64_t>(allocated_blocks() - freed);
  }
  /// The same where nothing is picked.
  [[nodiscard]] std::int64_t live_blocks_unpicked() const noexcept
  {
    const std::uint64_t freed = freed_blocks.load(std::memory_order_relaxed);
    return static_cast<std::int64_t>(since_due.load(std::memory_order_relaxed) - freed);
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
  static constexpr std::uint64_t changing = ~std::uint64_t{0};

  // Only the cache's thread writes, so no locked instruction; but compilers do not make this one instruction either.
  static void add(std::atomic<std::uint64_t>& n, std::uint64_t more) noexcept
  {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    asm("addq %1, %0" : "+m"(n) : "er"(more) : "cc");
#else
    n.store(n.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
#endif
  }
  bool count_and_meet_due() noexcept
  {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    bool met = false;
    asm("addq $1, %0" : "+m"(since_due), "=@ccz"(met));
    return met;
#else
    add(since_due, 1);
    return since_due.load(std::memory_order_relaxed) == 0;
#endif
  }
};

}  // namespace gpa::detail
