// What a snapshot knows of the blocks of one size.
#pragma once

#include <gpa/resource.hpp>
#include <gpa/snapshot.hpp>

#include <algorithm>
#include <cstddef>

namespace gpa::test {

/// All sites with blocks of this size class as one: a loop that the compiler unrolled has several.
[[nodiscard]] inline gpa::site site_of(const gpa::resource& r, std::size_t size_class)
{
  gpa::site all;
  const gpa::snapshot s = r.take_snapshot();
  for (const gpa::site& one : s.sites()) {
    if (one.size_class != size_class) continue;
    all.live_bytes += one.live_bytes;
    all.live_blocks += one.live_blocks;
    all.peak_bytes = std::max(all.peak_bytes, one.peak_bytes);
    all.peak_blocks = std::max(all.peak_blocks, one.peak_blocks);
    all.at_peak_bytes += one.at_peak_bytes;
    all.at_peak_blocks += one.at_peak_blocks;
    all.total_bytes += one.total_bytes;
    all.total_blocks += one.total_blocks;
    all.temporary += one.temporary;
    all.lifetime_sum += one.lifetime_sum;
  }
  return all;
}

}  // namespace gpa::test
