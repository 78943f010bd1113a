// SIGUSR2 writes reports, if GPA_OPTIONS asks for that.
//
// Thread-safe.
#pragma once

namespace gpa::detail {

/// With `report_signal=1` SIGUSR2 writes all reports from now on; asked for by whoever makes a resource.
///
/// The handler only wakes a thread of ours, which does the work: nothing else may be done in a handler. The thread
/// takes no signals. A program that has a handler of its own keeps it, and is told so. The child of a fork has the
/// handler, and gets a thread when the program's own handlers have run; not under ThreadSanitizer, which has children of
/// several threads begin none.
void answer_report_signal() noexcept;

}  // namespace gpa::detail
