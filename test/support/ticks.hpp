// Times of very short things, in ticks of the CPU's clock.
#pragma once

#include <x86intrin.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <numeric>

namespace gpa::test {

inline double ticks_per_nanosecond()
{
  const auto start = std::chrono::steady_clock::now();
  const std::uint64_t first = __rdtsc();
  while (std::chrono::steady_clock::now() - start < std::chrono::milliseconds(20)) {
  }
  const std::chrono::duration<double, std::nano> passed = std::chrono::steady_clock::now() - start;
  return static_cast<double>(__rdtsc() - first) / passed.count();
}

/// The first million; allocates nothing. Large: for static storage.
class tick_samples {
 public:
  void add(std::uint64_t ticks) noexcept
  {
    if (count_ != samples_.size()) samples_[count_++] = static_cast<std::uint32_t>(ticks);
  }
  void forget() noexcept { count_ = 0; }
  [[nodiscard]] std::size_t count() const noexcept { return count_; }

  [[nodiscard]] double quantile(double part) noexcept
  {
    if (count_ == 0) return 0;
    auto* const middle = samples_.data() + static_cast<std::size_t>(part * static_cast<double>(count_ - 1));
    std::nth_element(samples_.data(), middle, samples_.data() + count_);
    return static_cast<double>(*middle);
  }
  [[nodiscard]] double mean() const noexcept
  {
    if (count_ == 0) return 0;
    return std::accumulate(samples_.data(), samples_.data() + count_, 0.0) / static_cast<double>(count_);
  }

 private:
  std::array<std::uint32_t, std::size_t{1} << 20> samples_{};
  std::size_t count_ = 0;
};

}  // namespace gpa::test
