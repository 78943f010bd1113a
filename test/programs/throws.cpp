// What a throw costs. Built twice, without gpa and with it: test/throw_cost_test.sh compares.
//
//   throws N    N exceptions, each through twelve frames; with gpa a checked resource has captured call stacks before
#include <cstdlib>
#include <stdexcept>

#ifdef THROWS_BESIDE_GPA
#include <gpa/resource.hpp>
#endif

namespace {

volatile int depth = 12;

[[gnu::noinline]] int throw_through(int frames)
{
  if (frames == 0) throw std::runtime_error("thrown");
  return throw_through(frames - 1) + 1;
}

// Catches in a frame of its own: main() has more to clean up where gpa is.
[[gnu::noinline]] bool throw_and_catch()
{
  try {
    return throw_through(depth) == 0;
  } catch (const std::runtime_error&) {
    return true;
  }
}

}  // namespace

int main(int count, char** words)
{
  const int wanted = count > 1 ? std::atoi(words[1]) : 0;
#ifdef THROWS_BESIDE_GPA
  gpa::resource r({.checks = gpa::checks::always()});
  for (int i = 0; i != 100; ++i) r.deallocate(r.allocate(64), 64);
#endif
  for (int i = 0; i != wanted; ++i)
    if (!throw_and_catch()) return 1;
  return 0;
}
