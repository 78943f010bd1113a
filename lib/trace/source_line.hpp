// One line of a source file with a caret below: the excerpt under a headline.
//
//      18 |         void* raw = mr_->allocate(sizeof(Session), alignof(Session));
//         |                                  ^
//
// Tabs stay tabs in both lines, so the caret stands right at every tab width; columns count bytes, as compilers do, and
// the bytes of one UTF-8 character take one place. Lines over `longest_excerpt` bytes are cut around the column.
// Reads with open and read, at most `searched_bytes` of regular files; control characters become spaces.
#pragma once

#include "os/text.hpp"
#include "trace/color.hpp"
#include "trace/frame.hpp"

#include <cstddef>
#include <cstdint>

namespace gpa::detail {

inline constexpr std::size_t longest_excerpt = 160;
inline constexpr std::size_t searched_bytes = std::size_t{16} << 20;

/// Line `line` (1-based) of `path` without its end; false when there is no such file or line. Throws std::bad_alloc.
[[nodiscard]] bool read_source_line(const char* path, std::uint32_t line, metadata_string& out);

/// The two lines above; without `column` (1-based) only the first; nothing where the line cannot be read.
void append_excerpt(text& out, const char* path, std::uint32_t line, std::uint32_t column, const painter& paint);

}  // namespace gpa::detail
