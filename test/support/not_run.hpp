// What a test leaves out, said where test/run finds it: Boost.Test hides messages at its default log level.
#pragma once

#include <boost/test/tools/assertion_result.hpp>

#include <cerrno>
#include <cstdio>

namespace gpa::test {

/// For a test that returns at once.
inline void not_run_here(const char* why)
{
  std::printf("not run here: %s: %s\n", ::program_invocation_short_name, why);
  std::fflush(stdout);
}

/// For a precondition.
[[nodiscard]] inline boost::test_tools::assertion_result runs_if(bool can, const char* why)
{
  static const char* said = nullptr;  // of many test cases, once
  if (!can && said != why) not_run_here(why);
  if (!can) said = why;
  boost::test_tools::assertion_result result(can);
  result.message() << why;
  return result;
}

}  // namespace gpa::test
