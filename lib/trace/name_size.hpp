// How long the readable form of a linked name is, about: what a name repeats is said once and referred to afterwards
// (Itanium C++ ABI, 5.1.10), so some hundred bytes may stand for gigabytes, and no demangler can be told to stop.
//
// An estimate, within a factor of four where the grammar is followed; what is inside expressions is not looked at.
// Pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace gpa::detail {

/// Bytes, and no more than `most` once it is that many. Throws std::bad_alloc. O(length).
[[nodiscard]] std::size_t readable_size(std::string_view linked, std::size_t most);

}  // namespace gpa::detail
