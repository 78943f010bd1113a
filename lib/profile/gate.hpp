// Who looks at a resource from outside, without its user knowing: a report asked for by a signal, or at exit.
//
// The user ends a resource when none of his threads is inside; he cannot know of ours. So whoever ends it closes the gate
// first, and waits until nobody is inside. Any thread may enter and leave.
#pragma once

#include "base/short_sleep.hpp"

#include <atomic>
#include <cstdint>

namespace gpa::detail {

class gate {
 public:
  /// False: it is closed. Else leave() follows.
  [[nodiscard]] bool enter() noexcept
  {
    inside_.fetch_add(1);
    if (state_.load() == state::open) return true;
    leave();
    return false;
  }
  void leave() noexcept { inside_.fetch_sub(1); }

  /// Nobody is inside when it returns. Who looks takes milliseconds, so waiting may be coarse.
  void close() noexcept { leave_in(state::closed); }
  /// The same, for good.
  void end() noexcept { leave_in(state::ended); }
  void open() noexcept { state_.store(state::open); }
  [[nodiscard]] bool has_ended() const noexcept { return state_.load() == state::ended; }
  /// In the child of a fork: whoever was inside is gone.
  void forget_others() noexcept { inside_.store(0); }

 private:
  enum class state : std::uint8_t { open, closed, ended };

  void leave_in(state s) noexcept
  {
    if (!has_ended()) state_.store(s);  // in one order with inside_: who is not seen here sees it closed
    while (inside_.load() != 0) short_sleep(100'000);
  }

  std::atomic<int> inside_{0};
  std::atomic<state> state_{state::open};
};

}  // namespace gpa::detail
