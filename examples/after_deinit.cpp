// Using a resource after deinit(): allocation is refused, a late free is tolerated, and both are reported.
//
// Shows S1-21. The verdict stays what it was: a second deinit() returns the first one and prints nothing.
#include <gpa/resource.hpp>

#include <iostream>
#include <memory_resource>
#include <new>

namespace {

bool refuses(gpa::resource& r)
{
  try {
    static_cast<void>(r.allocate(32, 8));
  } catch (const std::bad_alloc&) {
    return true;
  }
  return false;
}

}  // namespace

int main()
{
  gpa::resource r({.name = "closed", .after_mistake = gpa::after_mistake::carry_on});
  void* const late = r.allocate(120, 8);

  const gpa::check first = r.deinit();  // reports the 120 bytes that are still live
  std::cout << "verdict: " << first << '\n';

  const bool refused = refuses(r);
  std::cout << "allocation after deinit: " << (refused ? "bad_alloc" : "given") << '\n';

  r.deallocate(late, 120, 8);
  std::cout << "free after deinit: tolerated, " << r.stats().live_blocks << " blocks live\n";

  const gpa::check second = r.deinit();
  std::cout << "verdict, asked again: " << second << '\n';
  return refused && first == gpa::check::leak && second == first ? 0 : 1;
}
