// A reference kept over a push_back. The vector's old memory is inaccessible once it is freed: the read faults, and the
// fault is explained before it ends the program.
//
// Ends by SIGSEGV (exit status 139 in a shell), as it would without gpa.
#include <gpa/resource.hpp>

#include <iostream>
#include <memory_resource>
#include <vector>

namespace {

[[gnu::noinline]] void append(std::pmr::vector<int>& readings, int value)
{
  readings.push_back(value);
}

}  // namespace

int main()
{
  gpa::resource r({.name = "sensors"});
  std::pmr::vector<int> readings(100'000, 20, &r);
  const int& first = readings.front();
  append(readings, 21);
  std::cout << "the first reading is " << first << '\n';
}
