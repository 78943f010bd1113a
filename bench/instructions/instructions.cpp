#include "instructions/instructions.hpp"

#include "harness/crew.hpp"
#include "harness/process.hpp"

#include <limits>
#include <optional>
#include <string>
#include <system_error>

namespace gpa::bench {

namespace {

constexpr unsigned fewer = 20'000, more = 60'000;

std::optional<double> collected(const contender& c, unsigned count)
{
  // Its summary goes to stderr; the file of counts by function is not wanted.
  process one({"valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--log-fd=1", this_program(),
               "--pairs", std::to_string(count), std::string(c.name)},
              std::string(c.preload), true);
  const std::string said = one.everything();
  constexpr std::string_view label = "Collected : ";
  const std::size_t at = said.find(label);
  if (at == std::string::npos) return std::nullopt;
  return std::stod(said.substr(at + label.size()));
}

// Not inlined: three instructions a turn are its own, and the compiler does not know which resource it is.
[[gnu::noinline]] void pairs_on(std::pmr::memory_resource* r, unsigned count)
{
  for (unsigned i = 0; i != count; ++i) r->deallocate(r->allocate(64), 64);
}

bool valgrind_is_here()
{
  try {
    return process({"valgrind", "--version"}, "", true).everything().starts_with("valgrind-");
  } catch (const std::system_error&) {
    return false;
  }
}

}  // namespace

void make_pairs(const contender& c, unsigned count)
{
  crew threads(false);
  const std::unique_ptr<heap> h = c.make();
  pairs_on(&h->resource(), count);
}

std::vector<double> count_instructions(const std::vector<std::size_t>& entrants, const teller& tell)
{
  std::vector<double> counted(contenders().size(), std::numeric_limits<double>::quiet_NaN());
  if (!valgrind_is_here()) {
    tell("instructions: left out, valgrind is not installed");
    return counted;
  }
  for (const std::size_t i : entrants) {
    const contender& c = contenders()[i];
    if (c.name.ends_with("_twin")) continue;
    tell("instructions: " + std::string(c.name));
    const auto low = collected(c, fewer), high = collected(c, more);
    if (low && high) counted[i] = (*high - *low) / (more - fewer);
  }
  return counted;
}

}  // namespace gpa::bench
