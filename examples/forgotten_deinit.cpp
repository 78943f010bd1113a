// Nobody calls deinit(), and nobody looks at a verdict: the leak is found all the same.
//
// Shows S1-19 and the answer to S1-20. The destructor does what deinit() would have done, and `leak_exit_status`
// turns the 0 that main returns into 3, so a script or a test runner sees the leak too.
// Exit status: 3.
#include <gpa/resource.hpp>

#include <iostream>
#include <memory_resource>
#include <string>

namespace {

void forget_a_greeting(std::pmr::polymorphic_allocator<> a)
{
  const auto* const greeting = a.new_object<std::pmr::string>("a greeting too long for the small buffer of a string");
  std::cout << *greeting << '\n';
}  // two blocks are lost: the string and its characters

}  // namespace

int main()
{
  gpa::resource r({.name = "greetings", .leak_exit_status = 3});
  forget_a_greeting(&r);
  return 0;
}
