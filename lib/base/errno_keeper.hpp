// Puts errno back at the end of a scope: an allocator that tries and fails must not disturb its caller.
#pragma once

#include <cerrno>

namespace gpa::detail {

class errno_keeper {
 public:
  errno_keeper() noexcept : before_(errno) {}
  ~errno_keeper() { errno = before_; }
  errno_keeper(const errno_keeper&) = delete;
  errno_keeper& operator=(const errno_keeper&) = delete;

 private:
  int before_;
};

}  // namespace gpa::detail
