// The harness: interleaved rounds, and what is computed from them.
//
// For each workload every contender gets a heap of its own and one warm-up round. In each measured round all of them
// run, one after the other, in an order drawn anew. A ratio is taken between two figures of the same round, some
// milliseconds apart, and the median is taken over the rounds: a neighbour who slows down the machine for a second
// slows down everybody in those rounds, and one who steals a few milliseconds spoils one round of many.
#pragma once

#include "contenders.hpp"
#include "workloads.hpp"

#include <functional>
#include <string>
#include <vector>

namespace gpa::bench {

struct settings {
  unsigned rounds = 41;
  bool quick = false;             ///< one pass a round
  bool alone = false;             ///< no second thread in the process
  std::vector<std::string> only;  ///< names of workloads and contenders; empty = all

  [[nodiscard]] bool wants(const workload& w) const;
  [[nodiscard]] bool wants(const contender& c) const;  ///< the first one always
};

/// One figure a round; NaN where it was not measured.
using series = std::vector<double>;

/// A workload on a number of threads.
struct row {
  const workload* work;
  unsigned threads;
  std::vector<series> ns;  ///< of an operation on each thread, by contender

  [[nodiscard]] std::string name() const;
  [[nodiscard]] std::string title() const;
};

struct spread {
  std::size_t rounds = 0;  ///< that were measured; 0: the rest means nothing
  double median = 0, lowest = 0, low_quartile = 0, high_quartile = 0, highest = 0;
};

[[nodiscard]] spread spread_of(series s);
/// Round by round: `factor` * a / b.
[[nodiscard]] series ratio(const series& a, const series& b, double factor = 1);

/// Calls `progress` with the workload and the rounds done and to do.
[[nodiscard]] std::vector<row> measure(const settings& s,
                                       const std::function<void(const workload&, unsigned, unsigned)>& progress);

}  // namespace gpa::bench
