// The same program checked and unchecked: what changes is what a report can say, not whether a leak is noticed.
//
// Shows S1-7, S1-11 and S2-7. Checking needs no start and no flag: a resource checks what it hands out unless the
// file that makes it was compiled with NDEBUG, or the options say otherwise. Unchecked, blocks and bytes are still
// counted: the verdict stays, with totals instead of call stacks.
#include <gpa/resource.hpp>

#include <iostream>
#include <memory_resource>
#include <string_view>

namespace {

bool leaks(std::string_view name, gpa::checks checks)
{
  gpa::resource r({.name = name, .checks = checks});
  static_cast<void>(r.allocate(300, 8));
  const gpa::check verdict = r.deinit();
  std::cout << name << ": " << verdict << ", " << r.stats().live_bytes << " bytes live\n";
  return verdict == gpa::check::leak;
}

}  // namespace

int main()
{
  const bool seen_when_checked = leaks("checked", gpa::checks::always());
  const bool seen_when_unchecked = leaks("unchecked", gpa::checks::never());
  return seen_when_checked && seen_when_unchecked ? 0 : 1;
}
