// Texts that are compared with a file of test/golden.
#pragma once

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

namespace gpa::test {

inline constexpr std::string_view golden_directory = GPA_TEST_DIR "/golden/";

/// Where two texts part: the first line of `actual` that is another.
inline std::string first_other_line(std::string_view actual, std::string_view expected)
{
  const auto parting = std::mismatch(actual.begin(), actual.end(), expected.begin(), expected.end()).first;
  const std::size_t at = static_cast<std::size_t>(parting - actual.begin());
  const std::size_t begin = at == 0 ? 0 : actual.rfind('\n', at - 1) + 1;
  return std::string(actual.substr(begin, actual.find('\n', begin) - begin));
}

/// GPA_WRITE_GOLDEN=1 writes the file anew, for a person to read the difference; no test passes then.
inline void test_golden_file(std::string_view name, const std::string& actual)
{
  const std::string path = std::string(golden_directory) + std::string(name);
  if (std::getenv("GPA_WRITE_GOLDEN") != nullptr) {
    std::ofstream(path) << actual;
    BOOST_ERROR(path + " was written, not compared");
    return;
  }
  std::ifstream file(path);
  const std::string expected(std::istreambuf_iterator<char>(file), {});
  BOOST_TEST_CONTEXT(path << ", first other line: " << first_other_line(actual, expected))
  BOOST_TEST(actual == expected);
}

/// Most are texts.
inline void test_golden(std::string_view name, const std::string& actual)
{
  test_golden_file(std::string(name) + ".txt", actual);
}

}  // namespace gpa::test
