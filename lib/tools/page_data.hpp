// What the page (lib/tools/page) is made of: the report as a tree of calls, sites that end in its nodes, and the source
// lines around the calls.
//
//   functions, files, tags   texts, once each
//   calls      function, file, line, column, flags (1 inlined, 2 library); columns of numbers
//   nodes      parent (-1 for the outermost call), call; a parent stands before its children
//   sites      node, tag, size class, and the numbers of each, those of the older report too where there are two
//   mistakes   texts, and stacks as lists of calls, innermost first
//   sources    file -> line -> text, some lines around each user call of the largest sites
//
// As JSON in columns, so that a browser takes 100 000 sites in at once. Sites of two reports are one when the names and
// lines of their calls, the tag and the size class are the same.
#pragma once

#include "tools/document.hpp"

#include <string>

namespace gpa::tools {

/// Reads source files. Throws std::bad_alloc.
[[nodiscard]] std::string page_data(const document& d, const document* before, measure what);

}  // namespace gpa::tools
