// How much free memory a heap keeps beyond its allowance: as much as it gave back a moment too early.
//
// What is given back and needed again within a second was no burst but how the program works: as much is tolerated from
// then on, and a quarter more. Each second in which the heap looks, the tolerance is cut to the difference between the
// most and the least that lay free in it: what a second of work did not use goes back. A pause is not such a second.
//
// Thread-safe. note_more() and note_less() are what is done in steady state; they take no lock, and of two threads at once
// one may go unnoticed.
#pragma once

#include "base/mutex.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <ctime>

namespace gpa::detail {

class tolerance {
 public:
  /// What may lie free, where `free` does and `allowance` may at any time.
  [[nodiscard]] std::size_t allowed(std::size_t allowance, std::size_t free) noexcept
  {
    note_more(free);
    const mutex_guard guard(lock_);
    if (tolerated_ == 0 || free <= allowance) return allowance;
    if (const std::int64_t t = now(); t - second_began_ > a_second) {
      const std::size_t most = most_free_.load(std::memory_order_relaxed);
      tolerated_ = std::min(tolerated_, most - std::min(least_free_.load(std::memory_order_relaxed), most));
      begin_second(t, free);
    }
    return allowance + tolerated_ + tolerated_ / 4;  // the next burst is seldom the same to the byte
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
    const mutex_guard guard(lock_);
    given_back_ += bytes;
    given_back_at_ = now();
  }
  /// Memory without pages is about to be used.
  void note_need(std::size_t bytes, std::size_t free) noexcept
  {
    const mutex_guard guard(lock_);
    if (given_back_ == 0) return;
    const std::int64_t t = now();
    if (t - given_back_at_ > a_second) {
      given_back_ = 0;
      return;
    }
    const std::size_t again = std::min(bytes, given_back_);
    given_back_ -= again;
    if (tolerated_ == 0) begin_second(t, free);
    tolerated_ += again;
    note_more(free + tolerated_);
  }
  /// Nothing was learned.
  void forget() noexcept
  {
    const mutex_guard guard(lock_);
    given_back_ = tolerated_ = 0;
  }
  void lock_for_fork() noexcept GPA_ACQUIRE(lock_) { lock_.lock(); }
  void unlock_after_fork() noexcept GPA_RELEASE(lock_) { lock_.unlock(); }

 private:
  static constexpr std::int64_t a_second = 1'000;  // milliseconds

  // Some milliseconds late, and cheap.
  [[nodiscard]] static std::int64_t now() noexcept
  {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return static_cast<std::int64_t>(t.tv_sec) * 1'000 + t.tv_nsec / 1'000'000;
  }
  void begin_second(std::int64_t t, std::size_t free) noexcept GPA_REQUIRES(lock_)
  {
    second_began_ = t;
    least_free_.store(free, std::memory_order_relaxed);
    most_free_.store(free, std::memory_order_relaxed);
  }

  mutex lock_;
  std::size_t given_back_ GPA_GUARDED_BY(lock_) = 0;  // and not needed again yet
  std::int64_t given_back_at_ GPA_GUARDED_BY(lock_) = 0;
  std::size_t tolerated_ GPA_GUARDED_BY(lock_) = 0;
  std::int64_t second_began_ GPA_GUARDED_BY(lock_) = 0;
  std::atomic<std::size_t> least_free_{0};  // since then
  std::atomic<std::size_t> most_free_{0};
};

}  // namespace gpa::detail
