// The means by which claims are judged: ratios by row, their limit, and the noise of the run.
#pragma once

#include "report/verdict.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gpa::bench {

struct figure {
  std::string what;  ///< of which row
  double value;
};
using figures = std::vector<figure>;
using row_filter = std::function<bool(const row&)>;

/// Medians of the time of `a` divided by that of `b`, on each row that has both and that `wanted` takes.
[[nodiscard]] figures ratios(const run_of_all& run, std::string_view a, std::string_view b, const row_filter& wanted);
/// The same against the fastest of several, row by row.
[[nodiscard]] figures ratios_to_best(const run_of_all& run, std::string_view a,
                                     const std::vector<std::string_view>& peers, const row_filter& wanted);
/// How many times as much two threads do as one, on each row that was measured on both.
[[nodiscard]] figures gain_of_two_threads(const run_of_all& run, std::string_view contender);

/// How far `twin` is from `contender` at most, by medians, on the rows that `wanted` takes: 0.02 for 2 %.
[[nodiscard]] double noise(const run_of_all& run, std::string_view contender, std::string_view twin,
                           const row_filter& wanted);

[[nodiscard]] double mean_of(const figures& all);
/// "pairs 1.02, churn 1.25".
[[nodiscard]] std::string list(const figures& all);
/// The `count` highest, highest first.
[[nodiscard]] figures highest(figures all, std::size_t count);

/// Whether all of them are at most `limit`. A margin for noise only where one is given, and then the outcome says so.
[[nodiscard]] verdict all_at_most(std::string claim, const figures& all, double limit, double margin = 0);
[[nodiscard]] verdict mean_at_most(std::string claim, const figures& all, double limit);
[[nodiscard]] verdict not_measured(std::string claim);

}  // namespace gpa::bench
