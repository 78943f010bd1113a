// What GPA_OPTIONS=report_limit=1 tells when the memory limit refuses an allocation.
#include "trace/limit_text.hpp"

#include "base/no_cancellation.hpp"
#include "checked/leak_groups.hpp"
#include "core.hpp"
#include "environment.hpp"
#include "os/threads.hpp"
#include "output.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <span>

namespace gpa::detail {

namespace {

constexpr std::size_t most_sites = 3;

}  // namespace

void core::tell_limit(std::size_t bytes, const void* caller) noexcept
{
  const settings& wishes = environment_settings();
  if (!wishes.report_limit || limits_told_.fetch_add(1, std::memory_order_relaxed) >= wishes.max_reports) return;
  const no_cancellation steady;
  leak_groups groups;
  checked_.collect_live(groups);
  std::array<limit_site, most_sites> sites;
  std::size_t shown = 0, all = 0;
  try {
    const auto sorted = groups.sorted();
    all = sorted.size();
    shown = std::min(all, most_sites);
    for (std::size_t i = 0; i != shown; ++i)
      sites[i] = {gpa::stack_trace(sorted[i].first.trace, sorted[i].first.thread), sorted[i].own.blocks,
                  sorted[i].own.bytes};
  } catch (const std::bad_alloc&) {
    // The numbers of the headline say most.
  }
  const totals t = sum();
  text whole;
  append_limit_report(whole,
                      {.resource = options_.name,
                       .limit = limit_.bytes(),
                       .in_use = static_cast<std::size_t>(std::max<std::int64_t>(t.live_bytes, 0)),
                       .asked = bytes,
                       .here = gpa::stack_trace(capture(caller), this_thread_number()),
                       .largest = std::span(sites).first(shown),
                       .further_sites = all - shown,
                       .sites_known = !options_.checks.is_never(),
                       .interval = options_.checks.interval()},
                      style_of_output());
  write_out(whole, options_.name);
}

void core::tell_unshown() noexcept { reporter_.tell_unshown(limits_told_.exchange(0, std::memory_order_relaxed)); }

}  // namespace gpa::detail
