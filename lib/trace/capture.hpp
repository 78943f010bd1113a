// The door to the unwinder: the call stack of the calling thread, as a depot number.
//
// Needs no frame pointers and takes no lock. Three answers, in order of price: the stack this thread found here before,
// looked at again (stack_cache.hpp, 3 to 20 ns); a walk by the rules of .eh_frame (stack_walk.hpp, 0.1 to 0.8
// microseconds); libgcc's unwinder, for what the rules do not cover (one to four microseconds). All three name the same
// frames. Exceptions go through nothing of this.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gpa::detail {

inline constexpr std::size_t max_stack_frames = 64;
inline constexpr std::size_t most_own_frames = 16;  // of gpa's between its front door and capture_stack(), at -O0

/// No address has it: what stands for a caller is the number of a stack.
inline constexpr std::uintptr_t captured_mark = std::uintptr_t{1} << 63;

/// Captures at most `frames` return addresses, beginning with `caller`: the return address of gpa's front door,
/// so that our own frames never show. When the walk does not meet it, the stack begins with our own frames, which are
/// left out by name when it is shown, and is up to `most_own_frames` longer, so that they cost the user none of his.
/// A null `caller` is not looked for: what called this comes first. One that as_caller() made is the answer. 0 when `frames` is 0 or nothing could be captured.
/// Never throws, holds no lock of ours. Thread-safe.
[[nodiscard]] std::uint32_t capture_stack(std::size_t frames, const void* caller) noexcept;

/// In place of a caller, for those behind the front door: the stack is known already.
[[nodiscard]] inline const void* as_caller(std::uint32_t trace) noexcept
{
  return reinterpret_cast<const void*>(captured_mark | trace);
}

}  // namespace gpa::detail
