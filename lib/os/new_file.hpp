// A file that is complete or not there: written beside its place, and moved when all of it is.
//
// Who reads the path meanwhile, or after a failure, sees the file before, and the new one has its permissions. A symbolic
// link is followed. What is no regular file (a pipe, a device), or is what the program has as its standard output or error,
// is written where it is, all at the end, behind what is there. Not thread-safe; any number of threads may write the same
// path, and the last to finish wins.
#pragma once

#include "os/text.hpp"

#include <sys/types.h>

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
  /// It failed for that reason: finish() will say so.
  void fail(int error) noexcept
  {
    if (error_ == 0) error_ = error;
  }
  /// 0, or the errno of the first thing that failed.
  [[nodiscard]] int finish() noexcept;

 private:
  void open(const text& name, int how, mode_t mode) noexcept;
  void flush() noexcept;

  text path_;
  text beside_;  // empty: written where it is
  text waiting_;
  int descriptor_ = -1;
  int error_ = 0;
};

}  // namespace gpa::detail
