// How long a leak report of very many blocks takes, and how much memory beyond the blocks' own.
//
//   many_leaks BLOCKS SHAPE MOST_SECONDS MOST_MIB
//
// SHAPE is what the blocks, of 48 bytes each, hold: `flat` no pointers; `chain` each the next one, in random order;
// `ring` the next one and the one before, in random order, so that all are one cycle; `table` none, and one large block
// that points at all of them. Prints the figures; exit status 1 when they are above what is allowed, or the report does
// not count what was made.
#include <gpa/resource.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::size_t block_bytes = 48;

struct node {
  node* next = nullptr;
  node* previous = nullptr;
  char rest[block_bytes - 2 * sizeof(node*)] = {};
};

// Resident now, or at most since the last forget_peak(), in KiB.
std::size_t resident(std::string_view field)
{
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(field)) return std::strtoull(line.c_str() + field.size(), nullptr, 10);
  return 0;
}

bool forget_peak()
{
  return static_cast<bool>(std::ofstream("/proc/self/clear_refs") << "5" << std::flush);
}

void link(const std::vector<node*>& nodes, std::string_view shape)
{
  if (shape != "chain" && shape != "ring") return;
  for (std::size_t i = 0; i + 1 != nodes.size(); ++i) {
    nodes[i]->next = nodes[i + 1];
    if (shape == "ring") nodes[i + 1]->previous = nodes[i];
  }
  if (shape == "ring") {
    nodes.back()->next = nodes.front();
    nodes.front()->previous = nodes.back();
  }
}

}  // namespace

int main(int count, char** words)
{
  if (count != 5) return 2;
  const std::size_t blocks = std::strtoull(words[1], nullptr, 10);
  const std::string_view shape = words[2];
  const double most_seconds = std::atof(words[3]), most_mib = std::atof(words[4]);

  std::size_t owners = 0, owned = 0;
  gpa::options o{.name = "many", .checks = gpa::checks::always()};
  o.after_mistake = gpa::after_mistake::carry_on;
  o.on_report = [&](const gpa::report& r) {
    owners += r.blocks;
    owned += r.owned_blocks;
  };
  gpa::resource r(o);
  {
    std::vector<node*> nodes(blocks);
    for (node*& n : nodes) n = new (r.allocate(sizeof(node), alignof(node))) node;
    if (shape == "table")
      std::copy(nodes.begin(), nodes.end(), static_cast<node**>(r.allocate(blocks * sizeof(node*), 8)));
    std::shuffle(nodes.begin(), nodes.end(), std::mt19937_64(7));
    link(nodes, shape);
  }

  const bool can_tell = forget_peak();
  const std::size_t before = resident("VmRSS:");
  const auto start = std::chrono::steady_clock::now();
  const std::size_t live = r.detect_leaks();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double mib = static_cast<double>(resident("VmHWM:") - before) / 1024;

  const std::size_t made = blocks + (shape == "table" ? 1 : 0);
  std::printf("%zu blocks, %s: %zu leaked, %zu owners, %.2f s, %.1f MiB\n", blocks, words[2], live, owners, seconds,
              mib);
  r.release();
  const bool right = live == made && owners + owned == made && (shape == "flat" ? owned == 0 : owners == 1);
  return right && seconds <= most_seconds && (!can_tell || mib <= most_mib) ? 0 : 1;
}
