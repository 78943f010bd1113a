// Whose frame is it, and how is its file called: what decides which lines of a stack a reader sees.
//
// Library frames are those of headers in the compilers' and the system's include directories, of system modules, of
// start-up code, and gpa's own, also when gpa is linked statically. Everything else is the user's. Pure.
#pragma once

#include "trace/frame.hpp"

#include <cstddef>
#include <string_view>

namespace gpa::detail {

/// `f` with its readable name; `in_library_module` as trace/modules.hpp says.
[[nodiscard]] bool is_library_frame(const frame& f, bool in_library_module) noexcept;

/// `path` without "." and "..", and relative to `directory` where it lies below. Neither needs to exist.
[[nodiscard]] metadata_string shortened_path(std::string_view path, std::string_view directory);

/// The current directory; empty if it cannot be told.
[[nodiscard]] metadata_string current_directory();

/// What names the frame's function in a suppression: its name without arguments; without a name the module's.
[[nodiscard]] std::string_view suppression_pattern(const frame& f) noexcept;

/// How many frames are worth reading: up to and with `main`.
[[nodiscard]] std::size_t frames_to_main(const frame_list& frames) noexcept;

/// The frame a report is about: the first of the user's with a line, else the first of the user's, else the first with
/// a name, else the first. Null for an empty list.
[[nodiscard]] const frame* first_worth_showing(const frame_list& frames) noexcept;

}  // namespace gpa::detail
