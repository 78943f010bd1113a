// How the resource of one input is set up: its first bytes decide.
#pragma once

#include "fuzz/input.hpp"

#include <gpa/resource.hpp>

#include <string>

namespace gpa::fuzz {

struct settings {
  gpa::options options;
  bool upstream = false;  // memory comes from an upstream of ours

  /// Ten bytes.
  static settings of(input& in);
};

[[nodiscard]] std::string to_string(const settings& s);

}  // namespace gpa::fuzz
