// Pointers that must never reach a free, each named as what it is; and a handler that receives the reports.
//
// The pointer's own memory is never touched: what an address is, gpa looks up in its page map. With `on_report` the
// program decides what to do with a report; here it prints one line of it.
#include <gpa/resource.hpp>

#include <iostream>
#include <memory_resource>

namespace {

int global = 0;

}  // namespace

int main()
{
  const auto print = [](const gpa::report& r) {
    std::cout << gpa::to_string(r.kind);
    if (!r.owner.empty()) std::cout << ", owner \"" << r.owner << '"';
    if (!r.reason.empty()) std::cout << ": " << r.reason;
    std::cout << '\n';
  };
  gpa::resource mine({.name = "mine", .after_mistake = gpa::after_mistake::carry_on, .on_report = print});
  gpa::resource other({.name = "other"});
  char local[64] = {};
  char* const block = static_cast<char*>(mine.allocate(64, 8));
  void* const foreign = other.allocate(64, 8);

  mine.deallocate(local, 64, 8);
  mine.deallocate(&global, sizeof global, alignof(int));
  mine.deallocate(block + 16, 48, 8);
  mine.deallocate(foreign, 64, 8);

  mine.deallocate(block, 64, 8);
  other.deallocate(foreign, 64, 8);
  std::cout << "mistakes: " << mine.stats().mistakes << '\n';
  const gpa::check verdict = mine.deinit();
  std::cout << "verdict: " << verdict << '\n';
  return verdict == gpa::check::misuse ? 0 : 1;
}
