#include "memory/memory.hpp"

#include "harness/process.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <ostream>
#include <sstream>
#include <stdexcept>

namespace gpa::bench {

namespace {

constexpr auto patience = std::chrono::seconds(20);

bool wanted(const memory_shape& m, const std::vector<std::string>& only)
{
  const auto named = [&](const memory_shape& other) { return std::ranges::find(only, other.name) != only.end(); };
  const auto names_a_workload = [&](const workload& w) { return std::ranges::find(only, w.name) != only.end(); };
  if (named(m)) return true;
  return std::ranges::none_of(memory_shapes(), named) && std::ranges::none_of(workloads(), names_a_workload);
}

// Nothing where the contender cannot do this, or is left out.
std::optional<held_memory> held_by_process(const memory_shape& m, const contender& c, const teller& tell)
{
  if (c.most_threads < m.most_threads || (m.needs_reuse && !c.reuses)) return {};
  process one({this_program(), "--hold", std::string(m.name), std::string(c.name)}, std::string(c.preload));
  const auto answer = one.answer(patience);
  if (!answer) {
    const std::string who = std::string(c.name) + " on " + std::string(m.name);
    if (!one.was_impatient()) throw std::runtime_error("the process of " + who + " ended; see above");
    tell(who + ": left out, more than " + std::to_string(patience.count()) + " s");
    return {};
  }
  held_memory h;
  std::istringstream(*answer) >> h.live >> h.peak >> h.at_rest >> h.trimmed >> h.blocks >> h.microseconds;
  return h;
}

// What the process held whose time is the median; all zero of none.
held_memory median_by_time(std::vector<held_memory>& of_processes)
{
  if (of_processes.empty()) return {};
  const auto middle = of_processes.begin() + static_cast<std::ptrdiff_t>(of_processes.size() / 2);
  std::ranges::nth_element(of_processes, middle, {}, &held_memory::microseconds);
  return *middle;
}

}  // namespace

void hold(const contender& c, std::string_view shape, std::ostream& out)
{
  const auto found = std::ranges::find(memory_shapes(), shape, &memory_shape::name);
  if (found == memory_shapes().end()) throw std::invalid_argument("no shape is named " + std::string(shape));
  held_memory h;
  found->hold(c, h);
  out << h.live << ' ' << h.peak << ' ' << h.at_rest << ' ' << h.trimmed << ' ' << h.blocks << ' ' << h.microseconds
      << std::endl;
}

std::vector<memory_row> measure_memory(const settings& s, const std::vector<std::size_t>& entrants, const teller& tell)
{
  std::vector<memory_row> rows;
  for (const memory_shape& m : memory_shapes()) {
    if (!wanted(m, s.only)) continue;
    tell("memory: " + std::string(m.name));
    std::vector<std::vector<held_memory>> measured(contenders().size());
    for (unsigned turn = 0; turn != m.processes; ++turn)
      for (const std::size_t i : entrants)
        if (const auto held = held_by_process(m, contenders()[i], tell)) measured[i].push_back(*held);
    memory_row row{&m, {}};
    for (std::vector<held_memory>& of_one : measured) row.held.push_back(median_by_time(of_one));
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace gpa::bench
