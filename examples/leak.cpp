// The first lesson: ask for 100 bytes, forget to give them back, and be told at deinit().
//
// Shows S1-1 to S1-6 and S1-8. The work is done twice, once by code that tidies up and once by code that forgets.
// The report of the second goes to stderr, "LEAK!" is the user's own reaction to the verdict.
#include <gpa/resource.hpp>

#include <cstddef>
#include <cstring>
#include <iostream>
#include <memory_resource>
#include <string_view>
#include <vector>

namespace {

using allocator = std::pmr::polymorphic_allocator<>;

// The vector gives its bytes back at the end of its scope: what `defer` does elsewhere, a destructor does here.
void tidy(allocator a)
{
  std::pmr::vector<std::byte> bytes(100, a);
  bytes.front() = std::byte{42};
}

void forgetful(allocator a)
{
  void* const bytes = a.allocate_bytes(100);
  std::memset(bytes, 42, 100);
}  // nobody knows the address any more

// A deferred block: runs after everything declared below it is gone, and before the resource itself.
struct judge_at_scope_end {
  gpa::resource& r;
  int& leaks;

  ~judge_at_scope_end()
  {
    const gpa::check verdict = r.deinit();
    std::cout << "verdict: " << verdict << '\n';
    if (verdict == gpa::check::leak) {
      std::cout << "LEAK!\n";
      ++leaks;
    }
  }
};

int leaks_of(void (*work)(allocator), std::string_view name)
{
  int leaks = 0;
  {
    gpa::resource r({.name = name});  // or just `gpa::resource r;`
    const judge_at_scope_end at_scope_end{r, leaks};
    std::cout << name << ": ";
    work(r.allocator());
  }
  return leaks;
}

}  // namespace

int main()
{
  const bool tidy_is_clean = leaks_of(tidy, "tidy") == 0;
  const bool forgetful_leaks = leaks_of(forgetful, "forgetful") == 1;
  return tidy_is_clean && forgetful_leaks ? 0 : 1;
}
