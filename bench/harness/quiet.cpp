#include "harness/quiet.hpp"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <numeric>
#include <random>
#include <utility>

namespace gpa::bench {

namespace {

constexpr std::size_t count = std::size_t{24} << 10;  // of lines, 1.5 MiB: both the second-level cache and what is behind it

std::vector<int> allowed_cpus()
{
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  ::sched_getaffinity(0, sizeof allowed, &allowed);
  std::vector<int> cpus;
  for (int cpu = 0; cpu != CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
  return cpus;
}

// The calling thread runs there; everywhere again at the end.
class on_cpu {
 public:
  explicit on_cpu(int cpu)
  {
    CPU_ZERO(&before_);
    ::sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ::sched_setaffinity(0, sizeof one, &one);
  }
  ~on_cpu() { ::sched_setaffinity(0, sizeof before_, &before_); }
  on_cpu(const on_cpu&) = delete;
  on_cpu& operator=(const on_cpu&) = delete;

 private:
  cpu_set_t before_;
};

}  // namespace

quiet_gauge::quiet_gauge() : lines_(count)
{
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::shuffle(order, std::mt19937(7));
  for (std::size_t i = 0; i != count; ++i) lines_[order[i]].next = order[(i + 1) % count];
  quickest_.assign(std::max<std::size_t>(allowed_cpus().size(), 1), std::numeric_limits<double>::infinity());
  for (int i = 0; i != 200; ++i) static_cast<void>(disturbance(static_cast<unsigned>(quickest_.size())));
}

double quiet_gauge::walk_once()
{
  using clock = std::chrono::steady_clock;
  volatile std::size_t start = 0;
  std::size_t at = start;
  for (std::size_t i = 0; i != count; ++i) at = lines_[at].next;  // others had the caches
  const auto begin = clock::now();
  for (std::size_t i = 0; i != count; ++i) at = lines_[at].next;
  start = at;
  return std::chrono::duration<double, std::nano>(clock::now() - begin).count();
}

double quiet_gauge::disturbance(unsigned cpus)
{
  const std::vector<int> allowed = allowed_cpus();
  double most_disturbed = 1;
  for (std::size_t i = 0; i != std::min<std::size_t>(allowed.size(), cpus); ++i) {
    const on_cpu here(allowed[i]);
    const double took = walk_once();
    quickest_[i] = std::min(quickest_[i], took);
    most_disturbed = std::max(most_disturbed, took / quickest_[i]);
  }
  return most_disturbed;
}

}  // namespace gpa::bench
