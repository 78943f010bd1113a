// Tables in Markdown.
#include "report/claims.hpp"
#include "report/numbers.hpp"
#include "report/output.hpp"

#include <algorithm>
#include <cmath>
#include <ostream>

namespace gpa::bench {

namespace {

std::string cell(const spread& s)
{
  if (s.rounds == 0) return "-";
  return "**" + rounded(s.median) + "** " + rounded(s.lowest) + "-" + rounded(s.highest);
}

void heading(std::ostream& out, std::string_view first, const std::vector<std::size_t>& columns)
{
  out << "\n| " << first << " |";
  for (const std::size_t i : columns) out << ' ' << contenders()[i].name << " |";
  out << "\n|---|";
  for (std::size_t i = 0; i != columns.size(); ++i) out << "---|";
  out << '\n';
}

void write_ratios(std::ostream& out, const std::vector<const row*>& rows, const std::vector<std::size_t>& columns,
                  const view& v)
{
  const std::vector<std::size_t> others(columns.begin() + 1, columns.end());
  out << "\nTime of " << v.base << " divided by the time of the other in the same round, **median** lowest-highest of "
      << "all rounds: below 1,\n"
      << v.base << " is the faster one. " << v.twin << " is " << v.base
      << " itself once more: how far it is from 1 is what noise does here.\n";
  heading(out, std::string(v.base) + " divided by", others);
  std::vector<std::vector<double>> medians(contenders().size());
  for (const row* r : rows) {
    out << "| " << r->title() << " |";
    for (const std::size_t i : others) {
      const spread s = spread_of(ratio(r->ns[columns.front()], r->ns[i]));
      out << ' ' << cell(s) << " |";
      if (s.rounds != 0) medians[i].push_back(s.median);
    }
    out << '\n';
  }
  out << "| geometric mean of these |";
  for (const std::size_t i : others)
    out << ' ' << (medians[i].empty() ? "-" : rounded(geometric_mean(medians[i]))) << " |";
  out << '\n';
}

std::string mib(double bytes)
{
  return rounded(bytes / (1024 * 1024));
}

}  // namespace

void write_machine(std::ostream& out, const run_of_all& run)
{
  for (const auto& [label, value] : run.machine) out << "- " << label << ": " << value << '\n';
}

void write_tables(std::ostream& out, const run_of_all& run, const view& v)
{
  const std::vector<const row*> rows = rows_of(run, v);
  const std::vector<std::size_t> columns = columns_of(rows, v);
  if (columns.empty()) return;
  out << "\nNanoseconds an operation: **median** lowest-highest of all rounds.\n";
  heading(out, "workload (operation)", columns);
  for (const row* r : rows) {
    out << "| " << r->title() << " (" << r->work->operation << ") |";
    for (const std::size_t i : columns) out << ' ' << cell(spread_of(r->ns[i])) << " |";
    out << '\n';
  }
  if (columns.size() > 1 && contenders()[columns.front()].name == v.base) write_ratios(out, rows, columns, v);
}

void write_verdicts(std::ostream& out, const std::vector<verdict>& verdicts)
{
  out << "\n| must hold | in this run | figures |\n|---|---|---|\n";
  for (const verdict& v : verdicts)
    out << "| " << v.claim << " | " << to_string(v.result) << " | " << v.figures << " |\n";
}

void write_memory(std::ostream& out, const run_of_all& run)
{
  if (run.memory.empty()) return;
  out << "\nMiB of anonymous memory resident: at the peak, when all is freed, **after trim()** where the kind has that "
         "(where it has\nnot, the last two are the same).\n\n| contender |";
  std::vector<bool> measured(contenders().size());
  for (const memory_row& r : run.memory) {
    double live = 0;
    for (std::size_t i = 0; i != r.held.size(); ++i) {
      live = std::max(live, r.held[i].live);
      measured[i] = measured[i] || r.held[i].live != 0;
    }
    out << ' ' << r.shape->title << " (" << mib(live) << " live) |";
  }
  out << "\n|---|";
  for (std::size_t i = 0; i != run.memory.size(); ++i) out << "---|";
  out << '\n';
  for (std::size_t i = 0; i != contenders().size(); ++i) {
    if (!measured[i]) continue;
    out << "| " << contenders()[i].name << " |";
    for (const memory_row& r : run.memory) {
      const held_memory& h = r.held[i];
      if (h.live == 0)
        out << " - |";
      else
        out << ' ' << mib(h.peak) << " / " << mib(h.at_rest) << " / **" << mib(h.trimmed) << "** |";
    }
    out << '\n';
  }
}

void write_instructions(std::ostream& out, const run_of_all& run)
{
  std::string head = "|", line = "|", body = "|";
  for (std::size_t i = 0; i != run.instructions.size(); ++i) {
    if (std::isnan(run.instructions[i])) continue;
    head += ' ' + std::string(contenders()[i].name) + " |";
    line += "---|";
    body += ' ' + rounded(run.instructions[i]) + " |";
  }
  if (head.size() == 1) return;
  out << "\nInstructions of a pair of 64 B through `memory_resource*`, with the loop around it, counted by "
         "callgrind.\n\n"
      << head << '\n'
      << line << '\n'
      << body << '\n';
}

void write_summary(std::ostream& out, const run_of_all& run)
{
  const auto machine = [&](std::string_view label) {
    const auto found = std::ranges::find(run.machine, label, [](const auto& entry) { return entry.first; });
    return found == run.machine.end() ? std::string("unknown") : found->second;
  };
  const std::vector<std::string_view> best{"mimalloc", "jemalloc", "tcmalloc"};
  struct column {
    std::string_view title, ours;
    std::vector<std::string_view> theirs;
  };
  const std::vector<column> columns{
      {"checked, with call stacks (the default): new_delete", "gpa_stacks", {"new_delete"}},
      {"so: synchronized pool", "gpa_stacks", {"synchronized_pool"}},
      {"checked, no stacks: new_delete", "gpa", {"new_delete"}},
      {"so: unsynchronized pool", "gpa", {"unsynchronized_pool"}},
      {"so: synchronized pool", "gpa", {"synchronized_pool"}},
      {"unchecked: best of mimalloc, jemalloc, tcmalloc", "gpa_never", best}};

  out << "Time divided by the peer's, medians of the rounds (" << machine("rounds")
      << "); below 1, gpa is faster. No\n"
      << "stacks is `stack_frames = 0`, unchecked is `checks::never()`. " << machine("date") << ", `" << machine("command")
      << "`,\n"
      << machine("CPU") << ";\n"
      << machine("compiler") << ".\n\n| workload |";
  for (const column& c : columns) out << ' ' << c.title << " |";
  out << "\n|---|";
  for (std::size_t i = 0; i != columns.size(); ++i) out << "---|";
  out << '\n';
  for (const row* r : rows_of(run, views().front())) {
    out << "| " << r->title() << " |";
    for (const column& c : columns) {
      const figures f = ratios_to_best(run, c.ours, c.theirs, [&](const row& other) { return &other == r; });
      out << ' ' << (f.empty() ? "-" : rounded(f.front().value)) << " |";
    }
    out << '\n';
  }
}

void write_all(std::ostream& out, const run_of_all& run)
{
  const std::vector<view>& all = views();
  for (auto v = std::next(all.begin()); v != all.end(); ++v) {
    out << "\n### " << v->base << ": " << v->title << '\n';
    write_tables(out, run, *v);
  }
  if (!run.memory.empty() || !run.instructions.empty()) out << "\n### Memory, instructions\n";
  write_memory(out, run);
  write_instructions(out, run);
  out << "\n### The budgets\n";
  write_verdicts(out, judge_budgets(run));
}

}  // namespace gpa::bench
