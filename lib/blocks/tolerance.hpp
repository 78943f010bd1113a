// How much free memory a heap keeps beyond its allowance: as much as it gave back a moment too early.
//
// What is given back and needed again within a second was no burst but how the program works: as much is tolerated from
// then on, and a quarter more. The second begins anew with each need, until ten seconds after something was given back:
// where a page takes the system 12 microseconds, what comes back in a second is 300 MiB. Each second in which the heap
// looks, the tolerance is cut to the difference between the most and the least that lay free in it: what a second of
// work did not use goes back. A pause is not such a second.
//
// Not thread-safe, but for tolerates(), note_more() and note_less(); of two threads in the latter at once one may go
// unnoticed.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <ctime>

namespace gpa::detail {

class tolerance {
 public:
  /// Milliseconds since some moment. Tests have one of their own: the machine's goes on while they are not running.
  using clock = std::int64_t (*)() noexcept;
  /// Some milliseconds late, and cheap.
  [[nodiscard]] static std::int64_t coarse_clock() noexcept
  {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return static_cast<std::int64_t>(t.tv_sec) * 1'000 + t.tv_nsec / 1'000'000;
  }

  constexpr explicit tolerance(clock now = coarse_clock) noexcept : now_(now) {}

  /// Whether allowed() may be more than its allowance.
  [[nodiscard]] bool tolerates() const noexcept { return tolerated() != 0; }
  /// What may lie free, where `free` does and `allowance` may at any time.
  [[nodiscard]] std::size_t allowed(std::size_t allowance, std::size_t free) noexcept
  {
    note_more(free);
    if (!tolerates() || free <= allowance) return allowance;
    if (const std::int64_t t = now_(); t - second_began_ > a_second) {
      const std::size_t most = most_free_.load(std::memory_order_relaxed);
      const std::size_t least = std::min(least_free_.load(std::memory_order_relaxed), most);
      tolerate(std::min(tolerated(), most - least));  // what came and went; the rest lay idle
      begin_second(t, free);
    }
    return added_to(allowance);
  }
  /// The same where what lies free is measured in another way, from which nothing is learned.
  [[nodiscard]] std::size_t added_to(std::size_t allowance) const noexcept
  {
    return allowance + tolerated() + tolerated() / 4;  // the next burst is seldom the same to the byte
  }
  /// More may lie free than did.
  void note_more(std::size_t free) noexcept
  {
    if (free > most_free_.load(std::memory_order_relaxed)) most_free_.store(free, std::memory_order_relaxed);
  }
  /// Less lies free than did.
  void note_less(std::size_t free) noexcept
  {
    if (free < least_free_.load(std::memory_order_relaxed)) least_free_.store(free, std::memory_order_relaxed);
  }
  void note_given_back(std::size_t bytes) noexcept
  {
    given_back_ += bytes;
    given_back_at_ = needed_at_ = now_();
  }
  /// Memory without pages is about to be used.
  void note_need(std::size_t bytes, std::size_t free) noexcept
  {
    if (given_back_ == 0) return;
    const std::int64_t t = now_();
    if (t - needed_at_ > a_second || t - given_back_at_ > 10 * a_second) {
      given_back_ = 0;
      return;
    }
    needed_at_ = t;
    const std::size_t again = std::min(bytes, given_back_);
    given_back_ -= again;
    if (!tolerates()) begin_second(t, free);
    tolerate(tolerated() + again);
    note_more(free + tolerated());
  }
  /// Nothing was learned.
  void forget() noexcept
  {
    given_back_ = 0;
    tolerate(0);
  }

 private:
  static constexpr std::int64_t a_second = 1'000;  // milliseconds

  [[nodiscard]] std::size_t tolerated() const noexcept { return tolerated_.load(std::memory_order_relaxed); }
  void tolerate(std::size_t bytes) noexcept { tolerated_.store(bytes, std::memory_order_relaxed); }
  void begin_second(std::int64_t t, std::size_t free) noexcept
  {
    second_began_ = t;
    least_free_.store(free, std::memory_order_relaxed);
    most_free_.store(free, std::memory_order_relaxed);
  }

  const clock now_;
  std::size_t given_back_ = 0;  // and not needed again yet
  std::int64_t given_back_at_ = 0;
  std::int64_t needed_at_ = 0;  // the last time that some of it was, or when it was given back
  std::atomic<std::size_t> tolerated_{0};
  std::int64_t second_began_ = 0;
  std::atomic<std::size_t> least_free_{0};  // since then
  std::atomic<std::size_t> most_free_{0};
};

}  // namespace gpa::detail
