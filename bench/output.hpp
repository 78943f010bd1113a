// A run as Markdown for people, JSON and CSV for programs.
#pragma once

#include "budgets.hpp"
#include "harness.hpp"

#include <iosfwd>
#include <string>
#include <utility>
#include <vector>

namespace gpa::bench {

struct run_of_all {
  std::vector<std::pair<std::string, std::string>> machine;
  std::vector<row> rows;
  std::vector<verdict> verdicts;
};

/// Machine, medians with spread, ratios with spread, verdicts.
void write_markdown(std::ostream& out, const run_of_all& run);
/// The same, and for each contender the five figures of its spread.
void write_json(std::ostream& out, const run_of_all& run);
/// Every single figure: one line a row, contender and round.
void write_csv(std::ostream& out, const run_of_all& run);

}  // namespace gpa::bench
