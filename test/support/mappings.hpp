// What the kernel keeps of this process's addresses, for tests of what must not grow.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <fstream>
#include <string>

namespace gpa::test {

[[nodiscard]] inline std::size_t mappings()
{
  std::ifstream file("/proc/self/maps");
  std::size_t lines = 0;
  for (std::string line; std::getline(file, line);) ++lines;
  return lines;
}

/// A line of /proc/self/status: "VmPTE" is KiB of page tables, "VmSize" of addresses.
[[nodiscard]] inline std::size_t status_kib(const std::string& name)
{
  std::ifstream file("/proc/self/status");
  for (std::string word; file >> word;) {
    if (word != name + ':') continue;
    std::size_t kib = 0;
    file >> kib;
    return kib;
  }
  return 0;
}

/// Asks the kernel, past what sanitizers make of write().
[[nodiscard]] inline bool is_accessible(const void* p)
{
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return false;
  const bool yes = ::syscall(SYS_write, ends[1], p, 1) == 1;
  ::close(ends[0]);
  ::close(ends[1]);
  return yes;
}

}  // namespace gpa::test
