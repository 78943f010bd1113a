// The ways a resource can be set up: what is true of all of them is tested over all of them.
#pragma once

#include <gpa/resource.hpp>

#include <cstddef>
#include <vector>

namespace gpa::test {

struct mode {
  const char* name;
  gpa::options options;
};

/// Blocks that were picked for a check do not come from a user's upstream.
inline bool is_sampled(const mode& m) { return m.options.checks.interval() > 1; }

inline std::vector<mode> every_mode()
{
  return {
      {"checked", {.checks = checks::always()}},
      {"checked, single-threaded", {.checks = checks::always(), .thread_safe = false}},
      {"checked, with a limit, poisoned whole",
       {.checks = checks::always(), .memory_limit = std::size_t{1} << 40, .poison_bytes = unlimited}},
      {"checked, with a history", {.checks = checks::always(), .profile = true}},
      {"checked, no stacks, no quarantine", {.checks = checks::always(), .quarantine_bytes = 0, .stack_frames = 0}},
      {"checked, large blocks not protected", {.checks = checks::always(), .protect_large = protect_large::never}},
      {"checked, no address twice", {.checks = checks::always(), .quarantine_bytes = unlimited}},
      {"never", {.checks = checks::never()}},
      {"never, single-threaded", {.checks = checks::never(), .thread_safe = false}},
      {"never, with a limit", {.checks = checks::never(), .memory_limit = std::size_t{1} << 40}},
      {"sampled", {.checks = checks::one_in(5)}},
      {"sampled, with a limit", {.checks = checks::one_in(5), .memory_limit = std::size_t{1} << 40}},
  };
}

}  // namespace gpa::test
