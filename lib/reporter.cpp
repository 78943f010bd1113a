#include "reporter.hpp"

#include "base/attributes.hpp"
#include "environment.hpp"
#include "output.hpp"
#include "trace/format.hpp"

#include <csignal>
#include <cstdlib>
#include <exception>

// Out of line and not to be folded away: a debugger must find it, and the program may define nothing in its place.
extern "C" GPA_NOINLINE void gpa_on_mistake()
{
  asm volatile("" ::: "memory");
}

namespace gpa::detail {

namespace {

void write_text(const gpa::report& r, std::string_view then = {}) noexcept
{
  text annotations;
  append_wanted_annotation(annotations, r);
  text whole;
  append_report(whole, r, style_of_output());
  whole.append(then);
  write_out(annotations, whole, r.resource);
}

// Before an abort, if nobody else has a say: a handler may leave, and then it would not be true.
std::string_view what_comes_next(const gpa::options& o) noexcept
{
  if (o.after_mistake != after_mistake::abort || o.on_report) return {};
  return o.environment == environment::ignored
             ? "note: the program is aborted; with after_mistake = carry_on it would go on\n"
             : "note: the program is aborted; with GPA_OPTIONS=after_mistake=carry_on it would go on\n";
}

// A handler has no way to throw out of a free, so its exception ends the program, the report in plain sight.
void call_handler(const gpa::options& o, const gpa::report& r, bool written) noexcept
{
  try {
    o.on_report(r);
  } catch (...) {
    if (!written) write_text(r);
    std::terminate();
  }
}

}  // namespace

bool reporter::tell(const gpa::report& r) noexcept
{
  gpa_on_mistake();
  mistakes_.fetch_add(1, std::memory_order_relaxed);
  const std::size_t before = told_[static_cast<std::size_t>(r.kind)].fetch_add(1, std::memory_order_relaxed);
  const bool fatal = options_.after_mistake == after_mistake::abort;
  const bool written = fatal || (!options_.on_report && before < environment_settings().max_reports);
  if (written) write_text(r, what_comes_next(options_));
  if (options_.on_report) call_handler(options_, r, written);
  return fatal;
}

bool leak_teller::will_show() const noexcept
{
  return wanted_ && (options_.on_report || shown_ < environment_settings().max_reports);
}

void leak_teller::tell(const gpa::report& group) noexcept
{
  if (!wanted_) return;
  if (told_++ == 0) gpa_on_mistake();
  if (options_.on_report) {
    call_handler(options_, group, false);
  } else if (will_show()) {
    style_.lines_hint = shown_++ == 0;
    append_wanted_annotation(annotations_, group);
    append_report(whole_, group, style_);
  }
}

void leak_teller::finish(leak_summary summary) noexcept
{
  const std::size_t not_counted = summary.reachable_blocks + summary.suppressed_blocks + summary.known_blocks;
  if (!wanted_ || options_.on_report || (told_ == 0 && summary.blocks == 0 && not_counted == 0)) return;
  summary.groups = told_;
  summary.groups_shown = shown_;
  append_leak_summary(whole_, summary, style_);
  write_out(annotations_, whole_, options_.name);
}

void reporter::tell_unshown(std::size_t limits) noexcept
{
  text whole;
  const std::size_t most = environment_settings().max_reports;
  const auto count = [&](std::size_t told, std::string_view kind) {
    if (told > most)
      absl::Format(&whole, "gpa: resource \"%s\": %d more report%s of %s %s not shown\n", options_.name, told - most,
                   told - most == 1 ? "" : "s", kind, told - most == 1 ? "was" : "were");
  };
  for (std::size_t kind = 0; kind != mistake_kinds && !options_.on_report; ++kind)
    count(told_[kind].exchange(0, std::memory_order_relaxed), to_string(static_cast<mistake>(kind)));
  count(limits, "memory limit");
  if (!whole.empty()) write_out(whole, options_.name);
}

void tell_of_fault(const gpa::report& r, int signal) noexcept
{
  gpa_on_mistake();
  write_text(r, signal == SIGBUS ? "note: the program ends by SIGBUS, as it would without gpa\n"
                                 : "note: the program ends by SIGSEGV, as it would without gpa\n");
}

[[noreturn]] void tell_of_unknown_resource(const gpa::report& r) noexcept
{
  gpa_on_mistake();
  write_text(r);
  std::abort();
}

}  // namespace gpa::detail
