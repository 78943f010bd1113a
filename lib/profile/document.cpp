#include "profile/document.hpp"

#include "os/new_file.hpp"
#include "profile/json.hpp"
#include "profile/process_facts.hpp"
#include "profile/stack_tables.hpp"
#include "profile/tags.hpp"
#include "trace/depot.hpp"
#include "trace/format.hpp"
#include "trace/headline.hpp"

#include <gpa/version.hpp>

#include <algorithm>

namespace gpa::detail {

namespace {

void write_process(json& out, std::string_view reason)
{
  const process_facts p = facts_of_process();
  out.key("process").begin_object();
  out.key("pid").number(p.pid).key("executable").string(p.executable).key("arguments").begin_array();
  std::string_view rest = p.arguments;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\0'), rest.size());
    out.string(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  out.end_array().key("start").string(p.start).key("time").string(p.now).key("age").number(p.age).key("reason").string(reason).end_object();
}

void write_resource(json& out, const document& d)
{
  const gpa::checks& c = d.checks;
  out.key("resource").begin_object().key("name").string(d.name);
  out.key("checks").string(c.is_always() ? "always" : c.is_never() ? "never" : "one_in");
  out.key("one_in").number(c.interval()).key("stack_frames").number(d.stack_frames).key("memory_limit");
  if (d.memory_limit == unlimited) {
    out.null();
  } else {
    out.number(d.memory_limit);
  }
  out.end_object();
}

void write_totals(json& out, const document& d)
{
  const gpa::statistics& s = d.totals;
  out.key("totals").begin_object();
  out.key("live_bytes").number(s.live_bytes).key("live_blocks").number(s.live_blocks);
  out.key("peak_bytes").number(s.peak_bytes).key("peak_blocks").number(s.peak_blocks);
  out.key("peak_is_exact").boolean(d.peak_is_exact);
  out.key("total_bytes").number(s.total_bytes).key("total_blocks").number(s.total_blocks);
  if (d.profiled) out.key("peak_age").number(d.peak_age);
  out.end_object();
}

void write_site(json& out, const site_counts& s, std::size_t trace, bool profiled)
{
  out.line().begin_object().key("trace").number(trace).key("tag").string(tag_name(depot_tag(s.trace)));
  out.key("size_class").number(s.size_class);
  out.key("live_bytes").number(s.live_bytes).key("live_blocks").number(s.live_blocks);
  if (profiled) {
    out.key("peak_bytes").number(s.peak_bytes).key("peak_blocks").number(s.peak_blocks);
    out.key("at_peak_bytes").number(s.at_peak_bytes).key("at_peak_blocks").number(s.at_peak_blocks);
    out.key("total_bytes").number(s.total_bytes);
    out.key("total_blocks").number(s.total_blocks).key("temporary").number(s.temporary);
    out.key("lifetime_sum").number(s.lifetime_sum);
  }
  out.end_object();
}

void write_mistake(json& out, const listed_mistake& m, stack_tables& stacks)
{
  const gpa::report& r = m.report;
  text words;
  out.line().begin_object();
  append_rule(words, r.kind);
  out.key("rule").string(words.view()).key("kind").string(to_string(r.kind));
  words.clear();
  append_headline(words, r);
  out.key("message").string(words.view()).key("reason").string(r.reason);
  out.key("address").address(reinterpret_cast<std::uintptr_t>(r.address));
  out.key("bytes").number(r.bytes).key("alignment").number(r.alignment);
  out.key("blocks").number(r.blocks).key("total_bytes").number(r.total_bytes);
  out.key("traces").begin_object();
  if (!r.here.empty()) out.key("here").number(stacks.number_of(r.here.id()));
  if (!r.freed.empty()) out.key("freed").number(stacks.number_of(r.freed.id()));
  if (!r.allocated.empty()) out.key("allocated").number(stacks.number_of(r.allocated.id()));
  out.end_object().key("threads").begin_object();
  if (r.here.thread() != 0) out.key("here").number(r.here.thread());
  if (r.freed.thread() != 0) out.key("freed").number(r.freed.thread());
  if (r.allocated.thread() != 0) out.key("allocated").number(r.allocated.thread());
  words.clear();
  absl::Format(&words, "%016x", m.fingerprint);
  out.end_object().key("fingerprint").string(words.view()).end_object();
}

}  // namespace

void write_document(const document& d, new_file& file)
{
  stack_tables stacks;
  list_of<std::size_t> traces;
  traces.reserve(d.sites.size());
  for (const site_counts& s : d.sites) traces.push_back(stacks.number_of(s.trace));
  for (const listed_mistake& m : d.mistakes)
    for (const gpa::stack_trace& s : {m.report.here, m.report.freed, m.report.allocated})
      if (!s.empty()) static_cast<void>(stacks.number_of(s.id()));

  json out(file);
  out.begin_object().key("gpa_report").number(1);
  out.line().key("tool").begin_object().key("name").string("gpa").key("version").string(GPA_VERSION).end_object();
  out.line();
  write_process(out, d.reason);
  out.line();
  write_resource(out, d);
  out.line().key("estimated").boolean(d.estimated).line().key("profiled").boolean(d.profiled).line();
  write_totals(out, d);
  out.line();
  stacks.write(out);
  out.line().key("sites").begin_array();
  for (std::size_t i = 0; i != d.sites.size(); ++i) write_site(out, d.sites[i], traces[i], d.profiled);
  out.line().end_array().line().key("mistakes").begin_array();
  for (const listed_mistake& m : d.mistakes) write_mistake(out, m, stacks);
  out.line().end_array().line().key("mistakes_not_listed").number(d.mistakes_missing).line().end_object();
  file.write("\n");
}

}  // namespace gpa::detail
