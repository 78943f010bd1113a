// Walks the calling thread's stack by unwind rules, and notes what must be the same for the same stack to stand there
// again.
//
// It reads the words that libgcc's unwinder would read, in the same order, so it can fault no sooner. Where a rule is
// unknown, or a frame does not lie above the one before, it gives up and libgcc is asked.
//
// A frame's place is a function of the frames inside it: of their return addresses, and of rbp where a rule goes by
// it. So a layout that lists, from the innermost outward, where each return address stood and what rbp was wherever it
// mattered, decides exactly: if each of these words is found again, so would the whole walk be.
//
// What the C library put below main() needs no words but the innermost: __libc_start_call_main is called by
// __libc_start_main alone, that by _start alone, and all three stand there from the program's begin to its end. Threads and
// fibers begin in more than one way.
//
// Not thread-safe: a walk is its caller's.
#pragma once

#include "trace/capture.hpp"
#include "trace/unwind_rule.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace gpa::detail {

/// Where a capture starts: what its caller's registers hold once the call returns.
struct call_site {
  std::uintptr_t sp;
  std::uintptr_t pc;
  std::uintptr_t bp;
};

/// A module that must be in its place before the words from `before` on are looked at.
struct module_stop {
  std::uintptr_t pc;  // in it
  std::uint16_t module;
  std::uint16_t before;
};

struct stack_layout {
  // Each frame's return address, and a saved rbp for each of code without optimisation.
  static constexpr std::size_t most_words = 2 * (max_stack_frames + most_own_frames);
  static constexpr std::size_t most_stops = 8;

  std::uint16_t count;
  std::uint16_t stop_count;
  std::array<std::uintptr_t, most_words> values;  // addresses, of 48 bits
  std::array<std::uint16_t, most_words> places;  // where each stands, in words from the base; from the innermost outward
  std::array<module_stop, most_stops> stops;

  /// What places count from: where a function that asked for its frame's address saved rbp, below its return address.
  [[nodiscard]] static constexpr std::uintptr_t base_of(std::uintptr_t sp) noexcept
  {
    return sp - 2 * sizeof(std::uintptr_t);
  }
  [[nodiscard]] static std::uintptr_t sp_of(const std::uintptr_t* base) noexcept
  {
    return reinterpret_cast<std::uintptr_t>(base + 2);
  }
  static constexpr std::uint16_t place_of_pc = 1;  // of the call site's return address
};

struct walked_stack {
  std::size_t count;
  bool fits;  // the layout says it all; else such a stack is walked each time
  bool cut;   // there were more frames, from `rest` on
  call_site rest;
  std::array<std::uintptr_t, max_stack_frames> frames;
  stack_layout layout;
};

/// The frames of a thread's last walk with their rules. The next stack mostly has the same frames in the same places,
/// and a rule found by its place costs the walk no wait for the return address. All zero at first.
struct walk_memory {
  struct frame {
    std::uintptr_t slot;
    std::uintptr_t pc;
    unwind_rule rule;
  };
  struct frame_list {
    std::array<frame, max_stack_frames + most_own_frames> frames;
    std::size_t count;
  };

  std::array<frame_list, 2> lists;  // the last walk's and the one going on
  std::uint8_t last;
  bool busy;  // a signal handler that walks meanwhile does without
};

/// Walks from `from` and keeps at most `limit` frames from the return address `caller` on. False when it gave up;
/// then `out` is void. `memory` may be null.
[[nodiscard]] bool walk_stack(const call_site& from, std::uintptr_t caller, std::size_t limit, walk_memory* memory,
                              walked_stack& out) noexcept;

/// Whether a walk that was cut would reach the outermost frame by rules, which never lead through a signal handler's. False
/// as well when it is very far.
[[nodiscard]] bool leads_to_the_end(const call_site& rest) noexcept;

}  // namespace gpa::detail
