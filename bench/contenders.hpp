// The contenders: memory resources by name, made anew for each workload.
#pragma once

#include <memory>
#include <memory_resource>
#include <span>
#include <string_view>

namespace gpa::bench {

/// A resource and what it needs between passes.
class heap {
 public:
  heap() = default;
  heap(const heap&) = delete;
  heap& operator=(const heap&) = delete;
  virtual ~heap() = default;

  [[nodiscard]] virtual std::pmr::memory_resource& resource() noexcept = 0;
  /// After every pass, off the clock, nothing allocated.
  virtual void after_pass() {}
};

struct contender {
  std::string_view name;  ///< for --only, CSV, JSON and tables
  std::string_view what;  ///< one line
  unsigned most_threads;  ///< that may use it at once
  unsigned every;         ///< takes part in one of so many rounds: 1, or more for one that is slow
  std::unique_ptr<heap> (*make)();
};

/// The first is the one all ratios are about.
[[nodiscard]] std::span<const contender> contenders();

/// The second is the first once more, in a heap of its own: what its ratio differs from 1 is noise.
inline constexpr std::size_t twin = 1;

}  // namespace gpa::bench
