// A capture by the front door itself, whose frame lies next to the user's: the stack that stood there last is looked at
// in line, without a call.
#pragma once

#include "trace/stack_cache.hpp"

namespace gpa::detail {

/// Where the function this becomes part of keeps its caller's rbp: rbp says so, if asked where it is wanted.
struct own_frame {
  [[gnu::always_inline]] operator const std::uintptr_t*() const noexcept
  {
    return static_cast<const std::uintptr_t*>(__builtin_frame_address(0));
  }
};

/// Whether the function this becomes part of was called by `caller` itself: by a jump from the front door, as in
/// optimised code.
[[nodiscard, gnu::always_inline]] inline bool is_own_caller(const void* caller) noexcept
{
  // Compilers would keep what they compared in a register that is wanted for something else.
  const std::uintptr_t* const frame = own_frame();
  bool same = false;
  asm("cmpq %2, %1" : "=@cce"(same) : "m"(frame[stack_layout::place_of_pc]), "r"(caller));
  return same;
}

/// The stack of whoever called the function this becomes part of, if it is the one found last at this place; else 0,
/// and nothing was done. `frames` is at most max_stack_frames.
[[nodiscard, gnu::always_inline]] inline std::uint32_t stack_seen_here(std::size_t frames) noexcept
{
  stack_cache* const known = my_stacks;
  if (reinterpret_cast<std::uintptr_t>(known) <= 1) [[unlikely]] return 0;
  return known->find_at_once(own_frame(), frames);
}

/// The same stack, whatever it takes; of a function that was called instead of inlined, as capture_stack() would.
[[nodiscard, gnu::always_inline]] inline std::uint32_t stack_from_here(std::size_t frames, const void* caller) noexcept
{
  const std::uintptr_t* const frame = own_frame();
  return capture_from({reinterpret_cast<std::uintptr_t>(frame + 2), frame[1], frame[0]},
                      reinterpret_cast<std::uintptr_t>(caller), frames);
}

}  // namespace gpa::detail
