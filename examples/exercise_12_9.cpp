// Exercise 12-9: allocate 256 bytes in main, fill them with 1, free them (S2-18).
#include <gpa/resource.hpp>

#include <algorithm>
#include <cstddef>
#include <iostream>
#include <memory_resource>
#include <numeric>

int main()
{
  gpa::resource r;
  auto allocator = r.allocator<unsigned char>();

  constexpr std::size_t count = 256;
  unsigned char* const bytes = allocator.allocate(count);
  std::fill_n(bytes, count, static_cast<unsigned char>(1));
  std::cout << count << " bytes, their sum is " << std::accumulate(bytes, bytes + count, 0) << '\n';
  allocator.deallocate(bytes, count);

  const gpa::check verdict = r.deinit();
  std::cout << "verdict: " << verdict << '\n';
  return verdict == gpa::check::ok ? 0 : 1;
}
