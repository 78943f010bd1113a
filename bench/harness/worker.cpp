#include "harness/worker.hpp"

#include "harness/crew.hpp"

#include <chrono>
#include <fstream>
#include <iostream>
#include <string>

namespace gpa::bench {

namespace {

using clock = std::chrono::steady_clock;

double since(clock::time_point begin)
{
  return std::chrono::duration<double, std::nano>(clock::now() - begin).count();
}

// Making the heap and dropping it is on the clock; making the job, which draws its numbers, is not.
double fresh_pass(crew& threads, const contender& c, const workload& w, unsigned count)
{
  const auto begin = clock::now();
  std::unique_ptr<heap> h = c.make();
  double ns = since(begin);
  auto j = w.make(*h);
  ns += threads.pass(*j, count);
  j.reset();
  const auto end = clock::now();
  h.reset();
  return ns + since(end);
}

}  // namespace

bool is_here(const contender& c)
{
  if (c.make == nullptr) return false;
  if (c.preload.empty()) return true;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);)
    if (line.find(std::string(c.preload).substr(0, c.preload.find(".so"))) != std::string::npos) return true;
  return false;
}

void work(const contender& c, const workload& w, bool alone, std::istream& in, std::ostream& out)
{
  if (!is_here(c)) {
    out << worker_cannot << std::endl;
    return;
  }
  crew threads(alone);
  std::unique_ptr<heap> h;
  std::unique_ptr<job> j;  // goes before the heap: it may hold blocks
  if (w.warmth == heat::warm) {
    h = c.make();
    j = w.make(*h);
  }
  out << worker_ready << std::endl;
  unsigned count = 0, passes = 0;
  while (in >> count >> passes) {
    double ns = 0;
    if (w.warmth == heat::warm) {  // since the last round, others had the CPU's caches
      static_cast<void>(threads.pass(*j, count));
      h->after_pass();
    }
    for (unsigned i = 0; i != passes; ++i) {
      if (w.warmth == heat::warm) {
        ns += threads.pass(*j, count);
        h->after_pass();
      } else {
        ns += fresh_pass(threads, c, w, count);
      }
    }
    out << ns << std::endl;
  }
}

}  // namespace gpa::bench
