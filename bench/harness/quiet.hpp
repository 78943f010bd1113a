// Whether the machine is as fast as it can be at the moment.
//
// In a virtual machine whose host has other work, a core is shared with a neighbour for some seconds, its second-level
// cache with it, and memory is further away: a run of instructions takes 1.6 times as long, one that misses caches two
// or three times. A ratio between two contenders then says how much memory each touches, not how fast it is here. So a
// turn counts only if it began and ended in quiet: a fixed piece of work, none of any contender's, is timed before and
// after it, and may take a quarter more than the quickest ever. A disturbed turn is repeated, at most four times, and the
// quietest of them stands; how many were left disturbed is printed with the results. No contender's own time decides.
#pragma once

#include <cstddef>
#include <vector>

namespace gpa::bench {

class quiet_gauge {
 public:
  /// Takes a second, to see some quiet.
  quiet_gauge();

  /// How much longer the fixed work takes now than it ever did, on the first `cpus` CPUs this process may use, where
  /// contenders run: 1 is the best so far. A few milliseconds.
  double disturbance(unsigned cpus);

  static constexpr double most = 1.25;

 private:
  struct alignas(64) line {
    std::size_t next;
  };

  double walk_once();

  std::vector<line> lines_;  // a cycle through more than a second-level cache
  std::vector<double> quickest_;   // of each CPU, nanoseconds
};

/// Of a run: a turn is what one contender does in one round of one row.
struct turns {
  unsigned all = 0;
  unsigned repeats = 0;    // beside those
  unsigned disturbed = 0;  // of all, and stand as they are
};

}  // namespace gpa::bench
