// The sites of a resource at one moment, in metadata memory: what snapshots and reports are made from.
//
// Either from a pass over all live blocks, or from the history that options::profile keeps.
#pragma once

#include "os/containers.hpp"

#include <cstddef>
#include <cstdint>

namespace gpa {
class snapshot;
}

namespace gpa::detail {

class profile;

struct site_counts {
  std::uint32_t trace = 0;
  std::size_t size_class = 0;
  std::size_t live_bytes = 0;
  std::size_t live_blocks = 0;
  std::size_t peak_bytes = 0;   // its own peak
  std::size_t peak_blocks = 0;  // live then
  std::size_t at_peak_bytes = 0;  // live when all sites together were at their peak
  std::size_t at_peak_blocks = 0;
  std::size_t total_bytes = 0;
  std::size_t total_blocks = 0;
  std::size_t temporary = 0;
  std::uint64_t lifetime_sum = 0;
};

/// Adds up live blocks as they come. Not thread-safe.
class live_counter {
 public:
  void add(std::uint32_t trace, std::size_t bytes) noexcept;
  /// Throws std::bad_alloc, also when memory was refused to add().
  [[nodiscard]] list_of<site_counts> sites() const;

 private:
  struct sum {
    std::size_t bytes = 0;
    std::size_t blocks = 0;
  };
  hash_map<std::uint64_t, sum> sums_;
  std::uint64_t last_key_ = 0;  // neighbours often come from one place
  sum* last_ = nullptr;
  bool refused_ = false;
};

/// Throws std::bad_alloc.
[[nodiscard]] list_of<site_counts> sites_of(const profile& p);

/// Of sites that stand for one in `n`: `n` times what was seen.
void scale(list_of<site_counts>& sites, std::uint32_t n) noexcept;

struct snapshot_maker {
  [[nodiscard]] static gpa::snapshot make(const list_of<site_counts>& sites, bool estimated, bool profiled);
};

}  // namespace gpa::detail
