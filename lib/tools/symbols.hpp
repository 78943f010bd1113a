// Names for frames of a report that was written where there were none: by a stripped binary, on another machine.
//
// A module's file is believed when its build id is the report's, so the symbols are those of the very build that ran.
// It is looked for among the files given by name, in the folders given (as `.build-id/ab/cdef.debug`, and under its own
// name), and at the path that the report tells. Nothing is asked of a network.
//
// Reads with the library's own symboliser, so names and the line between user and library are the library's, too.
// Not thread-safe.
#pragma once

#include "tools/document.hpp"

#include <string>
#include <vector>

namespace gpa::tools {

struct symbol_files {
  std::vector<std::string> binaries = {};     // --binary
  std::vector<std::string> directories = {};  // --debug-dir
};

/// Gives calls to frames of `d` that have none, or none with a file. Returns a line for each module whose frames could
/// not be named, and why.
[[nodiscard]] std::vector<std::string> look_up_symbols(document& d, const symbol_files& where);

/// A line for each file and folder of `where` that helps none of the reports, and why.
[[nodiscard]] std::vector<std::string> useless_files(const std::vector<const document*>& reports, const symbol_files& where);

/// Paths of source files without "." and "..", and relative to the current directory where they lie below it.
void shorten_paths(document& d);

}  // namespace gpa::tools
