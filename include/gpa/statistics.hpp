// One snapshot of a resource's counters, as gpa::resource::stats() returns it.
#pragma once

#include <gpa/export.hpp>

#include <cstddef>

namespace gpa {

/// What a resource holds and has done. Immutable: a snapshot.
///
/// Bytes are the sizes users asked for, except `held_bytes`. Every number but the peaks is exact when no other thread is
/// inside the resource while stats() runs.
struct statistics {
  std::size_t live_blocks = 0;     ///< blocks allocated and not yet freed
  std::size_t live_bytes = 0;      ///< their bytes
  std::size_t peak_blocks = 0;     ///< most blocks live at once; see `peak_bytes`
  std::size_t peak_bytes = 0;      ///< most bytes live at once: exact with `options::memory_limit` as long as it is not
                                   ///< lifted (one set later does not count), `thread_safe = false` or, if all are
                                   ///< checked, `profile`; otherwise a lower bound, the highest sum seen when it was
                                   ///< looked at: where checked before the first free and at least each 64th of a size,
                                   ///< without checks now and then, perhaps never in a small program
  std::size_t total_blocks = 0;    ///< blocks ever allocated
  std::size_t total_bytes = 0;     ///< their bytes
  std::size_t held_bytes = 0;      ///< memory kept for user blocks: live, in quarantine or free, from the upstream
  std::size_t mistakes = 0;        ///< mistakes reported, leaks not counted
  std::size_t upstream_calls = 0;  ///< calls of upstream allocate() and deallocate(); 0 over gpa::page_resource()
};

}  // namespace gpa
