// Which instructions this CPU has and the system lets us use, as the loader found at the program's start: to ask the CPU
// again takes 10 to 20 microseconds in a virtual machine, whose `cpuid` goes by way of the host.
#pragma once

namespace gpa::detail {

[[nodiscard]] bool cpu_has_avx2() noexcept;
/// AVX-512 with instructions for bytes and for half-precision numbers: why these, says checked/avx512_moves.hpp.
[[nodiscard]] bool cpu_has_avx512_fp16() noexcept;

/// The same as cpu_has_avx2() without a call; false for what runs before this library was initialized.
extern const bool cpu_is_known_to_have_avx2;

}  // namespace gpa::detail
