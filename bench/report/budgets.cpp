// The budgets: what the fast heap, sampling, the checked heap and their memory must keep to, each beside the figures
// of this run. Limits are fixed here and nowhere else.
#include "report/claims.hpp"
#include "report/numbers.hpp"

#include <algorithm>
#include <cmath>

namespace gpa::bench {

namespace {

const std::vector<std::string_view> peers{"mimalloc", "jemalloc", "tcmalloc"};
constexpr double MiB = 1024 * 1024;

bool any_row(const row&)
{
  return true;
}
// What a user recorded has no budget.
bool warm(const row& r)
{
  return r.work->warmth == heat::warm && r.work->name != replay_name;
}
bool is_large(const row& r)
{
  static const std::vector<std::string> names{"64_kib", "1_mib", "4_mib", "large_mix", "large_touched", "growth"};
  return std::ranges::find(names, r.work->name) != names.end();
}
bool warm_and_small(const row& r)
{
  return warm(r) && !is_large(r);
}
// A claim about all workloads is not judged from a part of them.
row_filter if_complete(const run_of_all& run, bool (*wanted)(const row&))
{
  const bool complete = std::ranges::all_of(workloads(), [&](const workload& w) {
    return w.name == replay_name || std::ranges::find(run.rows, &w, &row::work) != run.rows.end();
  });
  return [=](const row& r) { return complete && wanted(r); };
}
row_filter named(std::string name)
{
  return [name = std::move(name)](const row& r) { return r.name() == name; };
}

// One row may be up to `most`, the others up to `limit`.
verdict all_but_one_at_most(std::string claim, const figures& all, double limit, double most)
{
  if (all.empty()) return not_measured(std::move(claim));
  figures above = all;
  std::erase_if(above, [&](const figure& f) { return f.value <= limit; });
  const bool fine = above.empty() || (above.size() == 1 && above.front().value <= most);
  return {std::move(claim), fine ? outcome::holds : outcome::fails,
          above.empty() ? "highest: " + list(highest(all, 3)) : "above: " + list(highest(above, above.size()))};
}

verdict at_least(std::string claim, const figures& all, double limit)
{
  if (all.empty()) return not_measured(std::move(claim));
  const bool fine = std::ranges::all_of(all, [&](const figure& f) { return f.value >= limit; });
  return {std::move(claim), fine ? outcome::holds : outcome::fails, list(all)};
}

void judge_fast(const run_of_all& run, std::vector<verdict>& all)
{
  const row_filter all_warm = if_complete(run, warm);
  const figures to_best = ratios_to_best(run, "gpa_never", peers, all_warm);
  all.push_back(mean_at_most("fast / best of mimalloc, jemalloc, tcmalloc, warm: geometric mean <= 0.8", to_best, 0.8));
  all.push_back(all_but_one_at_most("the same on each workload <= 1.05, one exception <= 1.3", to_best, 1.05, 1.3));
  for (const auto* pool : {"unsynchronized_pool", "synchronized_pool"})
    all.push_back(mean_at_most("fast / " + std::string(pool) + ": geometric mean <= 0.25",
                               ratios(run, "gpa_never", pool, all_warm), 0.25));
  all.push_back(all_at_most("fast / best of the three, handed from thread to thread <= 1",
                            ratios_to_best(run, "gpa_never", peers, named("handover")), 1,
                            noise(run, "gpa_never", "gpa_never_twin", named("handover"))));
  all.push_back(all_at_most("fast / new_delete, 64 KiB-4 MiB and growth <= 1",
                            ratios(run, "gpa_never", "new_delete", is_large), 1));
  figures of_pools = ratios(run, "gpa_never", "unsynchronized_pool", named("8_kib"));
  for (const figure& f : ratios(run, "gpa_never", "synchronized_pool", named("8_kib"))) of_pools.push_back(f);
  all.push_back(all_at_most("fast / each std pool, 8 KiB at 50 000 live <= 0.05", of_pools, 0.05));
  all.push_back(mean_at_most("sampled 1 in 1 000 / fast: geometric mean <= 1.15",
                             ratios(run, "gpa_1_in_1000", "gpa_never", all_warm), 1.15));
  all.push_back(mean_at_most("sampled 1 in 10 000 / fast: geometric mean <= 1.05",
                             ratios(run, "gpa_1_in_10000", "gpa_never", all_warm), 1.05));
}

void judge_checked(const run_of_all& run, std::vector<verdict>& all)
{
  const row_filter all_small = if_complete(run, warm_and_small);
  all.push_back(all_at_most("checked, no stacks / unsynchronized_pool, up to 32 KiB <= 1",
                            ratios(run, "gpa", "unsynchronized_pool", all_small), 1,
                            noise(run, "gpa", "gpa_twin", all_small)));
  const figures with_stacks = ratios(run, "gpa_stacks", "synchronized_pool", all_small);
  all.push_back(all_at_most("checked, default stacks / synchronized_pool, up to 32 KiB <= 1", with_stacks, 1,
                            noise(run, "gpa", "gpa_twin", all_small)));
  const auto on_threads = [&all_small](unsigned threads) {
    return [&all_small, threads](const row& r) { return all_small(r) && r.threads == threads; };
  };
  all.push_back(mean_at_most("the same in one thread: geometric mean <= 0.7",
                             ratios(run, "gpa_stacks", "synchronized_pool", on_threads(1)), 0.7));
  all.push_back(mean_at_most("the same in two threads: geometric mean <= 0.4",
                             ratios(run, "gpa_stacks", "synchronized_pool", on_threads(2)), 0.4));
  all.push_back(all_at_most("checked, default stacks, growth of one vector / synchronized_pool <= 1.6",
                            ratios(run, "gpa_stacks", "synchronized_pool", named("growth")), 1.6));
  all.push_back(all_at_most("checked / new_delete, 64 KiB-2 MiB written through <= 1.6",
                            ratios(run, "gpa", "new_delete", named("large_mix")), 1.6));
  all.push_back(all_at_most("the same at 64 KiB <= 10", ratios(run, "gpa", "new_delete", named("64_kib")), 10));
  figures from_1_mib = ratios(run, "gpa", "new_delete", named("1_mib"));
  for (const figure& f : ratios(run, "gpa", "new_delete", named("4_mib"))) from_1_mib.push_back(f);
  all.push_back(all_at_most("the same from 1 MiB on <= 2", from_1_mib, 2));
}

void judge_threads(const run_of_all& run, std::vector<verdict>& all)
{
  figures gains = gain_of_two_threads(run, "gpa");
  for (const figure& f : gain_of_two_threads(run, "gpa_never")) gains.push_back(f);
  all.push_back(at_least("two threads do >= 1.8x the work of one, both heaps", gains, 1.8));
}

// Medians of two rows, so of different rounds: what it costs to find the right thread cache.
void judge_turns(const run_of_all& run, std::vector<verdict>& all)
{
  figures more;
  const auto median = [&](std::string_view name, std::size_t contender) -> std::optional<double> {
    const auto found = std::ranges::find(run.rows, name, &row::name);
    if (found == run.rows.end()) return std::nullopt;
    const spread s = spread_of(found->ns[contender]);
    return s.rounds == 0 ? std::nullopt : std::optional(s.median);
  };
  for (const std::string ours : {"gpa_never", "gpa"}) {
    const auto one = median("pairs", contender_named(ours)), eight = median("in_turn", contender_named(ours));
    if (one && eight) more.push_back({ours, *eight - *one});
  }
  all.push_back(all_at_most("eight resources in turn: ns a pair more than on one <= 10", more, 10));
}

void judge_instructions(const run_of_all& run, std::vector<verdict>& all)
{
// The loop around the calls is counted too: an empty resource takes 14, and 16 or 17 are counted of it.
#ifdef __clang__
  constexpr double limit = 34 + 36, loop = 2;
#else
  constexpr double limit = 40 + 44, loop = 3;
#endif
  figures counted;
  if (!run.instructions.empty()) {
    const double n = run.instructions[contender_named("gpa_never")];
    static const std::string what = "pair of 64 B without the loop";  // a copy: g++ 12 warns of a literal here, at -O3
    if (!std::isnan(n)) counted.push_back({what, n - loop});
  }
  all.push_back(all_at_most("fast, instructions a pair <= " + rounded(limit), counted, limit));
}

// What `value` says of contender `name` in each memory shape that has it.
using memory_value = std::function<std::optional<double>(const memory_row&, const held_memory&)>;

figures memory_figures(const run_of_all& run, std::string_view name, const memory_value& value)
{
  figures all;
  for (const memory_row& r : run.memory) {
    const held_memory& h = r.held[contender_named(name)];
    if (h.live == 0) continue;
    if (const auto v = value(r, h)) all.push_back({std::string(r.shape->name), *v});
  }
  return all;
}

memory_value in_mib(double held_memory::*member)
{
  return [member](const memory_row&, const held_memory& h) { return h.*member / MiB; };
}

memory_value on_shape(std::string_view shape, double (*value)(const held_memory&))
{
  return [=](const memory_row& r, const held_memory& h) {
    return r.shape->name == shape ? std::optional(value(h)) : std::nullopt;
  };
}

void judge_memory(const run_of_all& run, std::vector<verdict>& all)
{
  const memory_value against_mimalloc = [](const memory_row& r, const held_memory& h) -> std::optional<double> {
    const held_memory& theirs = r.held[contender_named("mimalloc")];
    if (theirs.live < 4 * MiB) return std::nullopt;
    return h.peak / theirs.peak;
  };
  all.push_back(all_at_most("fast / mimalloc, resident at the peak, from 4 MiB on <= 1.15",
                            memory_figures(run, "gpa_never", against_mimalloc), 1.15));
  for (const std::string ours : {"gpa_never", "gpa"})
    all.push_back(all_at_most(ours + ", MiB resident when all is freed <= 32",
                              memory_figures(run, ours, in_mib(&held_memory::at_rest)), 32));
  all.push_back(all_at_most("gpa_never, MiB resident after trim() <= 2",
                            memory_figures(run, "gpa_never", in_mib(&held_memory::trimmed)), 2));
  // 16 bytes of record a slot; the blocks of the peak are fewer than the slots that have one.
  const memory_value without_records = [](const memory_row&, const held_memory& h) {
    return std::max(0.0, h.trimmed - 16 * h.blocks) / MiB;
  };
  all.push_back(all_at_most("gpa, MiB resident after trim(), 16 B a block of the peak taken off <= 2",
                            memory_figures(run, "gpa", without_records), 2));
  const auto of_both = [&](std::string_view shape, double (*value)(const held_memory&)) {
    figures both;
    for (const std::string ours : {"gpa_never", "gpa"})
      for (const figure& f : memory_figures(run, ours, on_shape(shape, value))) both.push_back({ours, f.value});
    return both;
  };
  all.push_back(all_at_most(
      "handed from thread to thread, two threads: MiB above 1.5 x live <= 8",
      of_both("hold_handover", [](const held_memory& h) { return std::max(0.0, h.peak - 1.5 * h.live) / MiB; }), 8));
  all.push_back(all_at_most("cold start, three objects: KiB resident <= 256",
                            of_both("hold_three", [](const held_memory& h) { return h.peak / 1024; }), 256));
  all.push_back(all_at_most("cold start, three objects: microseconds < 20",
                            of_both("hold_three", [](const held_memory& h) { return h.microseconds; }), 20));
}

std::string mean_and_count(const figures& all)
{
  return rounded(mean_of(all)) + " on " + std::to_string(all.size()) + " rows";
}

// Those of the rows that `other` has.
std::string rows_without(const run_of_all& run, std::string_view contender, std::string_view other)
{
  std::string names;
  for (const row& r : run.rows)
    if (spread_of(r.ns[contender_named(contender)]).rounds == 0 && spread_of(r.ns[contender_named(other)]).rounds != 0)
      names += (names.empty() ? "" : ", ") + r.name();
  return names;
}

void judge_zig(const run_of_all& run, std::vector<verdict>& all)
{
  verdict v = not_measured("zig_gpa / gpa, and with stacks: the ratios, no limit");
  const figures plain = ratios(run, "zig_gpa", "gpa", any_row);
  const figures stacks = ratios(run, "zig_gpa_stacks", "gpa_stacks", any_row);
  if (!plain.empty()) {
    v.result = outcome::holds;
    v.figures = "geometric mean " + mean_and_count(plain) + "; highest: " + list(highest(plain, 2));
    if (!stacks.empty()) v.figures += "; both with stacks " + mean_and_count(stacks);
    const std::string slow = rows_without(run, "zig_gpa", "gpa");
    if (!slow.empty()) v.figures += "; left out, as one pass of zig_gpa takes too long: " + slow;
  }
  all.push_back(v);
}

}  // namespace

std::vector<verdict> judge_budgets(const run_of_all& run)
{
  std::vector<verdict> all;
  judge_fast(run, all);
  judge_checked(run, all);
  judge_threads(run, all);
  judge_turns(run, all);
  judge_instructions(run, all);
  judge_memory(run, all);
  judge_zig(run, all);
  return all;
}

}  // namespace gpa::bench
