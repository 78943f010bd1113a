// The same block freed twice: three call stacks say who allocated, who freed first, and who freed again.
//
// Shows S1-9, for a small block, the only one of its slab, and for a large one, whose memory has gone back to the
// system by then. The second free is ignored.
#include <gpa/resource.hpp>

#include <cstddef>
#include <iostream>

namespace {

void close(gpa::resource& r, void* file, std::size_t bytes) { r.deallocate(file, bytes, 8); }

void use(gpa::resource& r, std::size_t bytes)
{
  void* const file = r.allocate(bytes, 8);
  close(r, file, bytes);
  close(r, file, bytes);
  std::cout << bytes << " bytes, closed twice\n";
}

}  // namespace

int main()
{
  gpa::resource r({.name = "files", .after_mistake = gpa::after_mistake::carry_on});
  use(r, 56);
  use(r, 200'000);
  std::cout << "mistakes: " << r.stats().mistakes << ", blocks live: " << r.stats().live_blocks << '\n';
  const gpa::check verdict = r.deinit();
  std::cout << "verdict: " << verdict << '\n';
  return verdict == gpa::check::misuse ? 0 : 1;
}
