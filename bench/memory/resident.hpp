// What this process has of its own in memory, as the kernel's page tables say.
#pragma once

#include <fstream>
#include <stdexcept>
#include <string>

namespace gpa::bench {

/// Bytes of anonymous pages that are resident: heaps, stacks and private data, no program code. Walks the page tables,
/// since the counters in /proc/self/statm lag behind by some hundred KiB.
[[nodiscard]] inline double resident_anonymous()
{
  std::ifstream in("/proc/self/smaps_rollup");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("Anonymous:")) return std::stod(line.substr(10)) * 1024;
  throw std::runtime_error("no /proc/self/smaps_rollup here");
}

}  // namespace gpa::bench
