// Leaks seen at once, in the middle of the run: after each request nothing may be left over.
//
// Shows S1-17. detect_leaks() may be asked at any time; a block that is meant to stay is named with ignore() and
// from then on no leak report lists it.
#include <gpa/resource.hpp>

#include <cstddef>
#include <iostream>
#include <memory_resource>
#include <string>
#include <vector>

namespace {

void answer(int request, std::pmr::polymorphic_allocator<> a)
{
  const std::pmr::string page("a page long enough to live in memory of its own", a);
  void* const scratch = a.allocate_bytes(200);
  if (request == 3) return;  // the mistake: an early return past the clean-up
  a.deallocate_bytes(scratch, 200);
}

}  // namespace

int main()
{
  gpa::resource r({.name = "server"});
  const std::pmr::vector<int> cache(1000, &r);
  r.ignore(cache.data());  // lives as long as the server: no request is to blame

  std::size_t left = 0;
  for (int request = 1; request <= 5 && left == 0; ++request) {
    answer(request, &r);
    left = r.detect_leaks();
    std::cout << "blocks left over by request " << request << ": " << left << '\n';
  }
  return left == 1 ? 0 : 1;
}  // the lost block is reported once more, as the resource ends; the cache, gone by then, is not
