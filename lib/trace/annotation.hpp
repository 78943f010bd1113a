// One line for GitHub Actions, which shows it beside the source line of a pull request:
//
//   ::error file=src/cache.cpp,line=18,col=34,title=gpa-leak::leak of 720 bytes in 10 blocks
#pragma once

#include <gpa/report.hpp>

#include "os/text.hpp"
#include "trace/report_text.hpp"

#include <string_view>

namespace gpa::detail {

/// File names are made relative to `workspace`, the checked out repository; where that is empty, to the current
/// directory. Without debug information the line has no place. Never throws: where memory is refused nothing is added.
void append_annotation(text& out, const gpa::report& r, std::string_view workspace) noexcept;
void append_annotation(text& out, const gpa::report& r, std::string_view workspace, stack_teller tell) noexcept;

}  // namespace gpa::detail
