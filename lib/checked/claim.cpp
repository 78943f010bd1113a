#include "checked/claim.hpp"

#include "base/errno_keeper.hpp"
#include "base/short_sleep.hpp"
#include "os/barrier.hpp"

#include <sched.h>

#include <atomic>

namespace gpa::detail {

namespace {

// Threads in share(), or `forking`. Its address is no cache's.
constinit std::atomic<int> sharers{0};
constexpr int forking = -1;

// For what another thread is about to end in a moment, unless it lost its CPU.
template <class Condition>
void wait_while(Condition holds) noexcept
{
  for (int tries = 0; holds(); ++tries) {
    if (tries < 64) {
      ::sched_yield();
    } else {
      short_sleep(50'000);  // the other may have a lower priority than we
    }
  }
}

class one_of_the_sharers {
 public:
  one_of_the_sharers() noexcept
  {
    for (int n = 0; !sharers.compare_exchange_weak(n, n + 1, std::memory_order_acquire, std::memory_order_relaxed);)
      if (n == forking) {
        wait_while([] { return sharers.load(std::memory_order_relaxed) == forking; });
        n = 0;
      }
  }
  ~one_of_the_sharers() { sharers.fetch_sub(1, std::memory_order_release); }
  one_of_the_sharers(const one_of_the_sharers&) = delete;
  one_of_the_sharers& operator=(const one_of_the_sharers&) = delete;
};

}  // namespace

void share(slab& s) noexcept
{
  const errno_keeper keep;
  const one_of_the_sharers here;
  const void* owner = s.sole.load(std::memory_order_acquire);
  while (owner != nullptr && owner != &sharers)
    if (s.sole.compare_exchange_weak(owner, &sharers, std::memory_order_relaxed, std::memory_order_acquire)) {
      process_barrier();
      const auto& k = *static_cast<const checked_cache*>(owner);
      wait_while([&] { return k.claiming.load(std::memory_order_acquire) == &s; });
      s.sole.store(nullptr, std::memory_order_release);
      return;
    }
  wait_while([&] { return s.sole.load(std::memory_order_acquire) != nullptr; });  // others are at it
}

void sharing_lock() noexcept
{
  const errno_keeper keep;
  for (int n = 0; !sharers.compare_exchange_weak(n, forking, std::memory_order_acquire, std::memory_order_relaxed); n = 0)
    wait_while([] { return sharers.load(std::memory_order_relaxed) != 0; });
}

void sharing_unlock() noexcept { sharers.store(0, std::memory_order_release); }

}  // namespace gpa::detail
