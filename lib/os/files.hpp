// Small files: those that people write by hand, read whole into metadata memory; and texts of ours that are appended to
// one. By open, read and write. And where the program's own file is.
#pragma once

#include "os/text.hpp"

#include <array>
#include <cstddef>
#include <string_view>

namespace gpa::detail {

inline constexpr std::size_t longest_file = std::size_t{16} << 20;

/// Appends what `path` holds, at most `longest_file` bytes. False, and errno, when it cannot be read.
[[nodiscard]] bool append_file(text& out, const char* path) noexcept;

/// Appends `t` to the file of that name, which is made where it is not there, in one write. False, and errno, when it
/// cannot be opened or does not take all of it; a part may then be there.
[[nodiscard]] bool append_to_file(const char* path, const text& t) noexcept;

/// The path of the running program, written to `to`; empty where the system does not tell.
[[nodiscard]] std::string_view executable_path(std::array<char, 4096>& to) noexcept;

}  // namespace gpa::detail
