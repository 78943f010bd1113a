// A whole program on gpa by two lines in main(): containers that name no resource use it too.
//
// Shows S2-2. The guard makes `r` std::pmr's default while it lives. It is declared after `r`, so it ends before it.
// For containers with static storage, which outlive main(), take gpa::process_resource() instead: it never dies.
#include <gpa/resource.hpp>

#include <iostream>
#include <memory_resource>
#include <string>
#include <vector>

namespace {

void run()
{
  std::pmr::vector<std::pmr::string> names;  // no resource in sight
  names.emplace_back("a name that does not fit into the string itself");
  std::cout << names.size() << " name\n";
}

}  // namespace

int main()
{
  gpa::resource r({.name = "application"});
  {
    const gpa::default_resource_guard guard(&r);
    run();
  }
  const bool back = std::pmr::get_default_resource() == std::pmr::new_delete_resource();
  std::cout << "run() used gpa: " << (r.stats().total_blocks != 0 ? "yes" : "no") << '\n'
            << "the default is new_delete again: " << (back ? "yes" : "no") << '\n';
  const gpa::check verdict = r.deinit();
  std::cout << "verdict: " << verdict << '\n';
  return back && verdict == gpa::check::ok ? 0 : 1;
}
