// Who looks at a resource from outside, without its user knowing: a report asked for by a signal, or at exit.
//
// The user ends a resource when none of his threads is inside; he cannot know of ours. So whoever ends it closes the gate
// first, and waits until nobody is inside. Any thread may enter and leave.
#pragma once

#include <atomic>
#include <ctime>

namespace gpa::detail {

class gate {
 public:
  /// False: it is closed. Else leave() follows.
  [[nodiscard]] bool enter() noexcept
  {
    inside_.fetch_add(1);
    if (!closed_.load()) return true;
    leave();
    return false;
  }
  void leave() noexcept { inside_.fetch_sub(1); }

  /// Nobody is inside when it returns. A report takes milliseconds, so waiting may be coarse.
  void close() noexcept
  {
    closed_.store(true);  // in one order with inside_: who is not seen here sees it closed
    constexpr timespec moment{0, 100'000};
    while (inside_.load() != 0) ::nanosleep(&moment, nullptr);
  }
  void open() noexcept { closed_.store(false); }
  /// In the child of a fork: whoever was inside is gone.
  void forget_others() noexcept { inside_.store(0); }

 private:
  std::atomic<int> inside_{0};
  std::atomic<bool> closed_{false};
};

}  // namespace gpa::detail
