#include "sampling.hpp"

#include <algorithm>

namespace gpa::detail {

namespace {

// Between 1 and `most`. xorshift32: good enough for distances, and a cache keeps four bytes for it.
std::uint64_t thrown(std::uint32_t& dice, std::uint64_t most) noexcept
{
  dice ^= dice << 13;
  dice ^= dice >> 17;
  dice ^= dice << 5;
  return 1 + (dice * (most >> 32) + ((dice * (most & 0xFFFFFFFF)) >> 32));  // `most` may have 33 bits
}

}  // namespace

std::uint64_t sampling_gap(std::uint32_t& dice, std::uint32_t interval) noexcept
{
  return thrown(dice, 2 * std::uint64_t{interval} - 1);
}

// A moment falls into a long gap more often than into a short one, by their lengths: the larger of two throws has just
// that distribution.
std::uint64_t first_sampling_gap(std::uint32_t& dice, std::uint32_t interval) noexcept
{
  for (int i = 0; i != 4; ++i) static_cast<void>(sampling_gap(dice, interval));  // seeds differ by little
  const std::uint64_t one = sampling_gap(dice, interval);
  return thrown(dice, std::max(one, sampling_gap(dice, interval)));
}

}  // namespace gpa::detail
