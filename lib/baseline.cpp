#include "baseline.hpp"

#include "trace/format.hpp"
#include "trace/frames.hpp"
#include "trace/names.hpp"

#include <algorithm>
#include <charconv>

namespace gpa::detail {

namespace {

constexpr std::size_t digits = 16;

// FNV-1a: the same in every build and on every machine, which hash tables' own hashes need not be.
class fnv {
 public:
  void add(char c) noexcept { value_ = (value_ ^ static_cast<unsigned char>(c)) * 0x100000001B3U; }
  void end_word() noexcept { add('\0'); }  // "ab", "c" is not "a", "bc"
  [[nodiscard]] std::uint64_t value() const noexcept { return value_; }

 private:
  std::uint64_t value_ = 0xCBF29CE484222325U;
};

std::string_view last_part(std::string_view path) noexcept
{
  return path.substr(path.rfind('/') + 1);
}

// Behind the group that opens at `at`; inside of it others may stand.
std::size_t behind_group(std::string_view name, std::size_t at, char open, char close) noexcept
{
  std::size_t depth = 0;
  for (; at != name.size(); ++at) {
    if (name[at] == open) ++depth;
    if (name[at] == close && --depth == 0) return at + 1;
  }
  return at;
}

// "operator()", "operator<<", "operator bool": up to template arguments or parameters.
std::size_t behind_operator(std::string_view name, std::size_t at) noexcept
{
  constexpr std::string_view word = "operator";
  at += word.size();
  if (name.substr(at).starts_with("()")) return at + 2;
  while (at != name.size() && std::string_view("<>-").find(name[at]) != std::string_view::npos) ++at;
  std::size_t end = std::min(name.find_first_of("<(", at), name.size());
  while (name[end - 1] == ' ') --end;
  return end;
}

// "cache::open" of "void cache<int>::open<char>(int) const", "run::{lambda(int)#1}::operator()" of
// "run(cache&)::{lambda(int)#1}::operator()(int) const": parameters and a return type are not always known of a
// function that was inlined, and what is inlined changes with every edit.
void add_function(fnv& hash, const frame& f) noexcept
{
  constexpr std::string_view unnamed = "(anonymous namespace)";
  std::string_view name = f.function.empty() ? last_part(f.module) : std::string_view(f.function);
  if (const std::string_view path = function_path(name); !path.empty())  // which begins behind a return type
    name.remove_prefix(static_cast<std::size_t>(path.data() - name.data()));
  for (std::size_t at = 0; at != name.size();) {
    const std::string_view here = name.substr(at);
    std::size_t end = at + 1;
    bool counts = true;
    if (here.starts_with(unnamed)) {
      end = at + unnamed.size();
    } else if (here.starts_with("operator") && (at == 0 || name[at - 1] == ':')) {
      end = behind_operator(name, at);
    } else if (here.front() == '{') {
      end = behind_group(name, at, '{', '}');
    } else if (here.front() == '<' || here.front() == '(') {
      end = behind_group(name, at, here.front(), here.front() == '<' ? '>' : ')');
      counts = false;
    } else if (here.front() == ' ' || here.front() == '[') {  // "const", "[clone .cold]"
      break;
    }
    if (counts)
      for (const char c : name.substr(at, end - at)) hash.add(c);
    at = end;
  }
  hash.end_word();
}

void add_frame(fnv& hash, const frame& f) noexcept
{
  add_function(hash, f);
  for (const char c : last_part(f.file.empty() ? f.module : f.file)) hash.add(c);
  hash.end_word();
}

}  // namespace

std::uint64_t fingerprint_of(const frame_list& stack) noexcept
{
  const auto end = stack.begin() + static_cast<std::ptrdiff_t>(frames_to_main(stack));
  const bool all_library = std::all_of(stack.begin(), end, [](const frame& f) { return f.library; });
  fnv hash;
  for (auto f = stack.begin(); f != end; ++f)
    if (all_library || !f->library) add_frame(hash, *f);
  return hash.value();
}

baseline::baseline(std::string_view words, std::string_view path, text& complaints)
{
  for (std::size_t number = 1; !words.empty(); ++number) {
    const std::size_t end = std::min(words.find('\n'), words.size());
    const std::string_view line = words.substr(0, end);
    words.remove_prefix(std::min(end + 1, words.size()));
    if (line.empty() || line.starts_with('#')) continue;
    std::uint64_t fingerprint = 0;
    const char* const begin = line.data();
    const auto [stopped, error] = std::from_chars(begin, begin + std::min(digits, line.size()), fingerprint, 16);
    if (error == std::errc() && stopped == begin + digits && (line.size() == digits || line[digits] == ' ')) {
      known_.insert(fingerprint);
    } else {
      absl::Format(&complaints, "gpa: warning: %s:%d: no fingerprint at the start of this line\n", path, number);
    }
  }
}

}  // namespace gpa::detail
