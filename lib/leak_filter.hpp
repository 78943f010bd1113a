// Which leaks are told: those that no suppression matches and the baseline does not know.
//
// The files that GPA_OPTIONS names are read once, when the first resource is made; with `strict=1` what is wrong with
// them ends the process. Without any, no stack is named for this.
//
// Thread-safe.
#pragma once

#include <gpa/report.hpp>

#include <cstdint>
#include <string_view>

namespace gpa::detail {

enum class leak_fate : std::uint8_t { told, suppressed, known };

struct leak_verdict {
  leak_fate fate = leak_fate::told;
  std::string_view pattern;  // that suppressed it; for the life of the process
};

/// The files, unless they were read already.
void read_leak_filter() noexcept;

/// Also appends a leak that is told to the baseline that is being written, each stack once a process. No lock may be
/// held: names are looked up. Never throws: without memory a leak is told.
[[nodiscard]] leak_verdict fate_of(const gpa::report& leak) noexcept;

/// For fork.
void leak_filter_lock() noexcept;
void leak_filter_unlock() noexcept;

}  // namespace gpa::detail
