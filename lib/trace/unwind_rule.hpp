// How to get from a frame to its caller's, as .eh_frame says it for one return address, in eight bytes.
//
// Nearly all compiled code needs no more than this: the canonical frame address (CFA, the stack pointer before the
// call) is the stack pointer, the frame pointer, or a word the frame pointer points at (a realigned frame of g++),
// plus a constant; the return address lies just below it; the caller's rbp is untouched or saved at a constant
// distance. Everything else (signal frames, other DWARF expressions, other base registers, tables we do not know) is
// `unknown`, and such a stack is left to libgcc's unwinder.
//
// Reading never leaves what the module's file maps readable, whatever the tables say.
//
// Thread-safe: no state.
#pragma once

#include "trace/code_image.hpp"

#include <bit>
#include <cstdint>

namespace gpa::detail {

enum class cfa_base : std::uint8_t {
  unknown,  // ask libgcc
  end,      // no caller: the outermost frame, or code without tables, where libgcc ends too
  sp,       // CFA = rsp + offset
  bp,       // CFA = rbp + offset
  at_bp,    // CFA = the word at rbp + offset
};

inline constexpr unsigned module_bits = 12;

struct unwind_rule {
  std::int32_t offset = 0;
  std::int16_t bp_place = 0;               // where the caller's rbp was saved, in words from the CFA or from rbp
  std::uint16_t base : 3 = 0;              // cfa_base
  std::uint16_t bp_moved : 1 = 0;          // saved; else the caller has the same rbp
  std::uint16_t module : module_bits = 0;  // which module must still be there: see rule_cache.hpp

  [[nodiscard]] cfa_base how() const noexcept { return static_cast<cfa_base>(base); }
};
static_assert(sizeof(unwind_rule) == 8);

/// The rule of the call that returns to `pc`, a return address in `image`. O(log functions + instructions).
[[nodiscard]] unwind_rule read_rule(const code_image& image, std::uintptr_t pc) noexcept;

}  // namespace gpa::detail
