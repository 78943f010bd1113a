// Interleaved rounds, medians and ratios.
#include "harness.hpp"

#include "crew.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

namespace gpa::bench {

namespace {

constexpr double not_measured = std::numeric_limits<double>::quiet_NaN();

template <class Thing, class Things>
bool wanted(const Thing& thing, const Things& things, const std::vector<std::string>& only)
{
  const auto named = [&](const Thing& t) { return std::ranges::find(only, t.name) != only.end(); };
  return named(thing) || std::ranges::none_of(things, named);
}

struct entrant {
  std::size_t index;  // in contenders()
  std::unique_ptr<heap> memory;
  std::unique_ptr<job> work;
};

// Nanoseconds an operation in one round.
double round_of(crew& c, const entrant& e, const row& r, unsigned passes)
{
  double ns = 0;
  for (unsigned i = 0; i != passes; ++i) {
    ns += c.pass(*e.work, r.threads);
    e.memory->after_pass();
  }
  return ns / (static_cast<double>(r.work->operations) * passes);
}

}  // namespace

bool settings::wants(const workload& w) const
{
  return wanted(w, workloads(), only);
}

bool settings::wants(const contender& c) const
{
  return &c == &contenders().front() || wanted(c, contenders(), only);
}

std::string row::name() const
{
  return std::string(work->name) + (threads == 1 ? "" : "_two_threads");
}

std::string row::title() const
{
  return std::string(work->title) + (threads == 1 ? "" : ", each of two threads");
}

spread spread_of(series s)
{
  std::erase_if(s, [](double v) { return std::isnan(v); });
  if (s.empty()) return {};
  std::ranges::sort(s);
  const auto at = [&](double share) {
    const double place = share * static_cast<double>(s.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const std::size_t above = std::min(below + 1, s.size() - 1);
    return std::lerp(s[below], s[above], place - static_cast<double>(below));
  };
  return {s.size(), at(0.5), s.front(), at(0.25), at(0.75), s.back()};
}

series ratio(const series& a, const series& b, double factor)
{
  series all(std::min(a.size(), b.size()));
  for (std::size_t i = 0; i != all.size(); ++i) all[i] = factor * a[i] / b[i];
  return all;
}

std::vector<row> measure(const settings& s, const std::function<void(const workload&, unsigned, unsigned)>& progress)
{
  crew threads(s.alone);
  std::mt19937 random(5);
  std::vector<row> rows;
  for (const workload& w : workloads()) {
    if (!s.wants(w)) continue;
    std::vector<entrant> entrants;
    for (std::size_t i = 0; i != contenders().size(); ++i) {
      if (!s.wants(contenders()[i])) continue;
      auto memory = contenders()[i].make();
      auto work = w.make(memory->resource());
      entrants.push_back({i, std::move(memory), std::move(work)});
    }
    // One and two threads in the same rounds, so that their ratio is one of neighbours too.
    const std::size_t first = rows.size();
    for (unsigned n = 1; n <= std::min(w.most_threads, threads.most_threads()); ++n)
      rows.push_back({&w, n, std::vector<series>(contenders().size(), series(s.rounds, not_measured))});

    const unsigned passes = s.quick ? 1 : w.passes;
    std::vector<std::size_t> order(entrants.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (unsigned round = 0; round <= s.rounds; ++round) {
      progress(w, round, s.rounds);
      const bool warming_up = round == 0;
      std::ranges::shuffle(order, random);
      for (const std::size_t next : order) {
        const entrant& e = entrants[next];
        const contender& c = contenders()[e.index];
        if (!warming_up && (round - 1) % c.every != 0) continue;
        for (std::size_t i = first; i != rows.size(); ++i) {
          if (rows[i].threads > c.most_threads) continue;
          const double ns = round_of(threads, e, rows[i], warming_up ? 1 : passes);
          if (!warming_up) rows[i].ns[e.index][round - 1] = ns;
        }
      }
    }
    // The jobs hold blocks of their heaps no more; the last one made goes first.
    while (!entrants.empty()) entrants.pop_back();
  }
  return rows;
}

}  // namespace gpa::bench
