// Small files: those that people write by hand, read whole into metadata memory; and texts of ours that are appended to
// one. By open, read and write. And where the program's own file is.
#pragma once

#include "os/text.hpp"

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <string_view>

namespace gpa::detail {

inline constexpr std::size_t longest_file = std::size_t{16} << 20;

/// As open(), with O_CLOEXEC and O_NOCTTY. Never 0, 1 or 2: where the program closed its standard error, our reports
/// would go into the file. -1, and errno, when it cannot be opened.
[[nodiscard]] int open_file(const char* path, int flags, mode_t mode = 0) noexcept;

/// Appends what `path` holds. False, and errno, when it cannot be read; EFBIG when it is longer than `longest_file`.
[[nodiscard]] bool append_file(text& out, const char* path) noexcept;

/// Appends `t` to the file of that name, which is made where it is not there, in one write. False, and errno, when it
/// cannot be opened or does not take all of it; a part may then be there.
[[nodiscard]] bool append_to_file(const char* path, const text& t) noexcept;

/// What to open for the running program's own file, wherever it was moved; of the calling thread, as that of a process
/// whose main thread has ended cannot be opened.
inline constexpr const char* own_executable = "/proc/thread-self/exe";

/// The path of the running program, written to `to`; empty where the system does not tell.
[[nodiscard]] std::string_view executable_path(std::array<char, 4096>& to) noexcept;

}  // namespace gpa::detail
