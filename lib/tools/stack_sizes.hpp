// What the call stacks of a report come to when each is written out: a frame stands once in the document, but in many
// stacks, several times in one, and has many calls. So a small document can be made that fills any memory.
//
// Pure.
#pragma once

#include "tools/document.hpp"

#include <cstddef>

namespace gpa::tools {

/// Calls of one stack. The library keeps at most 64 frames of it; this has room for 256 inlined calls in each.
inline constexpr std::size_t most_calls = std::size_t{64} * 256;

/// Throws refusal where a stack has more calls than that, or where all of them, a document of `bytes`, are out of all
/// proportion to it.
void check_stacks(const document& d, std::size_t bytes);

}  // namespace gpa::tools
