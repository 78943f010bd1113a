// The harness: interleaved rounds of processes.
//
// For each workload every contender gets a process with a heap of its own and one warm-up round. In each measured
// round all of them run, one after the other, in an order drawn anew; while one runs, the others wait for a line on
// their input. A ratio is taken between two figures of the same round, some milliseconds apart, and the median is
// taken over the rounds: a neighbour who slows down the machine for a second slows down everybody in those rounds, and
// one who steals a few milliseconds spoils one round of many. After each third of the rounds, from nine on, processes are
// made anew: where the system happens to place one's pages is worth up to 4 % on some rows, in all of its rounds.
#pragma once

#include "harness/statistics.hpp"
#include "workloads/workloads.hpp"

#include <functional>
#include <string>
#include <vector>

namespace gpa::bench {

struct settings {
  unsigned rounds = 21;
  bool quick = false;             ///< one pass a round
  bool alone = false;             ///< no second thread in the processes
  std::string replay;             ///< a recording to add to the workloads
  std::vector<std::string> only;  ///< names of workloads and contenders; empty = all

  [[nodiscard]] bool wants(const workload& w) const;
  [[nodiscard]] bool wants(const contender& c) const;
};

/// A workload on a number of threads.
struct row {
  const workload* work;
  unsigned threads;
  std::vector<series> ns;  ///< of an operation on each thread, by contender

  [[nodiscard]] std::string name() const;
  [[nodiscard]] std::string title() const;
};

using teller = std::function<void(const std::string& line)>;

/// The wanted contenders that this machine has; `tell` gets one line for each that it lacks.
[[nodiscard]] std::vector<std::size_t> find_contenders(const settings& s, const teller& tell);

/// Calls `progress` with the workload and the rounds done and to do; `tell` gets a line when a contender is left out.
[[nodiscard]] std::vector<row> measure(const settings& s, const std::vector<std::size_t>& entrants,
                                       const std::function<void(const workload&, unsigned, unsigned)>& progress,
                                       const teller& tell);

}  // namespace gpa::bench
