#include "checked/claim.hpp"

#include "base/errno_keeper.hpp"
#include "base/mutex.hpp"
#include "os/barrier.hpp"

#include <ctime>
#include <sched.h>

namespace gpa::detail {

namespace {

mutex sharing;

// The owner is in do_alone(): a moment, unless it lost its CPU there.
void wait_until_done(const checked_cache& owner, const slab& s) noexcept
{
  for (int tries = 0; owner.claiming.load(std::memory_order_acquire) == &s; ++tries) {
    if (tries < 64) {
      ::sched_yield();
    } else {
      constexpr timespec moment{0, 50'000};  // the owner may have a lower priority than we
      ::nanosleep(&moment, nullptr);
    }
  }
}

}  // namespace

void share(slab& s) noexcept
{
  const mutex_guard guard(sharing);
  const void* const owner = s.sole.load(std::memory_order_relaxed);
  if (owner == nullptr) return;
  s.sole.store(&sharing, std::memory_order_relaxed);  // no cache's address
  const errno_keeper keep;
  process_barrier();
  wait_until_done(*static_cast<const checked_cache*>(owner), s);
  s.sole.store(nullptr, std::memory_order_release);
}

void sharing_lock() noexcept GPA_THREAD_SAFETY(no_thread_safety_analysis) { sharing.lock(); }
void sharing_unlock() noexcept GPA_THREAD_SAFETY(no_thread_safety_analysis) { sharing.unlock(); }

}  // namespace gpa::detail
