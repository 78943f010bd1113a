// Leaks whose call stacks read the same are one leak.
//
// A loop that the compiler unrolled allocates at several addresses, all of one line: several stacks, and the same text
// several times. Only stacks that differ in few addresses, which lie close together, are named for this; of the first
// thousand groups, as nobody reads more.
#pragma once

#include "checked/leak_groups.hpp"

namespace gpa::detail {

/// Throws std::bad_alloc.
void merge_twins(list_of<leak_group>& groups);

}  // namespace gpa::detail
