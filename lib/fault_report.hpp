// SIGSEGV says why, if gpa knows: the address is a freed block's, or a pointer that gpa's own bytes were taken for.
//
// Thread-safe.
#pragma once

#include <gpa/report.hpp>

#include <cstdint>
#include <optional>
#include <span>

namespace gpa::detail {

/// Asked for by the first call of a resource with checks: from now on a fault is told on stderr before it ends the
/// process as it would have, by its signal, at the same instruction and with the same core dump. Nothing is changed
/// where the program, or a sanitizer, handles the signal by then, or where GPA_OPTIONS says `explain_faults=0`.
///
/// The handler works in the thread that faulted, on a stack of ours, with other signals blocked, and looks up names: no
/// more can go wrong in a process that is about to end, but for a lock that this thread holds. No thread that is in gpa
/// touches an inaccessible block, so it holds none of ours. One in malloc may follow poison that was written over
/// malloc's own lists: then the process ends half a minute later.
void explain_faults() noexcept;

/// What there is to say of an access to `address`, still without a place. Nothing: it is no freed block's.
[[nodiscard]] std::optional<gpa::report> report_of_access(const void* address, bool writes) noexcept;

/// The same where the address was none at all, as x86-64 says by another kind of fault, and one of these was followed.
[[nodiscard]] std::optional<gpa::report> report_of_poison(std::span<const std::uintptr_t> pointers) noexcept;

}  // namespace gpa::detail
