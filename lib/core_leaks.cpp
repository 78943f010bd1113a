// What a resource tells of leaks: at its end, when asked, at exit.
#include "base/no_cancellation.hpp"
#include "base/tools.hpp"
#include "checked/fill.hpp"
#include "checked/leak_groups.hpp"
#include "checked/poison.hpp"
#include "core.hpp"
#include "environment.hpp"
#include "leak_filter.hpp"
#include "leak_twins.hpp"
#include "os/threads.hpp"
#include "output.hpp"
#include "trace/format.hpp"

#include <algorithm>
#include <new>
#include <span>
#include <string_view>

namespace gpa::detail {

namespace {

constexpr std::size_t preview_bytes = 16;

std::size_t not_negative(std::int64_t n) noexcept
{
  return n > 0 ? static_cast<std::size_t>(n) : 0;
}

// Owned blocks that have no report of their own share the fate of their owners.
void leave_out(const gpa::report& r, bool with_owned, std::size_t& blocks, std::size_t& bytes) noexcept
{
  blocks += r.blocks + (with_owned ? r.owned_blocks : 0);
  bytes += r.total_bytes + (with_owned ? r.owned_bytes : 0);
}

suppression_use& use_of(std::string_view pattern, list_of<suppression_use>& used)
{
  const auto same = [pattern](const suppression_use& u) { return u.pattern == pattern; };
  const auto found = std::find_if(used.begin(), used.end(), same);
  return found != used.end() ? *found : used.emplace_back(suppression_use{.pattern = pattern});
}

}  // namespace

// How the first block begins, if anything was written there.
void core::keep_contents(gpa::report& r) noexcept
{
  const tools_quiet quiet;
  const auto place = std::as_writable_bytes(std::span(r.memory.bytes).first<preview_bytes>());
  r.memory.count = checked_.copy_live(r.address, place);
  tools_open(place.data(), place.size());  // what the user never wrote is told all the same
  const auto held = std::span(r.memory.bytes).first(r.memory.count);
  const auto untouched = [](std::uint8_t b) {
    return b == poison_byte || b == redzone_byte;
  };  // of an earlier, smaller block
  if (std::all_of(held.begin(), held.end(), untouched)) r.memory.count = 0;
}

gpa::report core::leak_report(const leak_group& g) noexcept
{
  gpa::report r;
  r.kind = mistake::leak;
  r.resource = options_.name;
  r.address = g.first.address;
  r.bytes = g.first.bytes;
  r.alignment = g.first.alignment;
  r.blocks = g.own.blocks;
  r.total_bytes = g.own.bytes;
  r.owned_blocks = g.owned.blocks;
  r.owned_bytes = g.owned.bytes;
  r.last = g.last;
  r.allocated = gpa::stack_trace(g.first.trace, g.first.thread);
  r.here = gpa::stack_trace(0, this_thread_number());
  if (g.is_owned) r.reason = "owned: other leaked blocks point at these";
  if (numbered_) r.number = numbers_.of(r.address);
  if (numbered_) r.last_number = numbers_.of(r.last);
  return r;
}

bool core::peak_is_exact(const totals& t) const noexcept
{
  return !options_.thread_safe || always_limited_.load(std::memory_order_relaxed) ||
         (profile_.has_value() && options_.checks.is_always()) ||
         peak_bytes_.load(std::memory_order_relaxed) == t.all_bytes;  // nobody had more
}

void core::tell_totals(const totals& t) noexcept
{
  text line;
  const auto s = [](std::size_t n) { return n == 1 ? "" : "s"; };
  absl::Format(&line,
               "gpa: resource \"%s\": %d allocation%s of %d byte%s in all, peak %s%d bytes, %d bytes live at the end\n",
               options_.name, t.all_blocks, s(t.all_blocks), t.all_bytes, s(t.all_bytes), peak_is_exact(t) ? "" : "at least ",
               peak_bytes_.load(std::memory_order_relaxed), not_negative(t.live_bytes));
  write_out(line, options_.name);
}

std::size_t core::tell_leaks(leak_occasion occasion) noexcept
{
  const settings& wishes = environment_settings();
  if (const totals now = sum();
      is_end(occasion) && now.live_blocks == 0 && now.unchecked_blocks == 0 && forks_ == 0) {
    // Nobody else is inside any more, so the sum is exact: nothing to look for, or to be dressed for a terminal.
    note_peak(now);
    log_.forget_leaks();
    if (wishes.stats) tell_totals(now);
    return 0;
  }
  leak_groups groups(wishes.owned);
  {
    const tools_quiet quiet;  // memory that the program has not written is read
    checked_.find_leaks(groups, occasion == leak_occasion::exit);
  }
  const totals t = sum();
  note_peak(t);
  log_.forget_leaks();
  leak_teller teller(options_, wishes.leaks || occasion == leak_occasion::scan);
  leak_summary s;
  list_of<suppression_use> used;
  try {
    list_of<leak_group> places = groups.sorted();
    merge_twins(places);
    for (const leak_group& g : places) {
      gpa::report r = leak_report(g);
      const leak_verdict v = fate_of(r);
      switch (v.fate) {
        case leak_fate::told:
          if (wishes.contents && teller.will_show()) keep_contents(r);
          teller.tell(r);
          log_.add_leak(r);
          break;
        case leak_fate::suppressed: {
          leave_out(r, !wishes.owned, s.suppressed_blocks, s.suppressed_bytes);
          suppression_use& use = use_of(v.pattern, used);
          leave_out(r, !wishes.owned, use.blocks, use.bytes);
          break;
        }
        case leak_fate::known: leave_out(r, !wishes.owned, s.known_blocks, s.known_bytes); break;
      }
    }
  } catch (const std::bad_alloc&) {
    // The totals below are right all the same.
  }
  const std::size_t unchecked = not_negative(t.unchecked_blocks - inherited_blocks_);
  const std::size_t unchecked_bytes = unchecked == 0 ? 0 : not_negative(t.unchecked_bytes - inherited_bytes_);
  if (unchecked != 0) {
    gpa::report r;
    r.kind = mistake::leak;
    r.resource = options_.name;
    r.reason = !options_.checks.is_never() ? "blocks that were not sampled: totals only"
               : options_.environment == environment::ignored
                   ? "checks::never(), the default under NDEBUG, keeps totals only"
                   : "checks::never(), the default under NDEBUG, keeps totals only; GPA_OPTIONS=checks=always has all checked";
    r.blocks = unchecked;
    r.total_bytes = unchecked_bytes;
    r.bytes = r.total_bytes / r.blocks;
    teller.tell(r);
    log_.add_leak(r);
  }
  s.resource = options_.name;
  s.blocks = groups.leaked().blocks - s.suppressed_blocks - s.known_blocks + unchecked;
  s.bytes = groups.leaked().bytes - s.suppressed_bytes - s.known_bytes + unchecked_bytes;
  s.reachable_blocks = groups.reachable().blocks;
  s.reachable_bytes = groups.reachable().bytes;
  s.peak_bytes = peak_bytes_.load(std::memory_order_relaxed);
  s.peak_is_exact = peak_is_exact(t);
  s.total_blocks = t.all_blocks;
  s.at_exit = occasion == leak_occasion::exit;
  s.upstream_gone = is_end(occasion) && !supply_.from_system();
  s.still_usable = is_end(occasion) && supply_.from_system();
  s.destroyed = occasion == leak_occasion::destruction;
  if (wishes.print_suppressions) s.suppressions_used = used;
  teller.finish(s);
  if (wishes.stats && occasion != leak_occasion::scan) tell_totals(t);
  return s.blocks;
}

std::size_t core::detect_leaks() noexcept
{
  if (life_.load(std::memory_order_relaxed) != life::alive) return 0;
  const no_cancellation steady;
  return tell_leaks(leak_occasion::scan);
}

void core::report_at_exit() noexcept
{
  if (life_.load(std::memory_order_relaxed) != life::alive) return;  // deinit() has told all
  const tools_quiet quiet;
  if (tell_leaks(leak_occasion::exit) != 0) demand_exit_status(options_.leak_exit_status);
  tell_unshown();
}

}  // namespace gpa::detail
