// The workloads: what is done to every contender, always through std::pmr::memory_resource*.
//
// A pass is prepare(), run(), finish() on each thread; run() alone is timed. What a pass allocates it frees, unless its
// job keeps blocks from pass to pass and says so. All random numbers are drawn beforehand from fixed seeds: every
// contender gets the same calls in the same order, and the clock sees no generator. The first word of every block is
// written.
#pragma once

#include "contenders/contenders.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace gpa::bench {

/// One workload on one heap. Thread `thread` touches its own part of it only.
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

using job_maker = std::function<std::unique_ptr<job>(heap&)>;

/// What of a heap a round sees.
enum class heat : std::uint8_t {
  warm,   ///< one heap for all rounds
  fresh,  ///< a heap of its own for each pass; making and dropping it is on the clock
};

struct workload {
  std::string name;                              ///< for --only, CSV and JSON
  std::string title;                             ///< for tables
  std::string operation;                         ///< what one operation is
  std::size_t operations = 0;                    ///< in one run(), on each thread
  unsigned passes = 1;                           ///< in one round
  unsigned least_threads = 1, most_threads = 1;  ///< a row for each number between, on one heap
  bool first_table = false;
  bool needs_reuse = false;  ///< a heap that reuses nothing would fill the memory: it is left out
  heat warmth = heat::warm;
  job_maker make = {};
};

/// In the order of the tables.
[[nodiscard]] std::span<const workload> workloads();
/// Throws std::invalid_argument for a name nobody has.
[[nodiscard]] const workload& workload_named(std::string_view name);
/// Adds the workload "replay": the calls of a file that a gpa::recorder wrote. Before the first use of workloads().
void add_replay(const std::string& file);
inline constexpr std::string_view replay_name = "replay";

// blocks.cpp
enum class order : std::uint8_t { lifo, fifo, random };
struct churn_shape {
  std::size_t live;                       ///< blocks of each thread
  std::uint32_t least_words, most_words;  ///< of 8 bytes, uniform
  bool keeps;                             ///< live blocks stay from pass to pass
};
[[nodiscard]] job_maker pairs_of(std::size_t bytes, std::size_t count);
[[nodiscard]] job_maker batch_of(std::size_t bytes, std::size_t count, order freed);
[[nodiscard]] job_maker churn_of(churn_shape shape, std::size_t steps);
[[nodiscard]] job_maker arena_of(std::size_t count);

// containers.cpp
[[nodiscard]] job_maker map_of_strings(std::size_t elements, std::size_t replaced);
[[nodiscard]] job_maker map_of_vectors(std::size_t elements);
[[nodiscard]] job_maker strings_in_a_vector(std::size_t count);
[[nodiscard]] job_maker list_as_a_queue(std::size_t count);
[[nodiscard]] job_maker deque_as_a_queue(std::size_t count);
[[nodiscard]] job_maker growing_vector(std::size_t elements);
[[nodiscard]] job_maker json_tree(std::size_t records);

// large.cpp
struct large_shape {
  std::size_t least, most;  ///< bytes; sizes are whole pages, uniform in their logarithm
  bool written;             ///< through and through; else a word a page
};
[[nodiscard]] job_maker large_blocks(large_shape shape, std::size_t count);

// threads.cpp
[[nodiscard]] job_maker handover(std::size_t blocks);
[[nodiscard]] job_maker exchange(std::size_t steps);
[[nodiscard]] job_maker short_threads(std::size_t count, std::size_t blocks);
[[nodiscard]] job_maker heaps_in_turn(std::size_t heaps, std::size_t pairs);

// replay.cpp
/// Reads the file at once, to know how many allocations are in it; throws std::runtime_error.
[[nodiscard]] workload replay_of(const std::string& file, std::string name, const std::string& title);

}  // namespace gpa::bench
