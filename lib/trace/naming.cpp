#include "trace/naming.hpp"

#include "os/text.hpp"
#include "trace/frames.hpp"

#include <algorithm>
#include <atomic>

namespace gpa::detail {

namespace {

constexpr naming defaults;
constinit naming chosen;
constinit std::atomic<const naming*> current{&defaults};

}  // namespace

void set_naming(const naming& n) noexcept
{
  chosen = n;
  current.store(&chosen, std::memory_order_release);
}

const naming& current_naming() noexcept
{
  return *current.load(std::memory_order_acquire);
}

// After a star the rest may begin anywhere; only the last star is ever gone back to. A start that is not tied down is a
// star in front, an end that is not lets the name go on.
// `behind_star`: it may begin anywhere. `open_end`: it may end anywhere.
bool fits(std::string_view pattern, std::string_view name, bool behind_star, bool open_end) noexcept
{
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

bool matches(std::string_view pattern, std::string_view name) noexcept
{
  const bool open_begin = !pattern.starts_with('^');
  if (!open_begin) pattern.remove_prefix(1);
  const bool open_end = !pattern.ends_with('$');
  if (!open_end) pattern.remove_suffix(1);
  if (fits(pattern, name, open_begin, open_end)) return true;
  // Debug information names an inlined function without its parameters.
  return open_end && pattern.ends_with('(') && fits(pattern.substr(0, pattern.size() - 1), name, open_begin, false);
}

frame_names::frame_names(const frame& f, std::string_view directory)
    : function_(f.function),
      paths_{shown_path(f.file, directory), shortened_path(f.file, {}), shown_path(f.module, directory),
             shortened_path(f.module, {})}
{}

bool frame_names::match(std::string_view pattern) const noexcept
{
  return matches(pattern, function_) ||
         std::any_of(paths_.begin(), paths_.end(),
                     [pattern](const metadata_string& path) { return matches(pattern, path); });
}

bool is_hidden(const frame& f, std::string_view directory)
{
  std::string_view rest = current_naming().hidden;
  if (rest.empty()) return false;
  const frame_names names(f, directory);
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(','), rest.size());
    std::string_view pattern = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    while (pattern.starts_with(' ')) pattern.remove_prefix(1);
    while (pattern.ends_with(' ')) pattern.remove_suffix(1);
    if (!pattern.empty() && names.match(pattern)) return true;
  }
  return false;
}

metadata_string shown_path(std::string_view path, std::string_view directory)
{
  const std::string_view prefix = current_naming().stripped;
  metadata_string whole = shortened_path(path, {});
  if (prefix.empty() || whole.size() <= prefix.size() || !whole.starts_with(prefix)) {
    whole = shortened_path(path, directory);
  } else {
    whole.erase(0, prefix.size());
    whole.erase(0, whole.find_first_not_of('/'));
  }
  make_printable(whole);
  return whole;
}

}  // namespace gpa::detail
