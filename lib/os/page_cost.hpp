// What moving pages costs on this machine.
#pragma once

namespace gpa::detail {

/// Whether the first touch of a page that was moved takes a microsecond or more. On hardware, and in most virtual
/// machines, it takes a tenth of one. Where the hypervisor keeps page tables of its own in step with ours (a virtual
/// machine inside another one, often) it leaves the machine: 4 microseconds, and as much again for the move. Measured
/// when first asked, which takes 20 microseconds in the first case and half a millisecond in the second; false where it
/// cannot be. Thread-safe.
[[nodiscard]] bool moving_pages_is_dear() noexcept;

}  // namespace gpa::detail
