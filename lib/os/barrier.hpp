// A memory barrier on every thread of the process at once, so that those on a hot path need none of their own.
//
// The one place that asks the kernel for membarrier(2). One side of a protocol then pays microseconds, seldom, and the
// other nothing, always (Dice, Huang, Yang: Asymmetric Dekker Synchronization, 2001).
//
// Thread-safe. errno is left as it was.
#pragma once

namespace gpa::detail {

/// Whether process_barrier() works here; asks the kernel at the first call. False under kernels, sandboxes and tools
/// that do not have it: then hot paths must keep barriers of their own.
[[nodiscard]] bool process_barrier_available() noexcept;

/// When it returns, every other thread of the process has executed a full barrier since the call. Only after
/// process_barrier_available() said yes.
void process_barrier() noexcept;

}  // namespace gpa::detail
