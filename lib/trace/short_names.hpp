// Long function names for people: what templates were made of is what they can do without.
//
// Pure.
#pragma once

#include "trace/frame.hpp"

#include <string_view>

namespace gpa::detail {

/// Above this a name is shortened.
inline constexpr std::size_t longest_name = 120;

/// `name` without its return type, with "..." for the arguments inside template arguments, then for all template
/// arguments, then for parameters: as much of this as brings it below the limit. As it was, if it is no longer than that.
[[nodiscard]] metadata_string shortened_name(std::string_view name);

/// A suppression that matches what `pattern` does, with `*` for template arguments if it is that long.
[[nodiscard]] metadata_string shortened_pattern(std::string_view pattern);

}  // namespace gpa::detail
