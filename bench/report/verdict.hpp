// What must hold, and whether it does in this run.
#pragma once

#include "report/run_of_all.hpp"

#include <string>
#include <vector>

namespace gpa::bench {

enum class outcome : std::uint8_t {
  holds,
  within_noise,  ///< fails by no more than gpa differs from itself in this run: a tie, and called one
  fails,
  not_measured,
};

struct verdict {
  std::string claim;
  outcome result;
  std::string figures;
};

/// The claims of the first table, then the budgets.
[[nodiscard]] std::vector<verdict> judge_first_table(const run_of_all& run);
[[nodiscard]] std::vector<verdict> judge_budgets(const run_of_all& run);
[[nodiscard]] std::string to_string(outcome o);

}  // namespace gpa::bench
