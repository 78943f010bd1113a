// What one thread keeps of the checked heap: for each size class a bin (quarantine.hpp), and the clock that all of them
// wait by.
//
// The caches that a thread has for several resources have one quarantine between them, if nobody asked for a length: at
// the end of each period the clock takes over what the thread freed elsewhere. Eight resources used in turn would else go
// through eight quarantines, and none of them fits the CPU's cache.
//
// Not thread-safe: the cache's thread owns it.
#pragma once

#include "base/size_class.hpp"
#include "blocks/thread_caches.hpp"
#include "checked/larger_paths.hpp"
#include "checked/poison.hpp"
#include "checked/quarantine.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace gpa::detail {

class checked_heap;
struct slab;

/// Bytes that a thread frees between looks for memory to give back; fewer while there is some: shedding.cpp.
inline constexpr std::uint64_t usual_gap = std::uint64_t{1} << 20;

/// Everything one thread needs for checked blocks of one resource.
struct checked_cache : cache_header {
  std::uint64_t clock = 0;  // bytes freed
  std::uint64_t told = 0;   // the clock when the thread was last told of it; of a shared quarantine
  std::uint64_t ahead = 0;  // what the clock then had more than the thread's
  std::uint64_t looked_at = 0;  // the clock when this thread last looked whether memory should go back ...
  std::uint64_t look_after = usual_gap;  // ... and by how much it moves until the next time
  std::atomic<const slab*> claiming{nullptr};  // see checked/claim.hpp
  quarantine_rule rule;
  poison_rule poison;
  larger_paths larger;  // with the widest instructions that the CPU has
  checked_heap* heap = nullptr;  // whose it is
  std::array<bin, class_count> bins;
  std::size_t waiting = 0;  // bytes of slots in its rings, as last noted

  /// Of slots of `size` bytes, at most 1 KiB: in one instruction.
  [[nodiscard]] bin& bin_of(std::size_t size) noexcept
  {
    return *reinterpret_cast<bin*>(reinterpret_cast<std::byte*>(bins.data()) + size * (sizeof(bin) / 16));
  }

  /// Another thread has it now.
  void begin_clock() noexcept
  {
    told = clock;
    ahead = clock - bytes_freed_by_thread();
  }
  /// Before the clock is noted anywhere: it counts what this thread freed in other resources meanwhile.
  void catch_up() noexcept
  {
    if (!rule.shared || my_thread.table == nullptr) return;
    const std::uint64_t now = my_thread.table->freed += clock - told;
    looked_at += now + ahead - clock;  // in bytes of its own
    told = clock = now + ahead;
  }

  /// How many slots from that position of the ring on, to the end of its period at most, may be handed out.
  [[nodiscard]] std::uint32_t slots_over(const bin& b, std::uint32_t position) const noexcept
  {
    if (static_cast<std::int32_t>(b.closed - position) > 0) {
      if (clock - b.time_of(position) < rule.bytes) return 0;
      return b.period() - (position & (b.period() - 1));
    }
    if (b.entries == nullptr || static_cast<std::int32_t>(b.arrays->mark - position) <= 0) return 0;
    return clock - b.arrays->mark_time >= rule.bytes ? b.arrays->mark - position : 0;
  }
  /// Up to which position the ring's slots are over. Each period is looked at until it is, and once more.
  std::uint32_t look_how_far(const bin& b) const noexcept
  {
    std::uint32_t over = b.arrays->over;
    while (static_cast<std::int32_t>(b.closed - over) > 0) {
      if (clock - b.time_of(over) < rule.bytes) return b.arrays->over = over;
      over = (over | (b.period() - 1)) + 1;
    }
    return b.arrays->over = over + slots_over(b, over);
  }
  /// Whether slots of a thread that only frees such blocks are over, two periods of them and 32 at least: who allocates
  /// them waits, and with many classes they would come to a quarantine in each ring.
  [[nodiscard]] bool has_some_for_others(const bin& b) const noexcept
  {
    return !b.takes && look_how_far(b) - b.head >= 2 * std::max(b.period(), 16U);
  }
};

}  // namespace gpa::detail
