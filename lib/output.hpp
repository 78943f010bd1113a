// Where reports and log lines go: stderr, or the file that GPA_OPTIONS=log_path=... names; and how they are dressed
// there.
//
// The file is opened for each text, which is appended in one write: nothing to keep over a fork, or to lose when the
// program closes every descriptor it does not know. The price is some microseconds a text.
//
// Thread-safe.
#pragma once

#include <gpa/report.hpp>

#include "os/text.hpp"
#include "trace/report_text.hpp"

#include <string_view>

namespace gpa::detail {

/// `resource` is whose name "%n" stands for. Where the file cannot be opened or does not take all of it, a warning,
/// once, and stderr.
void write_out(const text& t, std::string_view resource) noexcept;

/// `annotations`, which only mean something on a job's output, go to stderr; before the text where both go there.
void write_out(const text& annotations, const text& t, std::string_view resource) noexcept;

/// As GPA_OPTIONS says, and where that leaves it open, as the place they go to says.
[[nodiscard]] report_style style_of_output() noexcept;

/// The report's line for GitHub Actions, if those are wanted.
void append_wanted_annotation(text& annotations, const gpa::report& r) noexcept;

}  // namespace gpa::detail
