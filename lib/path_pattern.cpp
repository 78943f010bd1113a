#include "path_pattern.hpp"

#include "trace/format.hpp"

#include <errno.h>
#include <unistd.h>

namespace gpa::detail {

namespace {

void append_name(text& out, std::string_view name) noexcept
{
  for (const char c : name) out.append(1, c == '/' || c == '\0' ? '_' : c);
}

}  // namespace

void append_path(text& out, std::string_view pattern, std::string_view name) noexcept
{
  for (std::size_t i = 0; i != pattern.size(); ++i) {
    const char next = pattern[i] == '%' && i + 1 != pattern.size() ? pattern[i + 1] : '\0';
    const bool known = next == 'p' || next == 'e' || next == '%' || (next == 'n' && !name.empty());
    if (next == 'p') absl::Format(&out, "%d", ::getpid());
    if (next == 'e') out.append(program_invocation_short_name);
    if (next == '%') out.append("%");
    if (next == 'n' && known) append_name(out, name);
    if (known) {
      ++i;
    } else {
      out.append(1, pattern[i]);
    }
  }
}

}  // namespace gpa::detail
