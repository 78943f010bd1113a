// What a row is about: the place of a call stack, as in a report's headline; and patterns for file names.
#pragma once

#include "os/containers.hpp"
#include "trace/frame.hpp"
#include "trace/frames.hpp"

#include <gpa/snapshot.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace gpa::detail {

/// The frames of a stack up to main, files below the current directory relative to it. Throws std::bad_alloc.
[[nodiscard]] frame_list shortened_stack(const gpa::stack_trace& s);

/// Names each stack once for as long as it lives. Not thread-safe.
class places {
 public:
  /// Throws std::bad_alloc.
  [[nodiscard]] std::string place_of(const gpa::site& s, gpa::by key);
  [[nodiscard]] bool file_matches(const gpa::site& s, const gpa::snapshot_filter& f);

 private:
  struct place {
    metadata_string file = {};
    metadata_string function = {};
    metadata_string full = {};       // path of the file
    metadata_string elsewhere = {};  // without a file: module and offset, or the address
    metadata_string module = {};     // and the module's name
    std::uint32_t line = 0;
  };
  [[nodiscard]] const place& find(const gpa::stack_trace& s);

  [[nodiscard]] bool path_matches(std::string_view path, std::string_view pattern) const;

  const metadata_string directory_ = current_directory();
  hash_map<std::uint32_t, place> known_;
};

/// '*' is any text, '?' any character. Pure.
[[nodiscard]] bool glob_matches(std::string_view text, std::string_view pattern) noexcept;

}  // namespace gpa::detail
