// JSON, CSV, and the files of a run. Names are plain ASCII without quotes, so JSON and CSV escape only what the machine
// says.
#include "report/output.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <stdexcept>

namespace gpa::bench {

namespace {

std::string quoted(std::string_view text)
{
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (static_cast<unsigned char>(c) >= ' ') result += c;
  }
  return result + '"';
}

void write_spread(std::ostream& out, const spread& s)
{
  out << "{\"rounds\": " << s.rounds << ", \"median\": " << s.median << ", \"lowest\": " << s.lowest
      << ", \"low_quartile\": " << s.low_quartile << ", \"high_quartile\": " << s.high_quartile
      << ", \"highest\": " << s.highest << '}';
}

// Writes `between` before every element but the first.
class separator {
 public:
  explicit separator(const char* between) : between_(between) {}
  friend std::ostream& operator<<(std::ostream& out, separator& s)
  {
    if (!s.first_) out << s.between_;
    s.first_ = false;
    return out;
  }

 private:
  const char* between_;
  bool first_ = true;
};

void write_row(std::ostream& out, const row& r, const std::vector<std::size_t>& columns)
{
  out << "    {\"name\": " << quoted(r.name()) << ", \"title\": " << quoted(r.title())
      << ", \"operation\": " << quoted(r.work->operation) << ", \"threads\": " << r.threads
      << ", \"warm\": " << (r.work->warmth == heat::warm ? "true" : "false") << ", \"contenders\": {\n";
  separator comma(",\n");
  for (const std::size_t i : columns) {
    const spread s = spread_of(r.ns[i]);
    if (s.rounds == 0) continue;
    out << comma << "      " << quoted(contenders()[i].name) << ": {\"ns\": ";
    write_spread(out, s);
    for (const auto* base : {"gpa", "gpa_never"}) {
      const spread to_it = spread_of(ratio(r.ns[i], r.ns[contender_named(base)]));
      if (to_it.rounds == 0) continue;
      out << ", \"divided_by_" << base << "\": ";
      write_spread(out, to_it);
    }
    out << '}';
  }
  out << "}}";
}

void write_memory_json(std::ostream& out, const run_of_all& run)
{
  separator comma(",\n");
  for (const memory_row& r : run.memory) {
    out << comma << "    {\"name\": " << quoted(r.shape->name) << ", \"title\": " << quoted(r.shape->title)
        << ", \"contenders\": {\n";
    separator inner(",\n");
    for (std::size_t i = 0; i != r.held.size(); ++i) {
      const held_memory& h = r.held[i];
      if (h.live == 0) continue;
      out << inner << "      " << quoted(contenders()[i].name) << ": {\"live\": " << h.live << ", \"peak\": " << h.peak
          << ", \"at_rest\": " << h.at_rest << ", \"trimmed\": " << h.trimmed
          << ", \"microseconds\": " << h.microseconds << '}';
    }
    out << "}}";
  }
}

template <class Writer>
void write(const std::filesystem::path& file, Writer writer)
{
  std::ofstream out(file);
  writer(out);
  out.close();
  if (!out) throw std::runtime_error("could not write " + file.string());
}

std::vector<verdict> joined(std::vector<verdict> a, std::vector<verdict> b)
{
  std::ranges::move(b, std::back_inserter(a));
  return a;
}

}  // namespace

void write_json(std::ostream& out, const run_of_all& run, const std::vector<const row*>& rows,
                const std::vector<std::size_t>& columns, const std::vector<verdict>& verdicts)
{
  out.precision(5);
  out << "{\n  \"machine\": {\n";
  separator comma(",\n");
  for (const auto& [label, value] : run.machine) out << comma << "    " << quoted(label) << ": " << quoted(value);
  out << "\n  },\n  \"rows\": [\n";
  separator between_rows(",\n");
  for (const row* r : rows) {
    out << between_rows;
    write_row(out, *r, columns);
  }
  out << "\n  ],\n  \"memory\": [\n";
  write_memory_json(out, run);
  out << "\n  ],\n  \"instructions\": {";
  separator between_counts(", ");
  for (std::size_t i = 0; i != run.instructions.size(); ++i)
    if (!std::isnan(run.instructions[i]))
      out << between_counts << quoted(contenders()[i].name) << ": " << run.instructions[i];
  out << "},\n  \"must_hold\": [\n";
  separator between_claims(",\n");
  for (const verdict& v : verdicts)
    out << between_claims << "    {\"claim\": " << quoted(v.claim) << ", \"result\": " << quoted(to_string(v.result))
        << ", \"figures\": " << quoted(v.figures) << '}';
  out << "\n  ]\n}\n";
}

void write_csv(std::ostream& out, const std::vector<const row*>& rows, const std::vector<std::size_t>& columns)
{
  out << "workload,threads,contender,round,ns\n";
  for (const row* r : rows)
    for (const std::size_t i : columns)
      for (std::size_t round = 0; round != r->ns[i].size(); ++round)
        if (!std::isnan(r->ns[i][round]))
          out << r->work->name << ',' << r->threads << ',' << contenders()[i].name << ',' << round + 1 << ','
              << r->ns[i][round] << '\n';
}

void write_files(const std::filesystem::path& folder, const run_of_all& run)
{
  std::filesystem::create_directories(folder);
  const view& first = views().front();
  const auto first_rows = rows_of(run, first);
  if (!first_rows.empty()) {
    run_of_all part{run.machine, {}, {}, {}};  // memory and instructions are no part of it
    const auto columns = columns_of(first_rows, first);
    write(folder / "first_table.md", [&](std::ostream& out) {
      write_machine(out, run);
      write_tables(out, run, first);
      write_verdicts(out, judge_first_table(run));
    });
    write(folder / "summary.md", [&](std::ostream& out) { write_summary(out, run); });
    write(folder / "first_table.json",
          [&](std::ostream& out) { write_json(out, part, first_rows, columns, judge_first_table(run)); });
    write(folder / "first_table.csv", [&](std::ostream& out) { write_csv(out, first_rows, columns); });
  }

  std::vector<const row*> rows;
  for (const row& r : run.rows) rows.push_back(&r);
  std::vector<std::size_t> columns;
  for (std::size_t i = 0; i != contenders().size(); ++i) columns.push_back(i);
  write(folder / "everything.md", [&](std::ostream& out) { write_all(out, run); });
  write(folder / "everything.json", [&](std::ostream& out) {
    write_json(out, run, rows, columns, joined(judge_first_table(run), judge_budgets(run)));
  });
  write(folder / "everything.csv", [&](std::ostream& out) { write_csv(out, rows, columns); });
}

}  // namespace gpa::bench
