// File names that GPA_OPTIONS gives: "%p" is the process id, "%e" the program's name, "%n" the resource's name, "%%" a percent sign.
#pragma once

#include "os/text.hpp"

#include <string_view>

namespace gpa::detail {

/// Characters of `name` that mean something in a path become '_'. Without a name "%n" stays as it is.
void append_path(text& out, std::string_view pattern, std::string_view name = {}) noexcept;

}  // namespace gpa::detail
