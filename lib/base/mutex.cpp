#include "base/mutex.hpp"

#include "base/errno_keeper.hpp"

namespace gpa::detail {

void small_mutex::wait_for_it() noexcept
{
  const errno_keeper keep;  // the wait is a system call, and a signal or a change in time its failure
  while (state_.exchange(awaited, std::memory_order_acquire) != free) state_.wait(awaited, std::memory_order_relaxed);
}

}  // namespace gpa::detail
