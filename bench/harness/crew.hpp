// The main thread and, unless told otherwise, one more that sleeps while it is not needed.
//
// A process with one thread is a special case nobody ships: glibc then skips the locks of malloc and the locked
// instructions of its mutexes. So the second thread is alive during every measurement. Both are pinned, each to a CPU
// of its own: two threads on one CPU would be measured as a bad resource.
#pragma once

#include "workloads/workloads.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <thread>

namespace gpa::bench {

/// Not thread-safe: main owns it.
class crew {
 public:
  /// `alone`: no second thread.
  explicit crew(bool alone);
  ~crew();
  crew(const crew&) = delete;
  crew& operator=(const crew&) = delete;

  /// How many threads a job may run on: 1 if alone or if there is one CPU only.
  [[nodiscard]] unsigned most_threads() const noexcept { return most_threads_; }

  /// One pass of `j` on `threads` threads. Nanoseconds from the first start to the last end of run().
  [[nodiscard]] double pass(job& j, unsigned threads);

 private:
  using clock = std::chrono::steady_clock;
  struct alignas(128) span_of_time {
    clock::time_point start, end;
  };

  void part(job& j, unsigned thread, unsigned threads);
  void meet(unsigned threads) noexcept;
  void sleep_and_help();

  unsigned most_threads_ = 1;
  std::array<span_of_time, 2> times_{};
  std::atomic<job*> task_{nullptr};
  std::atomic<bool> ending_{false};
  std::atomic<unsigned> arrived_{0};
  std::atomic<unsigned> meetings_{0};
  std::thread second_;
};

}  // namespace gpa::bench
