// Two mistakes, told on stderr as they are by default; the script looks for the functions that made them.
#include <gpa/resource.hpp>

namespace {

[[gnu::noinline]] void* forget(gpa::resource& r)
{
  void* const p = r.allocate(24);
  return p;
}

[[gnu::noinline]] int free_twice(gpa::resource& r)
{
  void* const p = r.allocate(40);
  r.deallocate(p, 40);
  r.deallocate(p, 40);
  return 1;
}

}  // namespace

int main()
{
  gpa::resource told({.name = "told", .checks = gpa::checks::always(), .after_mistake = gpa::after_mistake::carry_on});
  const bool done = forget(told) != nullptr && free_twice(told) == 1;
  return done && told.deinit() == gpa::check::leak ? 0 : 1;
}
