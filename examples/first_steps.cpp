// 128 bytes from a gpa::resource: allocate, clear, print how many, give back.
//
// Shows S2-3, and with the assertions S2-4 and S1-23: the state is one big value that stays where it is, the
// interface one pointer that everybody may copy. Store the interface; the state cannot be stored by accident.
#include <gpa/resource.hpp>

#include <cstddef>
#include <cstring>
#include <iostream>
#include <memory_resource>
#include <type_traits>

static_assert(sizeof(std::pmr::polymorphic_allocator<>) == sizeof(void*));
static_assert(std::is_convertible_v<gpa::resource*, std::pmr::polymorphic_allocator<>>);
static_assert(!std::is_copy_constructible_v<gpa::resource> && !std::is_copy_assignable_v<gpa::resource>);
static_assert(!std::is_move_constructible_v<gpa::resource> && !std::is_move_assignable_v<gpa::resource>);

int main()
{
  gpa::resource r;                                                   // the state
  const std::pmr::polymorphic_allocator<> allocator = r.allocator();  // the interface

  auto copy = allocator;
  const std::size_t count = 128;
  void* const bytes = copy.allocate_bytes(count);
  std::memset(bytes, 0, count);
  std::cout << count << " bytes, " << r.stats().live_blocks << " block live\n";
  copy.deallocate_bytes(bytes, count);

  const gpa::check verdict = r.deinit();
  std::cout << "verdict: " << verdict << '\n';
  return verdict == gpa::check::ok ? 0 : 1;
}
