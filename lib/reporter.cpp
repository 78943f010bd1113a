#include "reporter.hpp"

#include "base/attributes.hpp"
#include "trace/format.hpp"

#include <algorithm>
#include <cstdlib>
#include <exception>

// Out of line and not to be folded away: a debugger must find it, and the program may define nothing in its place.
extern "C" GPA_NOINLINE void gpa_on_mistake()
{
  asm volatile("" ::: "memory");
}

namespace gpa::detail {

namespace {

void write_text(const gpa::report& r) noexcept
{
  text whole;
  append_report(whole, r);
  whole.write_to_stderr();
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

void reporter::tell(const gpa::report& r) noexcept
{
  gpa_on_mistake();
  mistakes_.fetch_add(1, std::memory_order_relaxed);
  const std::size_t before = told_[static_cast<std::size_t>(r.kind)].fetch_add(1, std::memory_order_relaxed);
  const bool fatal = options_.after_mistake == after_mistake::abort;
  const bool written = fatal || (!options_.on_report && before < most_reports);
  if (written) write_text(r);
  if (options_.on_report) call_handler(options_, r, written);
  if (fatal) std::abort();
}

void reporter::tell_leaks(std::span<const gpa::report> groups, const leak_summary& summary) noexcept
{
  if (groups.empty() && summary.reachable_blocks == 0) return;
  gpa_on_mistake();
  if (options_.on_report) {
    for (const gpa::report& r : groups) call_handler(options_, r, false);
    return;
  }
  text whole;
  leak_summary closing = summary;
  closing.groups_shown = std::min(groups.size(), most_reports);
  for (const gpa::report& r : groups.first(closing.groups_shown)) append_report(whole, r);
  append_leak_summary(whole, closing);
  whole.write_to_stderr();
}

void reporter::tell_unshown() noexcept
{
  if (options_.on_report) return;
  text whole;
  for (std::size_t kind = 0; kind != mistake_kinds; ++kind) {
    const std::size_t told = told_[kind].exchange(0, std::memory_order_relaxed);
    if (told > most_reports)
      absl::Format(&whole, "gpa: resource \"%s\": %d more reports of %s were not shown\n", options_.name,
                   told - most_reports, to_string(static_cast<mistake>(kind)));
  }
  if (!whole.empty()) whole.write_to_stderr();
}

[[noreturn]] void tell_of_unknown_resource(const gpa::report& r) noexcept
{
  gpa_on_mistake();
  write_text(r);
  std::abort();
}

}  // namespace gpa::detail
