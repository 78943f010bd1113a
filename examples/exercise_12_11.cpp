// Exercise 12-11: one Point, made, set, printed and destroyed (S2-20, and the right half of S2-15).
//
// new_object() allocates and constructs, delete_object() destroys and gives back with the size of the same type.
#include <gpa/resource.hpp>

#include <iostream>
#include <memory_resource>

namespace {

struct point {
  int x = 0;
  int y = 0;
};

}  // namespace

int main()
{
  gpa::resource r;
  std::pmr::polymorphic_allocator<> allocator = r.allocator();

  point* const p = allocator.new_object<point>();
  p->x = 3;
  p->y = 4;
  std::cout << "point (" << p->x << ", " << p->y << ")\n";
  allocator.delete_object(p);

  const gpa::check verdict = r.deinit();
  std::cout << "verdict: " << verdict << '\n';
  return verdict == gpa::check::ok ? 0 : 1;
}
