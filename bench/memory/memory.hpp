// How much memory a contender holds, each shape in a process of its own: beside the blocks at the peak, when all is
// freed, and after it was asked to give back what is free.
#pragma once

#include "contenders/contenders.hpp"
#include "harness/harness.hpp"

#include <iosfwd>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gpa::bench {

/// Bytes of anonymous memory that are resident beyond what was before the heap was made; exact, not the counters that
/// the kernel keeps for statistics.
struct held_memory {
  double live = 0;          ///< the sum of the bytes asked for, when `peak` was read
  double peak = 0;          ///< the highest of all readings
  double at_rest = 0;       ///< everything freed, at once
  double trimmed = 0;       ///< and the heap told to trim()
  double blocks = 0;        ///< live at the peak
  double microseconds = 0;  ///< from before the heap was made to the first reading of `peak`
};

struct memory_shape {
  std::string_view name;
  std::string_view title;
  unsigned most_threads;  ///< at work at once
  bool needs_reuse;
  void (*hold)(const contender& c, held_memory& into);
  unsigned processes = 1;  ///< one after the other, contenders in turn; that of the median time counts
};

[[nodiscard]] std::span<const memory_shape> memory_shapes();

struct memory_row {
  const memory_shape* shape;
  std::vector<held_memory> held;  ///< by contender; `live` is 0 where it was not measured
};

/// In this process.
void hold(const contender& c, std::string_view shape, std::ostream& out);
/// Each contender and shape in processes of its own; contenders of more than `patience` are left out.
[[nodiscard]] std::vector<memory_row> measure_memory(const settings& s, const std::vector<std::size_t>& entrants,
                                                     const teller& tell);

}  // namespace gpa::bench
