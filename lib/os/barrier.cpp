#include "os/barrier.hpp"

#include "base/assert.hpp"
#include "base/errno_keeper.hpp"

#include <atomic>
#include <cstdint>

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace gpa::detail {

namespace {

enum class answer : std::uint8_t { not_asked, no, yes };
constinit std::atomic<answer> known{answer::not_asked};

bool ask_kernel(int command) noexcept { return ::syscall(SYS_membarrier, command, 0, 0) == 0; }

}  // namespace

bool process_barrier_available() noexcept
{
  answer a = known.load(std::memory_order_relaxed);
  if (a == answer::not_asked) {
    const errno_keeper keep;
    a = ask_kernel(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) ? answer::yes : answer::no;
    known.store(a, std::memory_order_relaxed);
  }
  return a == answer::yes;
}

void process_barrier() noexcept
{
  const errno_keeper keep;
  // A child process may have to register again.
  const bool done = ask_kernel(MEMBARRIER_CMD_PRIVATE_EXPEDITED) ||
                    (ask_kernel(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) &&
                     ask_kernel(MEMBARRIER_CMD_PRIVATE_EXPEDITED));
  GPA_ASSERT(done);  // granted once: nothing but a sandbox that was closed since takes it away
}

}  // namespace gpa::detail
