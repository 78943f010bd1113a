// Leaks that are not to be told of, in LeakSanitizer's syntax:
//
//   # a comment
//   leak:third_party::cache
//   leak:/libGL*.so$
//
// A pattern is looked for in the function, the file and the module of every frame of the allocation's stack, in paths
// as reports show them and in full ones. `*` is any text; `^` and `$` at the ends tie the pattern to the name's, and
// `(` at the end to the parameters or, as an inlined function may have none, the end of the name. Functions are named
// as reports name them: a pattern with `std::__cxx11::basic_string` in it, written for another tool, finds nothing.
//
// Immutable once made.
#pragma once

#include "os/containers.hpp"
#include "os/text.hpp"
#include "trace/naming.hpp"

#include <string_view>

namespace gpa::detail {

class suppressions {
 public:
  suppressions() = default;
  /// `words` is the file, and outlives this; lines that are none are told of in `complaints`, with their number and
  /// `path`. Throws std::bad_alloc.
  suppressions(std::string_view words, std::string_view path, text& complaints);

  [[nodiscard]] bool empty() const noexcept { return patterns_.empty(); }
  /// The first pattern that matches a frame; empty: none does. Throws std::bad_alloc.
  [[nodiscard]] std::string_view match(const frame_list& stack) const;

 private:
  list_of<std::string_view> patterns_;
};

}  // namespace gpa::detail
