// Texts that are compared with a file of test/golden.
#pragma once

#include "support/golden_reports.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

namespace gpa::test {

/// GPA_WRITE_GOLDEN=1 writes the file anew, for a person to read the difference; no test passes then.
inline void test_golden(std::string_view name, const std::string& actual)
{
  const std::string path = std::string(golden_directory) + std::string(name) + ".txt";
  if (std::getenv("GPA_WRITE_GOLDEN") != nullptr) {
    std::ofstream(path) << actual;
    BOOST_ERROR(path + " was written, not compared");
    return;
  }
  std::ifstream file(path);
  const std::string expected(std::istreambuf_iterator<char>(file), {});
  BOOST_TEST_CONTEXT(path) BOOST_TEST(actual == expected);
}

}  // namespace gpa::test
