// Writers of one run. Names are plain ASCII without quotes, so JSON and CSV escape only what the machine says.
#include "output.hpp"

#include "numbers.hpp"

#include <cmath>
#include <ostream>

namespace gpa::bench {

namespace {

std::string cell(const spread& s)
{
  if (s.rounds == 0) return "-";
  return "**" + rounded(s.median) + "** " + rounded(s.lowest) + "-" + rounded(s.highest);
}

std::vector<std::size_t> measured_contenders(const std::vector<row>& rows)
{
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i != contenders().size(); ++i)
    for (const row& r : rows)
      if (spread_of(r.ns[i]).rounds != 0) {
        all.push_back(i);
        break;
      }
  return all;
}

void heading(std::ostream& out, const char* first, const std::vector<std::size_t>& columns)
{
  out << "\n| " << first << " |";
  for (const std::size_t i : columns) out << ' ' << contenders()[i].name << " |";
  out << "\n|---|";
  for (std::size_t i = 0; i != columns.size(); ++i) out << "---|";
  out << '\n';
}

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

}  // namespace

void write_markdown(std::ostream& out, const run_of_all& run)
{
  for (const auto& [label, value] : run.machine) out << "- " << label << ": " << value << '\n';
  const std::vector<std::size_t> columns = measured_contenders(run.rows);

  out << "\nNanoseconds an operation: **median** lowest-highest of all rounds.\n";
  heading(out, "workload (operation)", columns);
  for (const row& r : run.rows) {
    out << "| " << r.title() << " (" << r.work->operation << ") |";
    for (const std::size_t i : columns) out << ' ' << cell(spread_of(r.ns[i])) << " |";
    out << '\n';
  }

  if (columns.size() > 1) {
    const std::vector<std::size_t> others(columns.begin() + 1, columns.end());
    out << "\nTime of gpa divided by the time of the other in the same round, **median** lowest-highest of all rounds: "
           "below 1, gpa is\nthe faster one. gpa_twin is gpa itself once more: how far it is from 1 is what noise does "
           "here.\n";
    heading(out, "gpa divided by", others);
    std::vector<std::vector<double>> medians(contenders().size());
    for (const row& r : run.rows) {
      out << "| " << r.title() << " |";
      for (const std::size_t i : others) {
        const spread s = spread_of(ratio(r.ns[0], r.ns[i]));
        out << ' ' << cell(s) << " |";
        if (s.rounds != 0) medians[i].push_back(s.median);
      }
      out << '\n';
    }
    out << "| geometric mean of these |";
    for (const std::size_t i : others) {
      double logarithms = 0;
      for (const double m : medians[i]) logarithms += std::log(m);
      out << ' ' << rounded(std::exp(logarithms / static_cast<double>(medians[i].size()))) << " |";
    }
    out << '\n';
  }

  out << "\n| must hold | in this run | figures |\n|---|---|---|\n";
  for (const verdict& v : run.verdicts)
    out << "| " << v.claim << " | " << to_string(v.result) << " | " << v.figures << " |\n";
}

void write_json(std::ostream& out, const run_of_all& run)
{
  out << "{\n  \"machine\": {";
  const char* comma = "\n";
  for (const auto& [label, value] : run.machine) {
    out << comma << "    " << quoted(label) << ": " << quoted(value);
    comma = ",\n";
  }
  out << "\n  },\n  \"rows\": [";
  comma = "\n";
  for (const row& r : run.rows) {
    out << comma << "    {\"name\": " << quoted(r.name()) << ", \"title\": " << quoted(r.title())
        << ", \"operation\": " << quoted(r.work->operation) << ", \"threads\": " << r.threads << ", \"contenders\": {";
    comma = "\n";
    for (const std::size_t i : measured_contenders({r})) {
      out << comma << "      " << quoted(contenders()[i].name) << ": {\"ns\": ";
      write_spread(out, spread_of(r.ns[i]));
      const spread to_it = spread_of(ratio(r.ns[0], r.ns[i]));
      if (to_it.rounds != 0) {
        out << ", \"gpa_divided_by_it\": ";
        write_spread(out, to_it);
      }
      out << '}';
      comma = ",\n";
    }
    out << "}}";
    comma = ",\n";
  }
  out << "\n  ],\n  \"must_hold\": [";
  comma = "\n";
  for (const verdict& v : run.verdicts) {
    out << comma << "    {\"claim\": " << quoted(v.claim) << ", \"result\": " << quoted(to_string(v.result))
        << ", \"figures\": " << quoted(v.figures) << '}';
    comma = ",\n";
  }
  out << "\n  ]\n}\n";
}

void write_csv(std::ostream& out, const run_of_all& run)
{
  out << "workload,threads,contender,round,ns\n";
  for (const row& r : run.rows)
    for (std::size_t i = 0; i != r.ns.size(); ++i)
      for (std::size_t round = 0; round != r.ns[i].size(); ++round)
        if (!std::isnan(r.ns[i][round]))
          out << r.work->name << ',' << r.threads << ',' << contenders()[i].name << ',' << round + 1 << ','
              << r.ns[i][round] << '\n';
}

}  // namespace gpa::bench
