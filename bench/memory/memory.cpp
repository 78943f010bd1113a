#include "memory/memory.hpp"

#include "harness/process.hpp"

#include <algorithm>
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
    memory_row row{&m, std::vector<held_memory>(contenders().size())};
    for (const std::size_t i : entrants) {
      const contender& c = contenders()[i];
      if (c.most_threads < m.most_threads || (m.needs_reuse && !c.reuses)) continue;
      process one({this_program(), "--hold", std::string(m.name), std::string(c.name)}, std::string(c.preload));
      const auto answer = one.answer(patience);
      if (!answer) {
        const std::string who = std::string(c.name) + " on " + std::string(m.name);
        if (!one.was_impatient()) throw std::runtime_error("the process of " + who + " ended; see above");
        tell(who + ": left out, more than " + std::to_string(patience.count()) + " s");
        continue;
      }
      held_memory& h = row.held[i];
      std::istringstream(*answer) >> h.live >> h.peak >> h.at_rest >> h.trimmed >> h.blocks >> h.microseconds;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace gpa::bench
