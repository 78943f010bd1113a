// The modules that code on captured stacks lay in and that may be gone when the stacks are told: a plugin's leak is told
// at the end of the program, when the plugin was unloaded long ago, and perhaps another one stands in its place.
//
// Noted where an address is met for the first time and its unwind rule is read, which is rare; never on a known stack.
// Kept for ever: 96 bytes and the path of each, a thousand at most (of later ones the addresses remain). The program
// itself, gpa and the C and C++ libraries are never noted, as they cannot go.
//
// Thread-safe.
#pragma once

#include "trace/code_image.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace gpa::detail {

inline constexpr std::size_t most_met_modules = 1'024;
inline constexpr std::size_t most_id_bytes = 32;

struct met_module {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  std::uintptr_t base = 0;     // what the loader added to the addresses in the file
  std::string_view path = {};  // as the loader knew it; ends in a null behind it
  std::size_t id_bytes = 0;
  std::array<std::byte, most_id_bytes> id = {};

  [[nodiscard]] std::span<const std::byte> build_id() const noexcept { return std::span(id).first(id_bytes); }
};

/// `image` is around `pc`, a return address on the calling thread's stack. No lock once the module is known.
void note_module(const code_image& image, std::uintptr_t pc) noexcept;

/// The modules noted so far, by number from 0 on; null beyond the last, and of one that is being noted just now.
[[nodiscard]] std::size_t met_module_count() noexcept;
[[nodiscard]] const met_module* met_module_of(std::size_t number) noexcept;

}  // namespace gpa::detail
