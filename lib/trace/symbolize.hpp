// Return addresses in, named frames out: functions with inlined ones, file, line, column, module.
//
// One set of opened debug information is kept between reports, because opening costs more than asking. Whoever reports
// takes it out of an atomic pointer and puts it back; another who finds the place empty opens a set for himself. So no
// lock is held while names are looked up, whatever they call. The set is opened anew when libraries were loaded or
// unloaded since. What was asked before is answered from memory, up to `remembered_addresses`.
//
// A fork copies memory page by page while other threads write: a set that is put back meanwhile may reach the child as a
// new pointer to what was there before. So a fork takes out the set that is at rest, and the child has that one or none.
//
// Without libdw: names from the modules' own symbol tables, modules and offsets. Libraries get exported names (dladdr) in
// any case.
//
// Thread-safe.
#pragma once

#include "trace/frame.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace gpa::detail {

inline constexpr std::size_t remembered_addresses = 16'384;

/// The frames of a stack, innermost first. A return address points behind its call: what is named is the byte before.
/// An address of no module gives a frame with an address alone. Throws std::bad_alloc.
[[nodiscard]] frame_list symbolize(std::span<const std::uintptr_t> return_addresses);

/// For fork: before it, after it in the parent, and in the child. The last two put back what the first has taken.
[[nodiscard]] void* take_symbols_at_rest() noexcept;
void put_back_symbols(void* taken) noexcept;
void keep_only_symbols(void* taken) noexcept;

}  // namespace gpa::detail
