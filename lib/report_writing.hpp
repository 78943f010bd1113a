// JSON documents that GPA_OPTIONS asks for: of one resource at its end, of all at exit and on a signal.
//
// Thread-safe; no lock is held while names are looked up and files are written.
#pragma once

#include <string_view>

namespace gpa::detail {

struct document;

/// Looks up its names and writes it. 0, or an errno. Throws std::bad_alloc.
[[nodiscard]] int write_document(document& d, std::string_view path);

/// Writes those of all resources that are alive, if `report_path` is set.
void write_all_reports(std::string_view reason) noexcept;

/// With `report_signal=1` SIGUSR2 writes all reports from now on; asked for by whoever makes a resource.
///
/// The handler only wakes a thread of ours, which does the work: nothing else may be done in a handler. The thread
/// takes no signals. A program that has a handler of its own keeps it, and is told so. The child of a fork has no such
/// thread: there the signal does nothing.
void answer_report_signal() noexcept;

}  // namespace gpa::detail
