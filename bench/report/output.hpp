// A run as Markdown for people, JSON and CSV for programs.
#pragma once

#include "report/run_of_all.hpp"
#include "report/verdict.hpp"

#include <filesystem>
#include <iosfwd>
#include <string>
#include <vector>

namespace gpa::bench {

/// What was measured on what, as a list.
void write_machine(std::ostream& out, const run_of_all& run);
/// Medians with spread, then ratios with spread. Nothing where the base was not measured.
void write_tables(std::ostream& out, const run_of_all& run, const view& v);
void write_verdicts(std::ostream& out, const std::vector<verdict>& verdicts);
/// Resident memory, instructions a pair.
void write_memory(std::ostream& out, const run_of_all& run);
void write_instructions(std::ostream& out, const run_of_all& run);

/// For each row the five figures of the spread of each contender, and of its ratio to `base`, which is first in
/// `columns`.
void write_json(std::ostream& out, const run_of_all& run, const std::vector<const row*>& rows,
                const std::vector<std::size_t>& columns, const std::vector<verdict>& verdicts);
/// Every single figure: one line a row, contender and round.
void write_csv(std::ostream& out, const std::vector<const row*>& rows, const std::vector<std::size_t>& columns);

/// The ratios of the first table in short, for the README at the top.
void write_summary(std::ostream& out, const run_of_all& run);

/// summary.md, first_table.md, .json, .csv and everything.md, .json, .csv. Throws std::runtime_error.
void write_files(const std::filesystem::path& folder, const run_of_all& run);
/// All of it, as Markdown.
void write_all(std::ostream& out, const run_of_all& run);

}  // namespace gpa::bench
