// A program of somebody else: a container over a gpa::resource. Exit status 0 when a leak is seen exactly where one is.
#include <gpa/resource.hpp>
#include <gpa/version.hpp>

#include <iostream>
#include <memory_resource>
#include <string>
#include <vector>

int main()
{
  gpa::resource clean;
  {
    std::pmr::vector<std::pmr::string> names(&clean);
    names.emplace_back("a text that is too long for the small string optimisation");
  }
  gpa::resource leaking({.name = "leaking", .on_report = [](const gpa::report&) {}});
  static_cast<void>(leaking.allocate(24));

  const bool right = clean.deinit() == gpa::check::ok && leaking.deinit() == gpa::check::leak;
  std::cout << "gpa " << GPA_VERSION << (right ? " works\n" : " is wrong\n");
  return right ? 0 : 1;
}
