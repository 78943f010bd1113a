// Whether reports of this program can have lines: it was built with -g, and the library with libdw.
#pragma once

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>

namespace gpa::test {

[[nodiscard]] inline bool has_debug_lines()
{
  std::ifstream file("/proc/self/exe", std::ios::binary);
  const std::string content(std::istreambuf_iterator<char>(file), {});
  std::string section = "enil_gubed.";  // backwards, so that it does not find itself
  std::reverse(section.begin(), section.end());
  return GPA_HAVE_LIBDW != 0 && content.find(section) != std::string::npos;
}

}  // namespace gpa::test
