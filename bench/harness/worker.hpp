// The other side of the harness: a process that measures one contender on one workload, when it is told to.
//
// Every contender works in a process of its own: what replaces malloc cannot share one, and so nobody shares the heap
// that the pools take their chunks from, nor inherits what another left behind in it.
#pragma once

#include "workloads/workloads.hpp"

#include <iosfwd>

namespace gpa::bench {

inline constexpr const char* worker_ready = "ready";
inline constexpr const char* worker_cannot = "cannot";

/// Says "ready", or "cannot" if the library that should have replaced malloc is not in this process. Then answers each
/// line "THREADS PASSES" with the nanoseconds that so many passes took, until the input ends.
void work(const contender& c, const workload& w, bool alone, std::istream& in, std::ostream& out);

/// Whether `c` can work in this process: made, and its library loaded.
[[nodiscard]] bool is_here(const contender& c);

}  // namespace gpa::bench
