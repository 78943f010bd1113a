// What is computed from the figures of a run: medians, spread, ratios taken round by round.
#pragma once

#include <cstddef>
#include <vector>

namespace gpa::bench {

/// One figure a round; NaN where it was not measured.
using series = std::vector<double>;

struct spread {
  std::size_t rounds = 0;  ///< that were measured; 0: the rest means nothing
  double median = 0, lowest = 0, low_quartile = 0, high_quartile = 0, highest = 0;
};

[[nodiscard]] spread spread_of(series s);
/// Round by round: `factor` * a / b.
[[nodiscard]] series ratio(const series& a, const series& b, double factor = 1);
/// NaN of nothing.
[[nodiscard]] double geometric_mean(const std::vector<double>& values);

}  // namespace gpa::bench
