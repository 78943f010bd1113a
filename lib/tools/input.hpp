// Files in and out, and how far we are.
#pragma once

#include "tools/document.hpp"
#include "tools/symbols.hpp"

#include <string>

namespace gpa::tools {

/// The report in that file (`-` is standard input), with names looked up where they are missing; notes and, for a large
/// file on a terminal, progress go to stderr. Throws refusal, which names the file.
[[nodiscard]] document load(const std::string& path, const symbol_files& symbols);

/// To the file, or to stdout where `path` is empty. Throws refusal when not all of it could be written.
void store(const std::string& path, const std::string& text);

}  // namespace gpa::tools
