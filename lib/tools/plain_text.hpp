// Text that a terminal may be shown: what a file says can neither move the cursor nor colour it, nor forge a line.
//
// Thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gpa::tools {

/// Bytes of the UTF-8 character that `text` begins with; 0 where it begins with none.
[[nodiscard]] std::size_t character_length(std::string_view text) noexcept;

/// Control characters (C0, DEL, C1) become '?', ends of lines among them, as do bytes that are no UTF-8.
[[nodiscard]] std::string without_controls(std::string_view text);

/// One line on stderr, under the tool's name.
void tell(std::string_view message);

}  // namespace gpa::tools
