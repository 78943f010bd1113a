// The workloads: what is done to every contender, always through std::pmr::memory_resource*.
//
// A pass is prepare(), run(), finish() on each thread; run() alone is timed. Whatever a pass allocates it frees, so a
// resource can be emptied between passes. All random numbers are drawn beforehand from fixed seeds: every contender
// gets the same calls in the same order, and the clock sees no generator. The first word of every block is written.
#pragma once

#include <cstddef>
#include <memory>
#include <memory_resource>
#include <span>
#include <string_view>

namespace gpa::bench {

/// One workload on one resource. Thread `thread` touches its own part of it only.
class job {
 public:
  job() = default;
  job(const job&) = delete;
  job& operator=(const job&) = delete;
  virtual ~job() = default;

  virtual void prepare(unsigned /*thread*/) {}
  virtual void run(unsigned thread) = 0;
  virtual void finish(unsigned /*thread*/) {}
};

struct workload {
  std::string_view name;       ///< for --only, CSV and JSON
  std::string_view title;      ///< for tables
  std::string_view operation;  ///< what one operation is
  std::size_t operations;      ///< in one run(), on each thread
  unsigned passes;             ///< in one round
  unsigned most_threads;       ///< 2: measured once more with two threads on one resource
  std::unique_ptr<job> (*make)(std::pmr::memory_resource&);
};

[[nodiscard]] std::span<const workload> workloads();

// blocks.cpp
[[nodiscard]] std::unique_ptr<job> make_pairs(std::pmr::memory_resource&);
[[nodiscard]] std::unique_ptr<job> make_churn(std::pmr::memory_resource&);
[[nodiscard]] std::unique_ptr<job> make_batch(std::pmr::memory_resource&);
[[nodiscard]] std::unique_ptr<job> make_8_kib(std::pmr::memory_resource&);
inline constexpr std::size_t pairs_a_pass = 200'000;
inline constexpr std::size_t churn_a_pass = 100'000;
inline constexpr std::size_t batch_a_pass = 100'000;
inline constexpr std::size_t blocks_of_8_kib = 50'000;

// containers.cpp
[[nodiscard]] std::unique_ptr<job> make_map(std::pmr::memory_resource&);
[[nodiscard]] std::unique_ptr<job> make_strings(std::pmr::memory_resource&);
[[nodiscard]] std::unique_ptr<job> make_queue(std::pmr::memory_resource&);
inline constexpr std::size_t map_elements = 10'000;
inline constexpr std::size_t map_replaced = 5'000;
inline constexpr std::size_t strings_a_pass = 10'000;
inline constexpr std::size_t queue_a_pass = 200'000;

}  // namespace gpa::bench
