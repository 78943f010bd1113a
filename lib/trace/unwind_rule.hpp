// How to get from a frame to its caller's, as .eh_frame says it for one return address, in eight bytes.
//
// Nearly all compiled code needs no more than this: the canonical frame address (CFA, the stack pointer before the
// call) is the stack pointer, the frame pointer, or a word the frame pointer points at (a realigned frame of g++),
// plus a constant; the return address lies just below it; the caller's rbp is untouched or saved at a constant
// distance. Everything else (signal frames, other DWARF expressions, other base registers, tables we do not know) is
// `unknown`, and such a stack is left to libgcc's unwinder.
//
// Reading never leaves what the module's file maps readable, whatever the tables say. It also notes the module, for names
// after its end (met_modules.hpp).
//
// Thread-safe.
#pragma once

#include "trace/code_image.hpp"

#include <cstdint>

namespace gpa::detail {

enum class cfa_base : std::uint8_t {
  unknown,  // ask libgcc
  end,      // no caller: the outermost frame
  lost,     // code without tables: libgcc ends there, too, and nobody knows what is beyond
  sp,       // CFA = rsp + offset
  bp,       // CFA = rbp + offset
  at_bp,    // CFA = the word at rbp + offset
};

inline constexpr unsigned module_bits = 12;

/// Immutable. One word, so that it is kept and copied as one:
///
///    | module 12 | saved 1 | base 3 | bp_place 16 | offset 32 |
class unwind_rule {
 public:
  constexpr unwind_rule() noexcept = default;
  constexpr unwind_rule(cfa_base base, std::int32_t offset) noexcept
      : word_(static_cast<std::uint32_t>(offset) | std::uint64_t{static_cast<std::uint8_t>(base)} << 48)
  {}

  [[nodiscard]] static constexpr unwind_rule from_word(std::uint64_t word) noexcept
  {
    unwind_rule r;
    r.word_ = word;
    return r;
  }
  [[nodiscard]] constexpr std::uint64_t word() const noexcept { return word_; }

  [[nodiscard]] constexpr unwind_rule with_saved_bp(std::int16_t place) const noexcept
  {
    return from_word(word_ | std::uint64_t{static_cast<std::uint16_t>(place)} << 32 | std::uint64_t{1} << 51);
  }
  [[nodiscard]] constexpr unwind_rule with_module(unsigned module) const noexcept
  {
    return from_word((word_ << module_bits >> module_bits) | std::uint64_t{module} << (64 - module_bits));
  }

  [[nodiscard]] constexpr cfa_base base() const noexcept { return static_cast<cfa_base>(word_ >> 48 & 7); }
  [[nodiscard]] constexpr std::int32_t offset() const noexcept { return static_cast<std::int32_t>(word_); }
  /// Whether the caller's rbp was saved; if not, it is the same.
  [[nodiscard]] constexpr bool saves_bp() const noexcept { return (word_ >> 51 & 1) != 0; }
  /// Where: in words from the CFA or, with cfa_base::at_bp, from rbp.
  [[nodiscard]] constexpr std::int16_t bp_place() const noexcept { return static_cast<std::int16_t>(word_ >> 32); }
  /// Which module must still be there: see rule_cache.hpp.
  [[nodiscard]] constexpr unsigned module() const noexcept
  {
    return static_cast<unsigned>(word_ >> (64 - module_bits));
  }

  friend constexpr bool operator==(const unwind_rule&, const unwind_rule&) noexcept = default;

 private:
  std::uint64_t word_ = 0;
};

/// The rule of the call that returns to `pc`, a return address in `image`, which is empty for code that a program wrote
/// itself. O(log functions + instructions).
[[nodiscard]] unwind_rule read_rule(const code_image& image, std::uintptr_t pc) noexcept;

}  // namespace gpa::detail
