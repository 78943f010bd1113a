// The four claims of the first table. Each is about medians of ratios taken round by round.
#include "budgets.hpp"

#include "numbers.hpp"

#include <algorithm>
#include <optional>

namespace gpa::bench {

namespace {

constexpr std::size_t gpa_itself = 0;
constexpr std::size_t enough_faster = 5;
constexpr double most_of_unsynchronized = 1.5;
constexpr double least_of_two_threads = 1.8;

std::size_t index_of(std::string_view name)
{
  const auto all = contenders();
  return static_cast<std::size_t>(std::ranges::find(all, name, &contender::name) - all.begin());
}

struct figure {
  std::string row;
  double value;
};

std::vector<figure> ratios_to(std::string_view other, const std::vector<row>& rows)
{
  std::vector<figure> all;
  for (const row& r : rows) {
    const spread s = spread_of(ratio(r.ns[gpa_itself], r.ns[index_of(other)]));
    if (s.rounds != 0) all.push_back({r.name(), s.median});
  }
  return all;
}

std::string list(const std::vector<figure>& figures)
{
  std::string text;
  for (const figure& f : figures) text += (text.empty() ? "" : ", ") + f.row + " " + rounded(f.value);
  return text;
}

verdict judged(std::string claim, bool measured, bool holds, const std::vector<figure>& figures)
{
  return {std::move(claim), !measured ? outcome::not_measured : holds ? outcome::holds : outcome::fails, list(figures)};
}

}  // namespace

std::string to_string(outcome o)
{
  switch (o) {
    case outcome::holds: return "holds";
    case outcome::fails: return "DOES NOT HOLD";
    case outcome::not_measured: break;
  }
  return "not measured";
}

std::vector<verdict> judge(const std::vector<row>& rows)
{
  // A claim about all workloads is not judged from a part of them.
  const bool all_work = std::ranges::all_of(
      workloads(), [&](const workload& w) { return std::ranges::find(rows, &w, &row::work) != rows.end(); });
  const auto two = std::ranges::find(rows, 2U, &row::threads);

  const std::vector<figure> to_sync = ratios_to("synchronized_pool", rows);
  const std::vector<figure> to_unsync = ratios_to("unsynchronized_pool", rows);
  const auto below = [](double limit) { return [limit](const figure& f) { return f.value < limit; }; };

  std::vector<figure> scaling;
  if (two != rows.end()) {
    const row& one = *std::prev(two);  // the same workload on one thread, in the same rounds
    for (const std::size_t i : {gpa_itself, index_of("new_delete"), index_of("synchronized_pool")}) {
      const spread s = spread_of(ratio(one.ns[i], two->ns[i], 2));
      if (s.rounds != 0) scaling.push_back({std::string(contenders()[i].name), s.median});
    }
  }

  return {
      judged("gpa is faster than synchronized_pool on each workload",
             all_work && two != rows.end() && to_sync.size() == rows.size(), std::ranges::all_of(to_sync, below(1)),
             to_sync),
      judged("gpa is faster than unsynchronized_pool on at least five workloads", all_work && !to_unsync.empty(),
             static_cast<std::size_t>(std::ranges::count_if(to_unsync, below(1))) >= enough_faster, to_unsync),
      judged("gpa never takes more than 1.5x of unsynchronized_pool", all_work && !to_unsync.empty(),
             std::ranges::all_of(to_unsync, [](const figure& f) { return f.value <= most_of_unsynchronized; }),
             to_unsync),
      judged("two threads on one gpa do at least 1.8x the work of one", !scaling.empty(),
             !scaling.empty() && scaling.front().value >= least_of_two_threads, scaling),
  };
}

}  // namespace gpa::bench
