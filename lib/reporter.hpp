// Telling the user: the hook to break on, the handler, the text to stderr, and what comes after.
//
// At most `max_reports` texts of a kind are written (GPA_OPTIONS; 20), then they are counted and the count is told at
// deinit(). A handler gets every report. No lock is held while any of this runs.
//
// Thread-safe.
#pragma once

#include <gpa/options.hpp>
#include <gpa/report.hpp>

#include "os/text.hpp"
#include "output.hpp"
#include "trace/report_text.hpp"

#include <array>
#include <atomic>
#include <cstddef>

namespace gpa::detail {

inline constexpr std::size_t mistake_kinds = static_cast<std::size_t>(mistake::accidental_default) + 1;

class reporter {
 public:
  explicit reporter(const gpa::options& o) noexcept : options_(o) {}

  /// A mistake that is no leak. True: the process is to abort.
  [[nodiscard]] bool tell(const gpa::report& r) noexcept;
  /// One line for each kind of which texts were not shown; of `limits` refusals by the memory limit, too.
  void tell_unshown(std::size_t limits) noexcept;

  [[nodiscard]] std::size_t mistakes() const noexcept { return mistakes_.load(std::memory_order_relaxed); }

 private:
  const gpa::options& options_;
  std::atomic<std::size_t> mistakes_{0};
  std::array<std::atomic<std::size_t>, mistake_kinds> told_{};
};

/// Leaks, one report a group, as they are looked up; the summary below them. To a handler one by one, to stderr in one
/// write. Never aborts.
class leak_teller {
 public:
  /// Only counts unless `wanted`.
  leak_teller(const gpa::options& o, bool wanted) noexcept : options_(o), wanted_(wanted), style_(style_of_output()) {}

  /// Whether the next one will be shown: beyond `max_reports` they are only counted.
  [[nodiscard]] bool will_show() const noexcept;
  void tell(const gpa::report& group) noexcept;
  void finish(leak_summary summary) noexcept;

 private:
  const gpa::options& options_;
  const bool wanted_;
  report_style style_;
  std::size_t told_ = 0;
  std::size_t shown_ = 0;
  text annotations_;
  text whole_;
};

/// A mistake about a resource nobody remembers: the text, then abort, as the default options say.
[[noreturn]] void tell_of_unknown_resource(const gpa::report& r) noexcept;

/// A fault, which ends the program by `signal`: the text, and no handler of the user's, as this is in one of signals.
void tell_of_fault(const gpa::report& r, int signal) noexcept;

/// A process that would return 0 returns `status` instead. 0 is ignored.
void demand_exit_status(int status) noexcept;
/// In the child of a fork: what was demanded for the parent's leaks is no affair of its.
void forget_demanded_exit_status() noexcept;
/// Asked early, where a resource may demand a status at its end: from then on the program's own status is known.
void watch_exit_status(int status) noexcept;

}  // namespace gpa::detail
