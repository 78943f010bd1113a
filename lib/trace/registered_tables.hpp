// Unwind tables of code that has none where the linker puts them, as libgcc knows them (__register_frame).
//
// Of programs that g++ links with -static, whose start-up code registers them, and of code that a program writes
// itself: LLVM registers tables for it, V8's and Java's compilers do not.
//
// Thread-safe. libgcc takes a lock of its own if there are any such tables, as it does when it walks a stack itself.
#pragma once

#include <cstdint>
#include <optional>

namespace gpa::detail {

/// Where the entry (FDE) of the function around `code` stands; 0 if libgcc has none. Empty if it cannot be asked.
[[nodiscard]] std::optional<std::uintptr_t> registered_entry(std::uintptr_t code) noexcept;

}  // namespace gpa::detail
