// A container that outlives its resource, the mistake of C++ programs: declared first, it dies last.
//
// Shows S2-5. The resource reports what is still live when it ends, with the line that allocated it. The container
// still reads its elements and then frees them, too late: reported as use after deinit, and harmless. Cure: declare
// the resource before everything that uses it.
#include <gpa/resource.hpp>

#include <iostream>
#include <memory_resource>
#include <numeric>
#include <optional>
#include <vector>

namespace {

void wrong_order()
{
  std::optional<std::pmr::vector<int>> numbers;
  gpa::resource r({.name = "too short", .after_mistake = gpa::after_mistake::carry_on});
  numbers.emplace(10, 4, r.allocator<int>());
  std::cout << "sum: " << std::accumulate(numbers->begin(), numbers->end(), 0) << '\n';
}  // r ends, then numbers

void right_order()
{
  gpa::resource r({.name = "long enough"});
  std::optional<std::pmr::vector<int>> numbers;
  numbers.emplace(10, 4, r.allocator<int>());
  std::cout << "sum: " << std::accumulate(numbers->begin(), numbers->end(), 0) << '\n';
}

}  // namespace

int main()
{
  wrong_order();
  right_order();
  std::cout << "still here\n";
}
