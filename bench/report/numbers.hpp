// Numbers as text, for tables.
#pragma once

#include <array>
#include <cstdio>
#include <string>

namespace gpa::bench {

/// Three digits that mean something: 0.456, 12.3, 4567.
[[nodiscard]] inline std::string rounded(double v)
{
  const int digits = v < 1 ? 3 : v < 10 ? 2 : v < 100 ? 1 : 0;
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, v);
  return text.data();
}

}  // namespace gpa::bench
