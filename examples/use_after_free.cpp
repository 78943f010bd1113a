// A write through a stale pointer. Freed memory is filled with a pattern; whoever changed it is told at verify().
//
// Shows S1-10. The report names the bytes that changed and the two calls that allocated and freed the block; the
// instruction that wrote is not known. To write through a freed pointer is undefined behaviour of the program; here
// the memory is still there and unused: it waits in quarantine.
#include <gpa/resource.hpp>

#include <cstddef>
#include <iostream>
#include <memory_resource>

namespace {

struct account {
  int id;
  int balance;
  char note[40];
};

void pay_into(account* a, int amount)
{
  volatile int& balance = a->balance;  // volatile, so that no compiler leaves the write out
  balance = amount;
}

}  // namespace

int main()
{
  gpa::resource r({.name = "accounts", .after_mistake = gpa::after_mistake::carry_on});
  account* const closed = r.allocator().new_object<account>(account{7, 0, "closing"});
  r.allocator().delete_object(closed);
  std::cout << "mistakes found by verify(): " << r.verify() << '\n';

  pay_into(closed, 100);
  const std::size_t found = r.verify();
  std::cout << "mistakes found by verify(): " << found << '\n';
  const gpa::check verdict = r.deinit();
  std::cout << "verdict: " << verdict << '\n';
  return found == 1 && verdict == gpa::check::misuse ? 0 : 1;
}
