// On what, with what and when a run was made.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace gpa::bench {

/// Label and value, in the order they are printed. Call it before the first measurement: it notes the load.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> describe_machine(const std::string& command);

/// Processes that wanted a CPU during the last minute, on average.
[[nodiscard]] std::string load_now();

}  // namespace gpa::bench
