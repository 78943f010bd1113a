// Which allocations checks::one_in(n) picks: how many are left out between two of them.
//
// A gap is between 1 and 2n - 1 with equal chance: n on average, and no loop of the program can fall in step with it.
// The tally that every allocation is counted in (blocks/tally.hpp) is set so that its word ends with the one to pick,
// whatever the sizes: sampling has no favourite class. A cache begins somewhere within a gap, as one looked at at any
// moment would be: else a short life, below half a gap, would never be looked at.
#pragma once

#include <cstdint>

namespace gpa::detail {

/// `dice` is the state of the cache's random numbers; never 0.
[[nodiscard]] std::uint64_t sampling_gap(std::uint32_t& dice, std::uint32_t interval) noexcept;
[[nodiscard]] std::uint64_t first_sampling_gap(std::uint32_t& dice, std::uint32_t interval) noexcept;

}  // namespace gpa::detail
