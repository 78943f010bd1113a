#include "harness/harness.hpp"

#include "harness/process.hpp"
#include "harness/worker.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <stdexcept>
#include <thread>

namespace gpa::bench {

namespace {

using namespace std::chrono_literals;

constexpr double not_measured = std::numeric_limits<double>::quiet_NaN();

// Nanoseconds. A contender that takes longer for its part of a round makes fewer passes, and then takes part in every
// second, fourth, ... round only: powers of two, so that slow ones meet each other there, and a ratio can be taken.
// One that takes longer than `patience` for a single pass is left out of the row.
constexpr double longest_part = 40e6, longest_part_of_first_table = 250e6;
constexpr auto patience = 8s;

constexpr unsigned least_to_begin_anew = 9;  // rounds

template <class Thing, class Things>
bool wanted(const Thing& thing, const Things& things, const std::vector<std::string>& only)
{
  const auto named = [&](const Thing& t) { return std::ranges::find(only, t.name) != only.end(); };
  return named(thing) || std::ranges::none_of(things, named);
}

unsigned most_threads(const settings& s)
{
  return s.alone || std::thread::hardware_concurrency() < 2 ? 1 : 2;
}

std::vector<std::string> worker_command(const settings& s, const contender& c, const workload& w)
{
  std::vector<std::string> command{this_program(), "--work", w.name, std::string(c.name)};
  if (s.alone) command.emplace_back("--alone");
  if (!s.replay.empty()) command.insert(command.end(), {"--replay", s.replay});
  return command;
}

// A contender's part in one row.
struct part {
  unsigned passes = 1;
  unsigned every = 1;  // takes part in one of so many rounds
  bool over = false;
};

struct entrant {
  std::size_t index;                // in contenders()
  std::unique_ptr<process> worker;  // never null
  std::vector<part> parts = {};     // by row of this workload
};

// Nanoseconds an operation; nothing when it took too long. What died is an error: a mistake that gpa found, say.
double round_of(entrant& e, const row& r, unsigned passes, const teller& tell)
{
  e.worker->tell(std::to_string(r.threads) + ' ' + std::to_string(passes));
  const auto answer = e.worker->answer(patience);
  const std::string who = std::string(contenders()[e.index].name) + " on " + r.name();
  if (!answer) {
    if (!e.worker->was_impatient()) throw std::runtime_error("the process of " + who + " ended; see above");
    tell(who + ": left out, a pass took more than " + std::to_string(patience.count()) + " s");
    return not_measured;
  }
  return std::stod(*answer) / (static_cast<double>(r.work->operations) * passes);
}

class workload_run {
 public:
  workload_run(const settings& s, const workload& w, const std::vector<std::size_t>& indices, const teller& tell)
      : settings_(s), work_(w), tell_(tell)
  {
    for (unsigned n = w.least_threads; n <= std::min(w.most_threads, most_threads(s)); ++n)
      rows_.push_back({&w, n, std::vector<series>(contenders().size(), series(s.rounds, not_measured))});
    if (rows_.empty()) return;
    for (const std::size_t i : indices) {
      const contender& c = contenders()[i];
      if (c.most_threads < w.least_threads || (w.needs_reuse && !c.reuses)) continue;
      entrants_.push_back({i, start(i), {}});
    }
  }

  void warm_up()
  {
    for (entrant& e : entrants_) {
      for (const row& r : rows_) e.parts.push_back(part_of(e, r));
      // Too slow for one row, and so killed: the others still have their figures.
      if (!e.worker->was_impatient()) continue;
      e.worker = start(e.index);
      for (std::size_t i = 0; i != rows_.size(); ++i)
        if (!e.parts[i].over) static_cast<void>(round_of(e, rows_[i], 1, tell_));
    }
  }

  // In other processes, whose pages the system places elsewhere. Not for those that take part in few rounds.
  void begin_anew()
  {
    for (entrant& e : entrants_) {
      if (std::ranges::none_of(e.parts, [](const part& p) { return !p.over; })) continue;
      if (std::ranges::any_of(e.parts, [](const part& p) { return !p.over && p.every != 1; })) continue;
      e.worker = start(e.index);
      for (std::size_t i = 0; i != rows_.size() && !e.worker->was_impatient(); ++i)
        if (!e.parts[i].over) static_cast<void>(round_of(e, rows_[i], 1, tell_));
      if (e.worker->was_impatient())
        for (part& all : e.parts) all.over = true;
    }
  }

  void round(unsigned number, std::mt19937& random)
  {
    std::ranges::shuffle(entrants_by_order(), random);
    for (const std::size_t next : order_) {
      entrant& e = entrants_[next];
      for (std::size_t i = 0; i != rows_.size(); ++i) {
        const part& p = e.parts[i];
        if (p.over || number % p.every != 0) continue;
        rows_[i].ns[e.index][number] = round_of(e, rows_[i], p.passes, tell_);
        if (!e.worker->was_impatient()) continue;
        for (part& all : e.parts) all.over = true;
        break;
      }
    }
  }

  [[nodiscard]] std::vector<row> rows() && { return std::move(rows_); }

 private:
  std::unique_ptr<process> start(std::size_t contender_index) const
  {
    const contender& c = contenders()[contender_index];
    auto worker = std::make_unique<process>(worker_command(settings_, c, work_), std::string(c.preload));
    if (worker->answer(60s) != worker_ready)
      throw std::runtime_error("the process of " + std::string(c.name) + " on " + work_.name + " did not start");
    return worker;
  }

  std::vector<std::size_t>& entrants_by_order()
  {
    order_.resize(entrants_.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    return order_;
  }

  part part_of(entrant& e, const row& r) const
  {
    part p;
    if (e.worker->was_impatient()) e.worker = start(e.index);
    p.over = r.threads > contenders()[e.index].most_threads;
    if (p.over) return p;
    const double pass = round_of(e, r, 1, tell_) * static_cast<double>(r.work->operations);
    p.over = std::isnan(pass);
    if (p.over) return p;
    const double fit = (r.work->first_table ? longest_part_of_first_table : longest_part) / pass;
    p.passes = settings_.quick ? 1 : std::clamp(static_cast<unsigned>(std::min(fit, 1e6)), 1U, r.work->passes);
    while (p.every * fit < 1 && p.every * 2 < settings_.rounds) p.every *= 2;
    return p;
  }

  const settings& settings_;
  const workload& work_;
  const teller& tell_;
  std::vector<row> rows_;
  std::vector<entrant> entrants_;
  std::vector<std::size_t> order_;
};

}  // namespace

bool settings::wants(const workload& w) const
{
  return wanted(w, workloads(), only);
}

bool settings::wants(const contender& c) const
{
  return wanted(c, contenders(), only);
}

std::string row::name() const
{
  return work->name + (threads == work->least_threads ? "" : "_two_threads");
}

std::string row::title() const
{
  return work->title + (threads == work->least_threads ? "" : ", each of two threads");
}

std::vector<std::size_t> find_contenders(const settings& s, const teller& tell)
{
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i != contenders().size(); ++i) {
    const contender& c = contenders()[i];
    if (!s.wants(c)) continue;
    if (c.make != nullptr) {
      process asked({this_program(), "--here", std::string(c.name)}, std::string(c.preload), true);
      if (asked.answer(60s) == worker_ready) {
        all.push_back(i);
        continue;
      }
    }
    tell(std::string(c.name) + ": left out, " + std::string(c.missing));
  }
  return all;
}

std::vector<row> measure(const settings& s, const std::vector<std::size_t>& entrants,
                         const std::function<void(const workload&, unsigned, unsigned)>& progress, const teller& tell)
{
  std::mt19937 random(5);
  std::vector<row> rows;
  for (const workload& w : workloads()) {
    if (!s.wants(w)) continue;
    progress(w, 0, s.rounds);
    workload_run run(s, w, entrants, tell);
    run.warm_up();
    for (unsigned number = 0; number != s.rounds; ++number) {
      const bool third_over = number != 0 && number * 3 / s.rounds != (number - 1) * 3 / s.rounds;
      if (third_over && s.rounds >= least_to_begin_anew) run.begin_anew();
      run.round(number, random);
      progress(w, number + 1, s.rounds);
    }
    for (row& r : std::move(run).rows()) rows.push_back(std::move(r));
  }
  return rows;
}

}  // namespace gpa::bench
