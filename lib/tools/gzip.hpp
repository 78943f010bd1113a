// The door to zlib: one buffer, compressed as gzip does.
#pragma once

#include <string>
#include <string_view>

namespace gpa::tools {

/// Throws std::bad_alloc.
[[nodiscard]] std::string gzipped(std::string_view text);

}  // namespace gpa::tools
