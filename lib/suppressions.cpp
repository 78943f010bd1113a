#include "suppressions.hpp"

#include "trace/format.hpp"

#include <algorithm>

namespace gpa::detail {

namespace {

std::string_view trimmed(std::string_view line) noexcept
{
  constexpr std::string_view blanks = " \t\r";
  const std::size_t begin = line.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return line.substr(begin, line.find_last_not_of(blanks) + 1 - begin);
}

}  // namespace

// After a star the rest may begin anywhere; only the last star is ever gone back to. A start that is not tied down is a
// star in front, an end that is not lets the name go on.
bool matches(std::string_view pattern, std::string_view name) noexcept
{
  bool behind_star = !pattern.starts_with('^');
  if (!behind_star) pattern.remove_prefix(1);
  const bool open_end = !pattern.ends_with('$');
  if (!open_end) pattern.remove_suffix(1);

  std::size_t p = 0, n = 0;
  std::size_t after_star = 0, resumed = 0;
  for (;;) {
    while (p != pattern.size() && pattern[p] == '*') {
      behind_star = true;
      after_star = ++p;
      resumed = n;
    }
    if (p == pattern.size() && (open_end || n == name.size())) return true;
    if (p != pattern.size() && n != name.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (behind_star && resumed != name.size()) {
      p = after_star;
      n = ++resumed;
    } else {
      return false;
    }
  }
}

suppressions::suppressions(std::string_view words, std::string_view path, text& complaints)
{
  constexpr std::string_view opening = "leak:";
  for (std::size_t number = 1; !words.empty(); ++number) {
    const std::size_t end = std::min(words.find('\n'), words.size());
    const std::string_view line = trimmed(words.substr(0, end));
    words.remove_prefix(std::min(end + 1, words.size()));
    if (line.empty() || line.starts_with('#')) continue;
    if (line.starts_with(opening) && line.size() != opening.size()) {
      patterns_.push_back(line.substr(opening.size()));
    } else {
      absl::Format(&complaints, "gpa: warning: %s:%d: \"%s\" is no suppression; leak:pattern is\n", path, number, line);
    }
  }
}

std::string_view suppressions::match(const frame_list& stack) const noexcept
{
  const auto found = std::find_if(patterns_.begin(), patterns_.end(), [&](std::string_view pattern) {
    return std::any_of(stack.begin(), stack.end(), [&](const frame& f) {
      return matches(pattern, f.function) || matches(pattern, f.file) || matches(pattern, f.module);
    });
  });
  return found == patterns_.end() ? std::string_view() : *found;
}

}  // namespace gpa::detail
