#include "tools/document.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace gpa::tools {

std::string_view file_name(std::string_view path) noexcept
{
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string counted(std::uint64_t count, std::string_view what)
{
  return std::to_string(count) + " " + std::string(what) + (count == 1 ? "" : "s");
}

std::string size_text(double bytes, bool with_sign)
{
  constexpr std::array units = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  while (unit + 1 < units.size() && std::abs(bytes) >= 10 * 1024) {
    bytes /= 1024;
    ++unit;
  }
  // Past ten thousand of one unit the next is taken: ten to a hundred of that have a digit behind the point.
  const int digits = unit != 0 && std::abs(bytes) < 100 ? 1 : 0;
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), with_sign ? "%+.*f %s" : "%.*f %s", digits, bytes, units[unit]);
  return text.data();
}

const call& first_worth_showing(const document& d, std::size_t trace)
{
  const call* users = nullptr;
  for (const std::size_t index : d.traces[trace]) {
    for (const call& c : d.frames[index].calls) {
      if (c.library) continue;
      if (c.line != 0) return c;
      if (users == nullptr) users = &c;
    }
  }
  return users != nullptr ? *users : d.frames[d.traces[trace].front()].calls.front();
}

std::string module_of_first(const document& d, std::size_t trace)
{
  const call* const wanted = &first_worth_showing(d, trace);
  for (const std::size_t index : d.traces[trace]) {
    const frame& f = d.frames[index];
    const bool has_it = std::any_of(f.calls.begin(), f.calls.end(), [wanted](const call& c) { return &c == wanted; });
    if (has_it && f.module != none) return std::string(file_name(d.modules[f.module].path));
  }
  return wanted->function == no_call_stack ? wanted->function : "(no file)";
}

site capped_at_peak(const site& several, const document& d) noexcept
{
  site s = several;
  s.peak_bytes = std::min(s.peak_bytes, d.totals.peak_bytes);
  s.peak_blocks = std::min(s.peak_blocks, d.totals.peak_blocks);
  return s;
}

std::string place_of(const call& c)
{
  if (c.file.empty()) return c.function.empty() ? "??" : c.function;
  return c.line == 0 ? c.file : c.file + ":" + std::to_string(c.line);
}

}  // namespace gpa::tools
