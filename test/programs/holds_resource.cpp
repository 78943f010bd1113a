// A shared library with a resource of its own, unloaded while threads that used it still run. dlopen_test loads it.
#include <gpa/resource.hpp>

#include <cstddef>
#include <memory_resource>
#include <string>
#include <vector>

namespace {

gpa::resource memory({.name = "in a library", .checks = gpa::checks::always()});
std::pmr::vector<std::pmr::string> words(&memory);

}  // namespace

/// Allocates and frees on the calling thread; the mistakes reported so far, which is none.
extern "C" __attribute__((visibility("default"))) std::size_t use_library()
{
  for (std::size_t bytes = 1; bytes < 100'000; bytes *= 3) {
    void* const p = memory.allocate(bytes);
    memory.deallocate(p, bytes);
  }
  return memory.stats().mistakes;
}

/// Keeps a block that the library's own destructors free.
extern "C" __attribute__((visibility("default"))) void keep_in_library() { words.emplace_back(100, 'x'); }
