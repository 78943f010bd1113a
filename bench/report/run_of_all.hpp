// Everything one run found out.
#pragma once

#include "harness/harness.hpp"
#include "memory/memory.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gpa::bench {

struct run_of_all {
  std::vector<std::pair<std::string, std::string>> machine;
  std::vector<row> rows;
  std::vector<memory_row> memory;
  std::vector<double> instructions;  ///< a pair, by contender; NaN where not counted
};

/// A table: some rows, some contenders, and the one that the ratios are about.
struct view {
  std::string_view name;  ///< of the files
  std::string_view title;
  std::string_view base;
  std::string_view twin;  ///< the base once more: what noise does
  std::vector<std::string_view> others;
  bool first_table;  ///< the rows of the first table only; else all
};

/// The first table, then the two big ones.
[[nodiscard]] const std::vector<view>& views();

[[nodiscard]] std::vector<const row*> rows_of(const run_of_all& run, const view& v);
/// Those that were measured, the base first.
[[nodiscard]] std::vector<std::size_t> columns_of(const std::vector<const row*>& rows, const view& v);

}  // namespace gpa::bench
