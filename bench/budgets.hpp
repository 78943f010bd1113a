// What the first table must show, judged from one run.
#pragma once

#include "harness.hpp"

#include <string>
#include <vector>

namespace gpa::bench {

enum class outcome { holds, fails, not_measured };

struct verdict {
  std::string claim;
  outcome result;
  std::string figures;
};

[[nodiscard]] std::vector<verdict> judge(const std::vector<row>& rows);
[[nodiscard]] std::string to_string(outcome o);

}  // namespace gpa::bench
