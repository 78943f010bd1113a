#include "suppressions.hpp"

#include "trace/format.hpp"
#include "trace/frames.hpp"

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
      absl::Format(&complaints, "gpa: warning: %s:%d: ", path, number);
      complaints.append_quoted(line);
      complaints.append(" is no suppression; leak:pattern is\n");
    }
  }
}

std::string_view suppressions::match(const frame_list& stack) const
{
  if (patterns_.empty()) return {};
  const metadata_string directory = current_directory();
  metadata_vector<frame_names> names;
  names.reserve(stack.size());
  for (const frame& f : stack) names.emplace_back(f, directory);
  const auto found = std::find_if(patterns_.begin(), patterns_.end(), [&](std::string_view pattern) {
    return std::any_of(names.begin(), names.end(), [pattern](const frame_names& n) { return n.match(pattern); });
  });
  return found == patterns_.end() ? std::string_view() : *found;
}

}  // namespace gpa::detail
