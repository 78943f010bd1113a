// The mistakes a resource reported, for its JSON document: the first of them, and the leaks of the last leak report.
//
// Bounded: what comes later is counted. Nothing is kept before the first mistake. Thread-safe: one lock, held for a copy.
#pragma once

#include "base/mutex.hpp"
#include "os/containers.hpp"

#include <gpa/report.hpp>

#include <cstddef>

namespace gpa::detail {

class mistake_log {
 public:
  static constexpr std::size_t most_mistakes = 1000;
  static constexpr std::size_t most_leaks = 10'000;  // groups

  void add(const gpa::report& r) noexcept;
  /// The leaks told from here on are those of a new leak report.
  void forget_leaks() noexcept;
  void add_leak(const gpa::report& group) noexcept;

  /// Mistakes in the order they came, then leaks. `missing`: how many more there were. Throws std::bad_alloc.
  [[nodiscard]] list_of<gpa::report> copy(std::size_t& missing);

  void lock_for_fork() noexcept GPA_ACQUIRE(lock_) { lock_.lock(); }
  void unlock_after_fork() noexcept GPA_RELEASE(lock_) { lock_.unlock(); }

 private:
  struct kept {
    list_of<gpa::report> reports;
    std::size_t missing = 0;
    void add(const gpa::report& r, std::size_t most) noexcept;
  };
  mutex lock_;
  kept mistakes_ GPA_GUARDED_BY(lock_);
  kept leaks_ GPA_GUARDED_BY(lock_);
};

}  // namespace gpa::detail
