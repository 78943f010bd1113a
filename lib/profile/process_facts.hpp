// What a report says of the process it is from.
#pragma once

#include "trace/frame.hpp"

#include <cstdint>

namespace gpa::detail {

struct process_facts {
  std::uint64_t pid = 0;
  metadata_string executable = {};
  metadata_string arguments = {};  // each ends with a null character
  metadata_string start = {};      // "2026-11-22T01:01:00Z"
  metadata_string now = {};
  std::uint64_t age = 0;           // microseconds since start, to a clock tick of the kernel
};

/// Throws std::bad_alloc. Thread-safe.
[[nodiscard]] process_facts facts_of_process();

}  // namespace gpa::detail
