// Faults for tests: who reads where nobody may, and where such tests run.
#pragma once

#include "support/accomplices.hpp"
#include "support/not_run.hpp"
#include "support/suspects.hpp"

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <string_view>

namespace gpa::test {

inline constexpr std::size_t large = 40'000;
inline constexpr std::string_view last_line = "note: the program ends by SIGSEGV, as it would without gpa\n";

inline gpa::options options_named(std::string_view name)
{
  gpa::options o;
  o.name = name;
  o.checks = gpa::checks::always();
  o.protect_large = gpa::protect_large::always;
  return o;
}

[[gnu::noinline]] inline unsigned char read_from(void* p, std::ptrdiff_t offset)
{
  const unsigned char seen = stray_read(p, offset);
  STAY;
  return seen;
}

inline void* freed_large_block(gpa::resource& r)
{
  void* const p = obtain(r, large);
  discard(r, p, large);
  return p;
}

}  // namespace gpa::test

// AddressSanitizer handles SIGSEGV itself, and says what it knows of our blocks.
#define RUNS_WITHOUT_ASAN          \
  *boost::unit_test::precondition( \
      [](boost::unit_test::test_unit_id) { return runs_if(!GPA_TEST_ASAN, "faults are AddressSanitizer's"); })

#define RUNS_WITHOUT_SANITIZERS                                                 \
  *boost::unit_test::precondition([](boost::unit_test::test_unit_id) {          \
    return runs_if(!GPA_TEST_ASAN && !GPA_TEST_TSAN, "no stack but their own"); \
  })
