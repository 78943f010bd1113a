#include "base/assert.hpp"

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace gpa::detail {

void assertion_failed(const char* condition, const char* file, int line) noexcept
{
  char number[12];
  char* digit = number + sizeof number;
  *--digit = '\0';
  do {
    *--digit = static_cast<char>('0' + line % 10);
    line /= 10;
  } while (line != 0 && digit != number);

  char text[512];
  std::size_t used = 0;
  for (const char* part : {"gpa: internal error, please report it: ", condition, " is false at ", file, ":",
                           static_cast<const char*>(digit), "\n"}) {
    const std::size_t length = std::strlen(part);
    const std::size_t room = sizeof text - used;
    const std::size_t taken = length < room ? length : room;
    std::memcpy(text + used, part, taken);
    used += taken;
  }
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text, used);
  std::abort();
}

}  // namespace gpa::detail
