// The four claims of the first table. Each is about medians of ratios taken round by round.
#include "report/claims.hpp"

#include <algorithm>

namespace gpa::bench {

namespace {

constexpr double most_of_unsynchronized = 1.5;
constexpr double least_of_two_threads = 1.8;
// The five of the seven workloads that were there when this was claimed; the eighth came later.
constexpr std::ptrdiff_t enough_faster = 5;

bool in_first_table(const row& r)
{
  return r.work->first_table;
}

}  // namespace

std::vector<verdict> judge_first_table(const run_of_all& run)
{
  // A claim about all workloads is not judged from a part of them.
  const auto expected = std::ranges::count_if(workloads(), &workload::first_table);
  const auto measured = std::ranges::count_if(
      run.rows, [](const row& r) { return in_first_table(r) && r.threads == r.work->least_threads; });

  figures to_sync, to_unsync;
  if (measured == expected) {
    to_sync = ratios(run, "gpa", "synchronized_pool", in_first_table);
    to_unsync = ratios(run, "gpa", "unsynchronized_pool", in_first_table);
  }
  const double margin = noise(run, "gpa", "gpa_twin", in_first_table);

  std::vector<verdict> all;
  all.push_back(all_at_most("gpa is faster than synchronized_pool on each workload", to_sync, 1, margin));

  verdict most = not_measured("gpa is faster than unsynchronized_pool on at least five workloads");
  if (!to_unsync.empty()) {
    const auto faster = std::ranges::count_if(to_unsync, [](const figure& f) { return f.value < 1; });
    most.result = faster >= enough_faster ? outcome::holds : outcome::fails;
    most.figures = list(to_unsync);
  }
  all.push_back(most);

  all.push_back(
      all_at_most("gpa never takes more than 1.5x of unsynchronized_pool", to_unsync, most_of_unsynchronized));

  verdict gain = not_measured("two threads on one gpa do at least 1.8x the work of one");
  figures gains;
  for (const auto* name : {"gpa", "new_delete", "synchronized_pool"})
    for (const figure& f : gain_of_two_threads(run, name))
      if (f.what.ends_with(" on churn")) gains.push_back({name, f.value});
  if (!gains.empty() && gains.front().what == "gpa") {
    gain.result = gains.front().value >= least_of_two_threads ? outcome::holds : outcome::fails;
    gain.figures = list(gains);
  }
  all.push_back(gain);
  return all;
}

}  // namespace gpa::bench
