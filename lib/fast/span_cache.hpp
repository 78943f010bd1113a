// Where the fast heap's slabs and large blocks come from: spans of granules, kept when they are freed.
//
// Free spans stand in lists by size: exact up to 4 MiB, then eight a doubling; one bit a list says whether it has any.
// take() and put() are O(1): a bit scan, a cut, a melting with two neighbours. Segments come from the supply, doubling
// from 1 MiB to 64 MiB; over a user's upstream each is as large as what was wanted, so that a freed one can go back.
// Threads that find nothing at the same moment ask for one each, and all but the first give theirs back where there is
// room in that.
//
// How much stays. Free memory beyond max(an eighth of what is used, 14 MiB) goes back, oldest first: pages are
// dropped, a segment that is free as a whole is returned. A burst that comes again within a second is no burst but how
// the program works: what was given back too early is tolerated then, until as much has lain free for a whole second.
// Nobody wakes up for this: it happens in put() and shed_idle(), when blocks are freed. A program that is idle keeps
// what it had until it frees some, or until trim().
//
// Invariants, asserted by check():
//   S1  the spans of a segment cover it without a gap, and edges name each one's first and last granule
//   S2  no two neighbours are both free
//   S3  a free span stands in the list of its size, and in the order of ages if it has a dirty granule
//   S4  used, free dirty and held bytes are the sums over all spans
//
// Thread-safe: one lock, held for list operations; never while the supply or the system is called.
#pragma once

#include "base/mutex.hpp"
#include "blocks/owner.hpp"
#include "blocks/supply.hpp"
#include "blocks/tolerance.hpp"
#include "fast/span.hpp"
#include "os/pages.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace gpa::detail {

class span_cache {
 public:
  /// Blocks above this are never kept.
  static constexpr std::size_t largest_kept = std::size_t{32} << 20;

  span_cache(owner& o, supply& s, tolerance::clock now = tolerance::coarse_clock) noexcept
      : owner_(o), supply_(s), tolerance_(now)
  {
  }
  ~span_cache() { release(); }
  span_cache(const span_cache&) = delete;
  span_cache& operator=(const span_cache&) = delete;

  /// `bytes` a multiple of 64 KiB, `alignment` a power of two of at least 64 KiB. The span stands in the page map as
  /// `kind`. Null when refused, nothing changed.
  [[nodiscard]] span* take(std::size_t bytes, std::size_t alignment, region_kind kind) noexcept;
  void put(span& s) noexcept;
  /// Makes a large block's span `bytes` (a multiple of 64 KiB) where it stands. False: there is no room behind it.
  [[nodiscard]] bool resize(span& s, std::size_t bytes) noexcept;

  /// Gives back what lay free for long enough. For slow paths that do not come by put(); cheap.
  void shed_idle() noexcept;
  /// Gives back what is free.
  void trim() noexcept;
  /// From now on nothing free is kept.
  void keep_nothing() noexcept;
  /// Gives everything back, spans in use too.
  void release() noexcept;

  /// Calls `visit(span&)` for each span in use. `visit` takes no lock of ours and neither takes nor puts spans.
  template <class Visit>
  void for_each_used(Visit&& visit) noexcept
  {
    const mutex_guard guard(lock_);
    for (segment* g = segments_; g != nullptr; g = g->next) {
      for (std::size_t at = 0; at < g->granules;) {
        span& s = *g->edges[g->single ? 0 : at];
        at += s.bytes / granule_size;
        if (!s.free) visit(s);
      }
    }
  }

  /// Used, or free and not given back yet.
  [[nodiscard]] std::size_t held_bytes() const noexcept { return held_.load(std::memory_order_relaxed); }

  void lock_for_fork() noexcept GPA_ACQUIRE(lock_) { lock_.lock(); }
  void unlock_after_fork() noexcept GPA_RELEASE(lock_) { lock_.unlock(); }
  void check() noexcept;

 private:
  static constexpr std::size_t list_count = 97;

  [[nodiscard]] span* new_span(segment& g, std::byte* base, std::size_t bytes) noexcept GPA_REQUIRES(lock_);
  void delete_span(span& s) noexcept GPA_REQUIRES(lock_);
  static void set_edges(span& s) noexcept;
  [[nodiscard]] span* find(std::size_t granules) noexcept GPA_REQUIRES(lock_);
  void insert(span& s) noexcept GPA_REQUIRES(lock_);
  void remove(span& s) noexcept GPA_REQUIRES(lock_);
  /// Cuts `s`, which stands in no list: what is behind `bytes` is returned, in no list either. Null: no memory for it.
  [[nodiscard]] span* split(span& s, std::size_t bytes) noexcept GPA_REQUIRES(lock_);
  /// The same; what is behind `bytes` becomes free, if it can be cut off.
  void cut(span& s, std::size_t bytes) noexcept GPA_REQUIRES(lock_);
  void add_used(std::size_t bytes) noexcept GPA_REQUIRES(lock_);
  void make_used(span& s) noexcept GPA_REQUIRES(lock_);
  void make_free(span& s) noexcept GPA_REQUIRES(lock_);

  [[nodiscard]] span* take_kept(std::size_t bytes) noexcept GPA_REQUIRES(lock_);
  /// Of what is kept, or of a new segment.
  [[nodiscard]] span* take_part(std::size_t bytes) noexcept;
  [[nodiscard]] span* take_single(std::size_t bytes, std::size_t alignment) noexcept;
  [[nodiscard]] segment* new_segment(std::size_t bytes, std::size_t alignment, bool single) noexcept;
  void delete_segment(segment& g) noexcept;
  static void forget_segment(segment& g) noexcept;
  void link(segment& g) noexcept GPA_REQUIRES(lock_);
  void unlink(segment& g) noexcept GPA_REQUIRES(lock_);

  [[nodiscard]] std::size_t allowed() noexcept GPA_REQUIRES(lock_);
  /// False: there was nothing to give back.
  bool shed(std::size_t keep) noexcept;
  [[nodiscard]] span* take_to_shed(std::size_t keep, bool& whole) noexcept GPA_REQUIRES(lock_);
  [[nodiscard]] span* oldest_segment(std::size_t most) noexcept GPA_REQUIRES(lock_);
  void publish_held() noexcept GPA_REQUIRES(lock_);

  owner& owner_;
  supply& supply_;
  std::atomic<std::size_t> held_{0};
  std::atomic<bool> news_{false};  // more is used than ever

  mutex lock_;
  segment* segments_ GPA_GUARDED_BY(lock_) = nullptr;
  std::array<span*, list_count> lists_ GPA_GUARDED_BY(lock_){};
  std::array<std::uint64_t, 2> lists_with_any_ GPA_GUARDED_BY(lock_){};
  span* newest_ GPA_GUARDED_BY(lock_) = nullptr;
  span* oldest_ GPA_GUARDED_BY(lock_) = nullptr;
  span* spare_headers_ GPA_GUARDED_BY(lock_) = nullptr;
  std::size_t next_segment_ GPA_GUARDED_BY(lock_) = stock_segment;
  std::size_t used_ GPA_GUARDED_BY(lock_) = 0;
  std::size_t free_dirty_ GPA_GUARDED_BY(lock_) = 0;
  std::size_t most_used_ GPA_GUARDED_BY(lock_) = 0;
  bool keeps_ GPA_GUARDED_BY(lock_) = true;
  tolerance tolerance_;  // of what is free and dirty; under lock_, but for tolerates()
};

}  // namespace gpa::detail
