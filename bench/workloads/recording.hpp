// Reads what a gpa::recorder wrote: the format is told on top of <gpa/recorder.hpp>.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace gpa::bench {

/// One call. `block` counts allocations from 0, in the order they were made.
struct recorded_call {
  enum class kind : std::uint8_t { allocation, free };
  kind what;
  std::uint8_t log2_alignment;  ///< of the block
  std::uint32_t thread;         ///< from 1, in the order they first called
  std::uint32_t block;
  std::size_t bytes;  ///< of the block
};

struct recording {
  std::vector<recorded_call> calls;
  std::size_t allocations = 0;
  std::size_t threads = 0;
  std::size_t peak_bytes = 0;  ///< live at once
  std::size_t peak_blocks = 0;
};

/// Throws std::runtime_error that names the file and says what is wrong with it: not there, no recording, of another
/// version, cut off, damaged.
[[nodiscard]] recording read_recording(const std::string& file);

}  // namespace gpa::bench
