// The list of workloads: one line each, in the order of the tables.
#include "workloads.hpp"

#include <array>

namespace gpa::bench {

// Passes are chosen so that the fastest contender is on the clock for some milliseconds a round.
std::span<const workload> workloads()
{
  static const std::array all{
      workload{"pairs", "pairs of 64 B", "pair", pairs_a_pass, 4, 1, make_pairs},
      workload{"churn", "churn of 10 000 live blocks of 16-1024 B", "pair", churn_a_pass, 2, 2, make_churn},
      workload{"batch", "100 000 x 48 B, freed in random order", "pair", batch_a_pass, 2, 1, make_batch},
      workload{"map", "unordered_map<int, pmr::string>", "element", map_elements + map_replaced, 4, 1, make_map},
      workload{"strings", "vector<pmr::string>", "element", strings_a_pass, 8, 1, make_strings},
      workload{"queue", "list as a queue", "pair", queue_a_pass, 2, 1, make_queue},
      workload{"8_kib", "50 000 x 8 KiB, freed in random order", "pair", blocks_of_8_kib, 1, 1, make_8_kib},
  };
  return all;
}

}  // namespace gpa::bench
