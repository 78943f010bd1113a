// Memory as a report shows it: rows of bytes, what changed among them marked, and what the change reads as.
//
//       +48  61 62 63 64 65 66 67 68 69 6a 6b 6c|2a 00 00 00  |abcdefghijkl*...|
//                                                ^^^^^^^^^^^
//     the bytes written read as integer 42
//
// Offsets are those from the block's start; the bar among the bytes is its end. Pure.
#pragma once

#include <gpa/report.hpp>

#include "os/text.hpp"
#include "trace/color.hpp"

namespace gpa::detail {

/// One row, without offset: "01 00 00 00 61 64 61 00  |....ada.|".
void append_preview(text& out, const memory_excerpt& m);

/// The rows, and a line of marks below each that has a changed byte. `end`: the block's, from its start.
void append_dump(text& out, const memory_excerpt& m, std::size_t end, const painter& paint);

/// "text "ada"", "integer 42", "double 1.5": what the changed bytes may have been meant as, as far as they read as
/// something, with commas between. Nothing when they do not, or lie too far apart to be one value. `damaged`: how many
/// changed in all, the excerpt's among them.
void append_meanings(text& out, const memory_excerpt& m, std::size_t damaged);

}  // namespace gpa::detail
