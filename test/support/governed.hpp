// Runs a function in a child process that GPA_OPTIONS governs.
//
// The library reads the variable once a process, when the first resource is made: a test that uses this makes none
// itself.
#pragma once

#include "support/outcome.hpp"

#include <cstdlib>
#include <utility>

namespace gpa::test {

/// What else in the environment has a say, taken away.
inline void forget_surroundings()
{
  for (const char* const name : {"NO_COLOR", "TERM", "GITHUB_ACTIONS", "GITHUB_WORKSPACE", "GPA_OPTIONS"})
    ::unsetenv(name);
}

/// `work` in a child that starts with GPA_OPTIONS=`options`.
template <class Work>
[[nodiscard]] outcome under(const std::string& options, Work work)
{
  return outcome_of([&] {
    forget_surroundings();
    ::setenv("GPA_OPTIONS", options.c_str(), 1);
    work();
  });
}

}  // namespace gpa::test
