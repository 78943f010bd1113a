// Files in and out, and how far we are.
#pragma once

#include "tools/document.hpp"
#include "tools/symbols.hpp"

#include <string>

namespace gpa::tools {

enum class notes { dropped, to_stderr };

/// The report in that file (`-` is standard input), with names looked up where they are missing. Notes are what could
/// not be named and, for a large file on a terminal, how far it is read. Throws refusal, which names the file.
[[nodiscard]] document load(const std::string& path, const symbol_files& symbols, notes told);

/// Whether what is written to `output` would go to the file that `input` (`-` is standard input) is read from.
[[nodiscard]] bool is_same_file(const std::string& input, const std::string& output);

/// To the file, or to stdout where `path` is empty. Throws refusal when not all of it could be written.
void store(const std::string& path, const std::string& text);

}  // namespace gpa::tools
