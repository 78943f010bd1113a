// What users want of names in reports: GPA_OPTIONS=symbolize, hide and strip_path_prefix.
//
// Thread-safe: chosen once, before the first report.
#pragma once

#include "trace/frame.hpp"

#include <array>
#include <string_view>

namespace gpa::detail {

struct naming {
  bool symbols = true;             // false: modules and offsets only, nothing is looked up
  std::string_view hidden = {};    // patterns between commas: frames that count as a library's
  std::string_view stripped = {};  // what paths are shown without
};

/// `n`'s views must stay good for ever.
void set_naming(const naming& n) noexcept;
[[nodiscard]] const naming& current_naming() noexcept;

/// Whether `pattern` is found in `name`: `*` is any text; `^` and `$` at the ends tie it to the name's. O(length of
/// both, multiplied). Pure.
[[nodiscard]] bool matches(std::string_view pattern, std::string_view name) noexcept;

/// What patterns are looked for in: the function of a frame, its file and its module. Both paths count as they are
/// shown and in full, but not as the compiler or the loader wrote them, with "build/../src" in them.
class frame_names {
 public:
  /// `directory` is what paths are shown relative to. `f` outlives this. Throws std::bad_alloc.
  frame_names(const frame& f, std::string_view directory);

  /// Whether `pattern` is found in one of them.
  [[nodiscard]] bool match(std::string_view pattern) const noexcept;

 private:
  std::string_view function_;
  std::array<metadata_string, 4> paths_;
};

/// Whether `f` is to be taken for a library's; `directory` as above. Throws std::bad_alloc.
[[nodiscard]] bool is_hidden(const frame& f, std::string_view directory);

/// `path` as it is shown: without the prefix that is to be stripped, else relative to `directory` where it lies below.
[[nodiscard]] metadata_string shown_path(std::string_view path, std::string_view directory);

}  // namespace gpa::detail
