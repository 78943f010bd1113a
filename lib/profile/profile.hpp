// The history of call sites, kept with options::profile: what is live, the peak, the total, temporary blocks, lifetimes.
//
//    sites    | 1: the rest | 2 | 3 | ...            64 bytes a site; up to 1 Mi of them
//    index    2 Mi numbers of sites, searched by (stack, size class)
//    last     the newest block of each thread: freed next by that thread, it was a temporary one
//
//    life     63       44 43                    0    8 bytes a live block, kept by the heap (checked/notes.hpp)
//            +-----------+-----------------------+
//            |    site   | microseconds at birth |
//            +-----------+-----------------------+
//
// All of it is reserved at once and touched as it is used: some pages for a small program, 64 MiB at most. Times differ
// modulo 200 days. Counters of one site are each exact; a reader may see them of different moments. Once the table is
// full, new sites are counted as one without a stack.
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
  std::atomic<std::uint64_t> total_bytes;
  std::atomic<std::uint64_t> total_blocks;
  std::atomic<std::uint64_t> temporary;
  std::atomic<std::uint64_t> lifetime_sum;
};
static_assert(sizeof(site_history) == 64);

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

  void lock_for_fork() noexcept GPA_ACQUIRE(lock_) { lock_.lock(); }
  void unlock_after_fork() noexcept GPA_RELEASE(lock_) { lock_.unlock(); }

 private:
  [[nodiscard]] std::uint32_t site_of(std::uint32_t trace, std::uint32_t rounded) noexcept;
  [[nodiscard]] bool is(std::uint32_t site, std::uint32_t trace, std::uint32_t rounded) const noexcept;

  site_history* sites_;
  std::atomic<std::uint32_t>* index_;
  std::atomic<const void*>* last_;
  std::atomic<std::uint32_t> count_{2};  // 0 is none, 1 the rest
  mutex lock_;                           // of who adds a site
};

}  // namespace gpa::detail
