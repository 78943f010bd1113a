// One function, five kinds of memory, and the function knows none of them.
//
// Shows S2-9 and S2-10: work() takes the interface. The caller decides: gpa itself, an arena or a pool on top of
// gpa, a buffer on the stack that must do (null upstream), or gpa with too small a limit, to see the failure path.
#include <gpa/resource.hpp>

#include <array>
#include <cstddef>
#include <iostream>
#include <memory_resource>
#include <new>
#include <string>
#include <string_view>
#include <vector>

namespace {

std::size_t work(std::pmr::memory_resource* memory)
{
  std::pmr::vector<std::pmr::string> table(memory);
  table.emplace_back("general purpose, for many objects of any size");
  table.emplace_back("an arena, for many objects with one end");
  table.emplace_back("a buffer, for what is known to be small");
  table.emplace_back("a pool, for many objects of few sizes");
  std::size_t letters = 0;
  for (const std::pmr::string& row : table) letters += row.size();
  return letters;
}

void run(std::string_view name, std::pmr::memory_resource* memory)
{
  std::cout << name << ": ";
  try {
    std::cout << work(memory) << " letters\n";
  } catch (const std::bad_alloc&) {
    std::cout << "bad_alloc\n";
  }
}

}  // namespace

int main()
{
  gpa::resource r({.name = "work"});
  gpa::resource small({.name = "small", .memory_limit = 300});
  {
    std::pmr::monotonic_buffer_resource arena(&r);
    std::pmr::unsynchronized_pool_resource pool(&r);
    std::array<std::byte, 2048> bytes{};
    std::pmr::monotonic_buffer_resource buffer(bytes.data(), bytes.size(), std::pmr::null_memory_resource());

    run("gpa", &r);
    run("arena over gpa", &arena);
    run("pool over gpa", &pool);
    run("2048 bytes on the stack", &buffer);
    run("gpa, at most 300 bytes", &small);
  }
  const gpa::check verdict = r.deinit();
  const gpa::check small_verdict = small.deinit();
  std::cout << "verdicts: " << verdict << ", " << small_verdict << '\n';
  return verdict == gpa::check::ok && small_verdict == gpa::check::ok ? 0 : 1;
}
