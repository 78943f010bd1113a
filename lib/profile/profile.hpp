// The history of call sites, kept with options::profile: live, peak, total, temporary blocks, lifetimes.
//
//    sites    | 1: the rest | 2 | 3 | ...            96 bytes a site; up to 1 Mi of them
//    index    2 Mi numbers of sites, searched by (stack, size class)
//    last     the newest block of each thread: freed next by that thread, it was a temporary one
//
//    life     63       44 43                    0    8 bytes a slot, kept by the heap (checked_heap.hpp)
//            +-----------+-----------------------+
//            |    site   | microseconds at birth |
//            +-----------+-----------------------+
//
// What each site held when all of them together were at their peak is known without looking at all of them at each new
// peak: a site that is about to change, and has not since the last peak, held then what it holds now. It writes that
// down, and which peak it was (`seen`; no two have the same bytes). One that has not changed since is its own witness.
//
// All of it is reserved at once and touched as it is used: some pages for a small program, 108 MiB at most. Times
// differ modulo 200 days. Counters of one site are each exact; a reader may see them of different moments. So may
// whoever notes a peak: blocks that other threads allocate or free at that very moment may be counted in it or not.
// Once the table is full, new sites are counted as one without a stack.
//
// Thread-safe. A new site takes a lock; everything else is additions.
#pragma once

#include "base/mutex.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace gpa::detail {

/// Bytes asked for, rounded up: to 16 up to 1 KiB, then to eight steps a doubling. What snapshots call a size class.
[[nodiscard]] constexpr std::size_t rounded_bytes(std::size_t bytes) noexcept
{
  std::size_t step = 16;
  if (bytes > 1024)
    while (bytes - 1 >= step * 16) step *= 2;
  return bytes == 0 ? 16 : (bytes + step - 1) / step * step;
}
static_assert(rounded_bytes(1) == 16 && rounded_bytes(1024) == 1024 && rounded_bytes(1025) == 1152);
static_assert(rounded_bytes(2048) == 2048 && rounded_bytes(2049) == 2304 && rounded_bytes(4097) == 4608);

struct site_history {
  std::uint32_t trace;
  std::uint32_t rounded;  // rounded_bytes() of its blocks in units of 16 bytes
  std::atomic<std::int64_t> live_bytes;
  std::atomic<std::int64_t> live_blocks;
  std::atomic<std::int64_t> peak_bytes;
  std::atomic<std::int64_t> peak_blocks;  // when its bytes were at their peak
  std::atomic<std::uint64_t> total_bytes;
  std::atomic<std::uint64_t> total_blocks;
  std::atomic<std::uint64_t> temporary;
  std::atomic<std::uint64_t> lifetime_sum;
  // Of the peak of all sites that was `seen` bytes.
  std::atomic<std::int64_t> seen;
  std::atomic<std::int64_t> bytes_then;
  std::atomic<std::int64_t> blocks_then;
};
static_assert(sizeof(site_history) == 96);

/// All sites together.
struct whole_peak {
  std::int64_t bytes = 0;    // the most that were live at once
  std::int64_t blocks = 0;   // the most that were live at once, perhaps at another moment
  std::uint64_t age = 0;     // microseconds since the bytes were
};

class profile {
 public:
  /// Throws std::bad_alloc.
  profile();
  ~profile();
  profile(const profile&) = delete;
  profile& operator=(const profile&) = delete;

  /// The block's life, for whoever frees it; never 0.
  [[nodiscard]] std::uint64_t allocated(const void* block, std::size_t bytes, std::uint32_t trace,
                                        std::uint32_t thread) noexcept;
  /// `life` 0: the block was not known. `thread` is the one that frees.
  void freed(const void* block, std::size_t bytes, std::uint64_t life, std::uint32_t thread) noexcept;
  /// A free and an allocation of one block, not a block more.
  void resized(std::size_t old_bytes, std::size_t new_bytes, std::uint64_t life) noexcept;
  /// resource::release(): nothing is live any more.
  void forget_live() noexcept;
  void reset_peaks() noexcept;

  /// Grows at its end while others allocate.
  [[nodiscard]] std::span<const site_history> sites() const noexcept;

  [[nodiscard]] whole_peak peak() const noexcept;
  /// What a site held at that peak.
  struct amount {
    std::int64_t bytes = 0;
    std::int64_t blocks = 0;
  };
  [[nodiscard]] amount at_peak(const site_history& s) const noexcept;

  void lock_for_fork() noexcept GPA_ACQUIRE(lock_) { lock_.lock(); }
  void unlock_after_fork() noexcept GPA_RELEASE(lock_) { lock_.unlock(); }

 private:
  [[nodiscard]] std::uint32_t site_of(std::uint32_t trace, std::uint32_t rounded) noexcept;
  [[nodiscard]] bool is(std::uint32_t site, std::uint32_t trace, std::uint32_t rounded) const noexcept;
  void remember_peak(site_history& s) const noexcept;
  void grow(site_history& s, std::int64_t bytes, std::int64_t blocks, std::uint64_t now) noexcept;
  void shrink(site_history& s, std::int64_t bytes, std::int64_t blocks) noexcept;

  site_history* sites_;
  std::atomic<std::uint32_t>* index_;
  std::atomic<const void*>* last_;
  std::atomic<std::uint32_t> count_{2};  // 0 is none, 1 the rest
  // Of all sites; a line of their own, since all threads write here.
  alignas(64) std::atomic<std::int64_t> live_bytes_{0};
  std::atomic<std::int64_t> live_blocks_{0};
  std::atomic<std::int64_t> peak_bytes_{0};
  std::atomic<std::int64_t> peak_blocks_{0};
  std::atomic<std::uint64_t> peak_time_{0};
  mutex lock_;                           // of who adds a site
};

}  // namespace gpa::detail
