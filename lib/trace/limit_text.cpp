#include "trace/limit_text.hpp"

#include "base/errno_keeper.hpp"
#include "trace/format.hpp"
#include "trace/headline.hpp"

namespace gpa::detail {

namespace {

void append_words(text& out, const limit_report& r)
{
  absl::Format(&out, "memory limit of %d %s reached: %d in use, %d more asked for", r.limit, bytes_word(r.limit),
               r.in_use, r.asked);
}

void append_whole(text& out, const limit_report& r, stack_teller tell, const report_style& style)
{
  const painter paint(out, style.color);
  stack_writer stacks(out, style);
  const told_stack here = tell(r.here);
  stacks.append_location(here);
  paint.put(color::warning, "warning:");
  out.append(" ");
  paint.begin(color::headline);
  append_words(out, r);
  paint.end();
  out.append(" [");
  paint.put(color::warning, "gpa-memory-limit");
  out.append("]\n");
  stacks.append_stack(here);
  for (const limit_site& site : r.largest) {
    const told_stack allocated = tell(site.allocated);
    stacks.append_location(allocated);
    paint.put(color::note, "note:");
    absl::Format(&out, " %d %s in %d %s%s in use, allocated here\n", site.bytes, bytes_word(site.bytes), site.blocks,
                 r.interval > 1 ? "sampled " : "", blocks_word(site.blocks));
    stacks.append_stack(allocated);
  }
  if (r.further_sites != 0)
    absl::Format(&out, "    (and from %d more place%s)\n", r.further_sites, r.further_sites == 1 ? "" : "s");
  if (!r.sites_known) out.append("    checks::never() does not know who holds them\n");
  if (r.interval > 1)
    absl::Format(&out, "    checks::one_in(%d) knows who holds one block in %d: each sampled one stands for about %d\n",
                 r.interval, r.interval, r.interval);
  absl::Format(&out, "    resource \"%s\": the allocation was refused; see README.md#memory-limit\n", r.resource);
}

}  // namespace

void append_limit_report(text& out, const limit_report& r, stack_teller tell, const report_style& style) noexcept
{
  const errno_keeper keeper;
  text whole;
  try {
    append_whole(whole, r, tell, style);
  } catch (...) {
    out.append("gpa: warning: ");
    append_words(out, r);
    out.append(" [gpa-memory-limit]\n");
    return;
  }
  out.append(whole.view());
}

void append_limit_report(text& out, const limit_report& r, const report_style& style) noexcept
{
  append_limit_report(out, r, &name_stack, style);
}

}  // namespace gpa::detail
