// A file that is complete or not there: written beside its place, and moved when all of it is.
//
// Who reads the path meanwhile, or after a failure, sees the file before. What is no regular file (a pipe, a device) is
// written where it is, all at the end. Not thread-safe; any number of threads may write the same path, and the last to
// finish wins.
#pragma once

#include "os/text.hpp"

#include <string_view>

namespace gpa::detail {

class new_file {
 public:
  explicit new_file(std::string_view path) noexcept;
  /// Without finish() nothing was written.
  ~new_file();
  new_file(const new_file&) = delete;
  new_file& operator=(const new_file&) = delete;

  /// What is written here is appended; small pieces are collected.
  void write(std::string_view part) noexcept;
  /// 0, or the errno of the first thing that failed.
  [[nodiscard]] int finish() noexcept;

 private:
  void flush() noexcept;

  text path_;
  text beside_;  // empty: written where it is
  text waiting_;
  int descriptor_ = -1;
  int error_ = 0;
};

}  // namespace gpa::detail
