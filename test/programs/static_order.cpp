// A container at namespace scope that is destroyed after its resource. lifetime_test runs it and reads what it says.
//   static_order          default options: the first late free ends the program
//   static_order onward   carries on and returns 0
#include <gpa/resource.hpp>

#include <cstring>
#include <memory_resource>
#include <optional>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace {

bool is_told_to_carry_on()
{
  char words[8192] = {};  // the program's path comes first, however long it is
  const int file = ::open("/proc/self/cmdline", O_RDONLY);
  const ssize_t got = ::read(file, words, sizeof words - 1);
  ::close(file);
  return got > 0 && ::memmem(words, static_cast<std::size_t>(got), "onward", 6) != nullptr;
}

std::optional<std::pmr::vector<int>> numbers;
gpa::resource memory({.name = "namespace scope",
                      .checks = gpa::checks::always(),
                      .after_mistake = is_told_to_carry_on() ? gpa::after_mistake::carry_on
                                                             : gpa::after_mistake::abort});

}  // namespace

int main() { numbers.emplace({1, 2, 3}, &memory); }
