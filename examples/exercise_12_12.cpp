// Exercise 12-12: why may a function not return the allocator of its own resource? (S2-5, S2-6, S2-21)
//
// The allocator is one pointer; what it points at, the state, is a local variable that ends with the function. The
// caller is left with a pointer to nothing. Where that is undefined behaviour elsewhere, here it is found three
// times: as the resource ends with a live block (leak), as the stale allocator is asked for memory (use after
// deinit, then bad_alloc), and as the block is given back (use after deinit). None of it touches memory that is
// not there: the target of r.allocator() outlives the resource for as long as blocks of it are live. After the last
// one is back, the allocator is as dead as it looks.
//
// The right form is all other programs here: the resource is made where it outlives its users, and handed down.
#include <gpa/resource.hpp>

#include <cstddef>
#include <cstring>
#include <iostream>
#include <memory_resource>
#include <new>

namespace {

struct parcel {
  std::pmr::polymorphic_allocator<> allocator;
  void* block;
};

constexpr std::size_t block_bytes = 64;

parcel wrong()
{
  gpa::resource local({.name = "local", .after_mistake = gpa::after_mistake::carry_on});
  std::pmr::polymorphic_allocator<> a = local.allocator();
  void* const block = a.allocate_bytes(block_bytes);
  std::memset(block, 7, block_bytes);
  return {a, block};
}  // `local` ends here: the first report

}  // namespace

int main()
{
  parcel late = wrong();
  const char* const bytes = static_cast<const char*>(late.block);
  std::cout << "the block is still readable: " << (bytes[63] == 7 ? "yes" : "no") << '\n';

  bool refused = false;
  try {
    static_cast<void>(late.allocator.allocate_bytes(8));  // the second report
  } catch (const std::bad_alloc&) {
    refused = true;
  }
  std::cout << "more memory: " << (refused ? "refused" : "given") << '\n';

  late.allocator.deallocate_bytes(late.block, block_bytes);  // the third report
  std::cout << "given back late, and still here\n";
  return refused ? 0 : 1;
}
