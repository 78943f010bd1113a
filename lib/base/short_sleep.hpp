// Waits a moment for another thread's next step. The C library's functions for it are cancellation points
// (base/no_cancellation.hpp); the system call alone is none.
#pragma once

#include "base/errno_keeper.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <ctime>

namespace gpa::detail {

inline void short_sleep(long nanoseconds) noexcept
{
  const errno_keeper keeper;
  const timespec moment{0, nanoseconds};
  ::syscall(SYS_nanosleep, &moment, nullptr);
}

}  // namespace gpa::detail
