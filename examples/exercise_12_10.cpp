// Exercise 12-10: run() receives the allocator and builds a growing list of 32-bit numbers (S2-19).
#include <gpa/resource.hpp>

#include <cstdint>
#include <iostream>
#include <memory_resource>
#include <vector>

namespace {

void run(std::pmr::memory_resource* memory)
{
  std::pmr::vector<std::uint32_t> squares(memory);
  for (std::uint32_t i = 1; i <= 10; ++i) squares.push_back(i * i);
  for (const std::uint32_t square : squares) std::cout << square << ' ';
  std::cout << '\n';
}

}  // namespace

int main()
{
  gpa::resource r;
  run(&r);
  const gpa::check verdict = r.deinit();
  std::cout << "verdict: " << verdict << '\n';
  return verdict == gpa::check::ok ? 0 : 1;
}
