// A limit on the bytes users hold, exact while every allocation and free goes through it.
//
// Without a limit, live bytes are only counted in thread caches. Setting one adds what each cache counts to one shared
// number and remembers per cache how much of it was added (cache_header::budgeted); from then on an allocation
// reserves its bytes there by one atomic exchange before it happens. An operation that was under way while the limit was
// set, and there was none or one that had been lifted, is added by its thread's next operation, or at its thread's end.
//
// Between the two an operation's bytes are `promised`. In its middle a handler or an upstream may use the resource, whose
// operations on the same cache add what is missing: what is counted and what is promised.
//
// What a cache counts and what was added of it differ in the middle of its thread's operations, too. So who sets a limit
// where there was none adds for other threads once, of caches that have met no operation under this limit yet; from then
// on each thread adds for its own.
//
// Thread-safe, but for begin() and set(): their caller has a lock.
#pragma once

#include <gpa/options.hpp>

#include "blocks/thread_caches.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace gpa::detail {

class limit {
 public:
  explicit limit(std::size_t bytes) noexcept : bytes_(bytes) {}

  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_.load(std::memory_order_acquire); }
  [[nodiscard]] bool is_set() const noexcept { return bytes() != unlimited; }
  /// Before set(), where there was no limit.
  void begin() noexcept { turn_.fetch_add(1, std::memory_order_relaxed); }
  void set(std::size_t bytes) noexcept { bytes_.store(bytes, std::memory_order_release); }

  /// Adds what `k`, another thread's cache, counted before there was a limit.
  void catch_up_for(cache_header& k) noexcept
  {
    const std::uint32_t turn = turn_.load(std::memory_order_relaxed);
    const std::int64_t known = k.budgeted.load(std::memory_order_relaxed);  // so that what the thread does from here on shows
    std::uint32_t met = k.limit_turn.load(std::memory_order_relaxed);
    if (met != turn && k.limit_turn.compare_exchange_strong(met, turn, std::memory_order_acq_rel))
      static_cast<void>(add_what_is_missing(k, known));
  }
  /// The same of the calling thread's own.
  void catch_up(cache_header& k) noexcept
  {
    k.limit_turn.store(turn_.load(std::memory_order_relaxed), std::memory_order_relaxed);
    while (!add_what_is_missing(k, k.budgeted.load(std::memory_order_relaxed))) {
    }
  }

  /// Takes `bytes` from what is left. False: that would be over the limit, and nothing was taken.
  [[nodiscard]] bool reserve(cache_header& k, std::size_t bytes) noexcept
  {
    const std::size_t most = this->bytes();  // before the turn
    catch_up(k);
    if (bytes > most) return false;
    const auto more = static_cast<std::int64_t>(bytes);
    std::int64_t before = used_.load(std::memory_order_relaxed);
    do {
      // Not add-and-look: a large request that is refused must not refuse a small one that fits.
      if (before > 0 && static_cast<std::size_t>(before) > most - bytes) return false;
    } while (!used_.compare_exchange_weak(before, before + more, std::memory_order_acq_rel,
                                          std::memory_order_relaxed));
    k.promised.fetch_add(more, std::memory_order_relaxed);
    k.budgeted.fetch_add(more, std::memory_order_relaxed);
    return true;
  }
  /// After reserve(), by the same cache: the bytes are counted, or will not be.
  void settle(cache_header& k, std::size_t bytes) noexcept
  {
    k.promised.fetch_sub(static_cast<std::int64_t>(bytes), std::memory_order_relaxed);
    catch_up(k);
  }

  /// Nothing is used, as far as is known: of each cache forget() is next.
  void restart() noexcept { used_.store(0, std::memory_order_relaxed); }
  /// Nothing of the cache was added.
  static void forget(cache_header& k) noexcept { k.budgeted.store(0, std::memory_order_relaxed); }

 private:
  // Of one moment, where the thread that counts is busy.
  [[nodiscard]] static std::int64_t live_bytes(const cache_header& k) noexcept
  {
    const auto now = [&k] {
      std::uint64_t n = 0;
      for (const cache_header* part = &k; part != nullptr; part = part->partner)
        n += part->counts.allocated().bytes - part->counts.freed().bytes;
      return static_cast<std::int64_t>(n);
    };
    std::int64_t live = now();
    for (int tries = 0; tries != 100; ++tries)
      if (const std::int64_t again = now(); again == std::exchange(live, again)) break;
    return live;
  }
  // False: somebody else did, of what was counted when they looked.
  [[nodiscard]] bool add_what_is_missing(cache_header& k, std::int64_t known) noexcept
  {
    const std::int64_t held = live_bytes(k) + k.promised.load(std::memory_order_relaxed);
    if (held == known) return true;
    if (!k.budgeted.compare_exchange_strong(known, held, std::memory_order_relaxed)) return false;
    used_.fetch_add(held - known, std::memory_order_release);  // after a free was counted: whoever reserves next sees that
    return true;
  }

  std::atomic<std::size_t> bytes_;
  std::atomic<std::uint32_t> turn_{0};
  std::atomic<std::int64_t> used_{0};
};

}  // namespace gpa::detail
