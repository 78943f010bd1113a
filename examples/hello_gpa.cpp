// The shape of an application: main() chooses the memory and judges at the end, run() receives and uses it.
//
// Shows S2-16 and S2-17: policy at the edge, use inside. run() would work unchanged with any other memory_resource.
#include <gpa/resource.hpp>

#include <iostream>
#include <memory_resource>
#include <string_view>
#include <vector>

namespace {

void run(std::pmr::memory_resource* memory)
{
  constexpr std::string_view hello = "hello";
  constexpr std::string_view name = "gpa";

  std::pmr::vector<char> text(memory);
  text.insert(text.end(), hello.begin(), hello.end());
  text.push_back(' ');
  text.insert(text.end(), name.begin(), name.end());
  std::cout << std::string_view(text.data(), text.size()) << '\n';
}

}  // namespace

int main()
{
  gpa::resource r;
  run(&r);
  return r.deinit() == gpa::check::ok ? 0 : 1;
}
