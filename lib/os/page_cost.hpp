// What moving pages costs on this machine.
#pragma once

namespace gpa::detail {

/// Whether a page that was moved takes microseconds until it is there again. On hardware, and in most virtual machines, it
/// takes a tenth of one. Where the hypervisor keeps page tables of its own in step with ours (a virtual machine inside
/// another one, often) each page costs two exits: 4 to 10 microseconds. Measured when first asked, which takes 15
/// microseconds in the first case and half a millisecond in the second; false where it cannot be. Thread-safe.
[[nodiscard]] bool moving_pages_is_dear() noexcept;

}  // namespace gpa::detail
