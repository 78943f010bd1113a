// The largest sites of a running program, again and again.
//
// The program has to have been started with `report_path` and `report_signal=1` in its options: the library then writes
// its report there whenever SIGUSR2 comes. A process that does not catch SIGUSR2 would die of it: it is refused
// instead.
//
// What is read is found in the process's GPA_OPTIONS, or told by --file.
#pragma once

#include "tools/command_line.hpp"

#include <cstddef>

namespace gpa::tools {

/// Returns the exit status: 0 also when the process has ended meanwhile. Throws refusal.
int watch(const command& c);

/// Of the terminal on stdout; 120 where there is none.
[[nodiscard]] std::size_t terminal_width() noexcept;

}  // namespace gpa::tools
