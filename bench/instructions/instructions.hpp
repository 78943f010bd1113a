// Instructions a pair: what callgrind counts of allocate(64) and deallocate(64) through memory_resource*.
#pragma once

#include "harness/harness.hpp"

#include <vector>

namespace gpa::bench {

/// Makes so many pairs in this process, whose second thread sleeps.
void make_pairs(const contender& c, unsigned count);

/// Of a pair by contender, the loop around it included; NaN where it was not measured. Two runs under Valgrind each:
/// the difference of their counts is the work of the pairs that only one of them made. `tell` gets a line when there
/// is no Valgrind here.
[[nodiscard]] std::vector<double> count_instructions(const std::vector<std::size_t>& entrants, const teller& tell);

}  // namespace gpa::bench
