#include "report/claims.hpp"

#include "report/numbers.hpp"

#include <algorithm>
#include <cmath>

namespace gpa::bench {

namespace {

std::optional<double> median_ratio(const row& r, std::string_view a, std::string_view b)
{
  const spread s = spread_of(ratio(r.ns[contender_named(a)], r.ns[contender_named(b)]));
  if (s.rounds == 0) return std::nullopt;
  return s.median;
}

}  // namespace

figures ratios(const run_of_all& run, std::string_view a, std::string_view b, const row_filter& wanted)
{
  return ratios_to_best(run, a, {b}, wanted);
}

figures ratios_to_best(const run_of_all& run, std::string_view a, const std::vector<std::string_view>& peers,
                       const row_filter& wanted)
{
  figures all;
  for (const row& r : run.rows) {
    if (!wanted(r)) continue;
    std::optional<double> most;
    for (const std::string_view peer : peers)
      if (const auto to_it = median_ratio(r, a, peer)) most = std::max(most.value_or(*to_it), *to_it);
    if (most) all.push_back({r.name(), *most});
  }
  return all;
}

figures gain_of_two_threads(const run_of_all& run, std::string_view contender)
{
  figures all;
  const std::size_t i = contender_named(contender);
  for (std::size_t n = 1; n < run.rows.size(); ++n) {
    const row& one = run.rows[n - 1];
    const row& two = run.rows[n];
    if (one.work != two.work) continue;
    const spread s = spread_of(ratio(one.ns[i], two.ns[i], 2));
    if (s.rounds != 0) all.push_back({std::string(contender) + " on " + one.name(), s.median});
  }
  return all;
}

double noise(const run_of_all& run, std::string_view contender, std::string_view twin, const row_filter& wanted)
{
  double most = 0;
  for (const figure& f : ratios(run, contender, twin, wanted)) most = std::max(most, std::abs(f.value - 1));
  return most;
}

double mean_of(const figures& all)
{
  std::vector<double> values;
  for (const figure& f : all) values.push_back(f.value);
  return geometric_mean(values);
}

std::string list(const figures& all)
{
  std::string text;
  for (const figure& f : all) text += (text.empty() ? "" : ", ") + f.what + ' ' + rounded(f.value);
  return text;
}

figures highest(figures all, std::size_t count)
{
  std::ranges::sort(all, std::ranges::greater{}, &figure::value);
  if (all.size() > count) all.resize(count);
  return all;
}

verdict all_at_most(std::string claim, const figures& all, double limit, double margin)
{
  if (all.empty()) return not_measured(std::move(claim));
  const double most = std::ranges::max(all, {}, &figure::value).value;
  if (most <= limit) return {std::move(claim), outcome::holds, list(all)};
  if (most <= limit * (1 + margin))
    return {std::move(claim), outcome::within_noise,
            list(all) + "; the twin differs by up to " + rounded(margin * 100) + " %"};
  return {std::move(claim), outcome::fails, list(all)};
}

verdict mean_at_most(std::string claim, const figures& all, double limit)
{
  if (all.empty()) return not_measured(std::move(claim));
  const double mean = mean_of(all);
  return {std::move(claim), mean <= limit ? outcome::holds : outcome::fails,
          "mean " + rounded(mean) + "; highest: " + list(highest(all, 3))};
}

verdict not_measured(std::string claim)
{
  return {std::move(claim), outcome::not_measured, ""};
}

std::string to_string(outcome o)
{
  switch (o) {
    case outcome::holds: return "holds";
    case outcome::within_noise: return "a tie, within noise";
    case outcome::fails: return "DOES NOT HOLD";
    case outcome::not_measured: break;
  }
  return "not measured";
}

}  // namespace gpa::bench
