// From the bytes of a file to a document, or to one line that says why not.
//
// No text of a document has control characters: they become '?', so that whatever is made of it can be shown.
// Unknown keys are passed over: a later library of the same version may write more. Of the document itself
// every key that the schema requires must be there; inside of its parts, numbers and strings that are not are 0 and
// empty. Sites without a call stack get one of a
// single call, "(no call stack)"; frames nobody could name get a call that says module and offset.
#pragma once

#include "tools/document.hpp"

#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace gpa::tools {

/// What is wrong with the input or the request; what() is one line for the user.
struct refusal : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The version this tool reads.
inline constexpr std::uint64_t document_version = 1;

/// Called with how much of the text has been read, 0 to 1, about once a mebibyte.
using progress = std::function<void(double)>;

/// Throws refusal: truncated, foreign, newer, or wrong in a place it names.
[[nodiscard]] document read_document(std::string_view text, const progress& tell = {});

/// The system's, a compiler's runtime, or libgpa; never the program itself.
[[nodiscard]] bool is_library(const document& d, const module& m);

/// Gives frames without calls one that says where they are. read_document() leaves them without, so that symbols can be
/// looked up first.
void name_unknown_frames(document& d);

}  // namespace gpa::tools
