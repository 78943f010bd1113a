#include "trace/names.hpp"

#include "trace/name_size.hpp"

#include <cxxabi.h>

#include <array>
#include <cstdlib>

namespace gpa::detail {

namespace {

constexpr unsigned deepest_nesting = 64;  // of brackets; names beyond come back as they were

bool in_word(char c) noexcept
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$';
}

// What stands for a default argument, in the order of the template's parameters.
enum class preset : char {
  traits = 'c',     // std::char_traits<T>
  less = 'l',       // std::less<T>
  hash = 'h',       // std::hash<T>
  equal = 'e',      // std::equal_to<T>
  deleter = 'd',    // std::default_delete<T>
  allocator = 'a',  // std::allocator<T>, or the polymorphic one
  pair_allocator = 'A',  // the same of std::pair<K const, V>
  deque = 'q',      // std::deque<T>
  vector = 'v',     // std::vector<T>
};

struct known_template {
  std::string_view name;
  std::size_t kept;          // parameters without a default
  std::string_view presets;  // of the others
};

constexpr std::array<known_template, 22> known_templates = {{
    {"std::basic_ios", 1, "c"},
    {"std::basic_istream", 1, "c"},
    {"std::basic_ostream", 1, "c"},
    {"std::basic_string", 1, "ca"},
    {"std::basic_string_view", 1, "c"},
    {"std::deque", 1, "a"},
    {"std::forward_list", 1, "a"},
    {"std::list", 1, "a"},
    {"std::map", 2, "lA"},
    {"std::match_results", 1, "a"},
    {"std::multimap", 2, "lA"},
    {"std::multiset", 1, "la"},
    {"std::priority_queue", 1, "vl"},
    {"std::queue", 1, "q"},
    {"std::set", 1, "la"},
    {"std::stack", 1, "q"},
    {"std::unique_ptr", 1, "d"},
    {"std::unordered_map", 2, "heA"},
    {"std::unordered_multimap", 2, "heA"},
    {"std::unordered_multiset", 1, "hea"},
    {"std::unordered_set", 1, "hea"},
    {"std::vector", 1, "a"},
}};

struct short_name {
  std::string_view character;
  std::string_view prefix;
};
constexpr std::array<short_name, 5> character_prefixes = {
    {{"char", ""}, {"wchar_t", "w"}, {"char8_t", "u8"}, {"char16_t", "u16"}, {"char32_t", "u32"}}};

using arguments = metadata_vector<metadata_string>;

metadata_string one_of(std::string_view name, std::string_view argument)
{
  return metadata_string(name).append("<").append(argument).append(">");
}

metadata_string pair_of(const arguments& a)
{
  return metadata_string("std::pair<").append(a[0]).append(" const, ").append(a[1]).append(">");
}

metadata_string preset_text(preset p, const arguments& a, bool pmr)
{
  const std::string_view allocator = pmr ? "std::pmr::polymorphic_allocator" : "std::allocator";
  switch (p) {
    case preset::traits: return one_of("std::char_traits", a[0]);
    case preset::less: return one_of("std::less", a[0]);
    case preset::hash: return one_of("std::hash", a[0]);
    case preset::equal: return one_of("std::equal_to", a[0]);
    case preset::deleter: return one_of("std::default_delete", a[0]);
    case preset::allocator: return one_of(allocator, a[0]);
    case preset::pair_allocator: return one_of(allocator, pair_of(a));
    case preset::deque: return one_of("std::deque", a[0]);
    case preset::vector: return one_of("std::vector", a[0]);
  }
  return {};
}

// Shortens `name<a...>` in place where it is a template of the standard library.
void simplify(metadata_string& name, arguments& a)
{
  for (const known_template& known : known_templates) {
    if (known.name != std::string_view(name)) continue;
    const std::size_t most = known.kept + known.presets.size();
    if (a.size() < known.kept || a.size() > most) return;
    bool pmr = false;
    while (a.size() > known.kept) {
      const preset p = static_cast<preset>(known.presets[a.size() - 1 - known.kept]);
      const bool may_be_pmr = p == preset::allocator || p == preset::pair_allocator;
      if (may_be_pmr && a.back() == preset_text(p, a, true)) {
        pmr = true;
      } else if (a.back() != preset_text(p, a, false)) {
        break;
      }
      a.pop_back();
    }
    if (pmr) name.insert(5, "pmr::");  // after "std::"
    return;
  }
}

// std::pmr::basic_string<char> -> std::pmr::string
bool is_alias(metadata_string& name, const arguments& a)
{
  const std::size_t at = name.rfind("::basic_");
  if (a.size() != 1 || at == metadata_string::npos || !name.starts_with("std::")) return false;
  for (const short_name& s : character_prefixes) {
    if (s.character != std::string_view(a[0])) continue;
    name.replace(at + 2, 6, s.prefix);
    return true;
  }
  return false;
}

class rewriter {
 public:
  explicit rewriter(std::string_view in) noexcept : in_(in) {}

  bool run(metadata_string& out)
  {
    sequence(out, false);
    return !failed_ && at_ == in_.size();
  }

 private:
  [[nodiscard]] bool at_end() const noexcept { return failed_ || at_ >= in_.size(); }
  [[nodiscard]] std::string_view rest() const noexcept { return in_.substr(at_); }

  bool take(std::string_view word)
  {
    if (!rest().starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  // Up to a closing bracket, which is left to the caller; of template arguments also up to a comma.
  void sequence(metadata_string& out, bool is_argument)
  {
    if (++depth_ > deepest_nesting) failed_ = true;
    while (!at_end()) {
      const char c = in_[at_];
      if (c == ')' || c == ']' || c == '}' || (is_argument && (c == '>' || c == ','))) break;
      if (in_word(c)) {
        word(out);
      } else if (c == '<' && opens_arguments(out)) {
        template_arguments(out);
      } else if (c == '(' || c == '{') {
        group(out, c == '(' ? ')' : '}');
      } else if (c == '[') {
        annotation(out);
      } else if (take("->")) {
        out.append("->");
      } else {
        out.push_back(c);
        ++at_;
      }
    }
    --depth_;
  }

  void word(metadata_string& out)
  {
    const std::size_t begin = at_;
    while (!at_end() && in_word(in_[at_])) ++at_;
    const std::string_view name = in_.substr(begin, at_ - begin);
    if (name == "__cxx11" && out.ends_with("std::") && take("::")) return;
    out.append(name);
    if (name != "operator") return;
    for (const std::string_view symbol : {"<=>", "<<=", "<<", "<=", "<", ">>=", ">>", ">=", "->*", "->", ">", "()",
                                          "[]", ","}) {
      if (!take(symbol)) continue;
      out.append(symbol);
      if (rest().starts_with(" <")) ++at_;      // "operator<< <int>"
      if (rest().starts_with("<")) template_arguments(out);
      return;
    }
  }

  // Elsewhere it is a comparison inside an expression.
  static bool opens_arguments(const metadata_string& out) noexcept
  {
    return out.empty() || in_word(out.back()) || out.back() == ':' || out.back() == ' ';
  }

  void group(metadata_string& out, char close)
  {
    out.push_back(in_[at_++]);
    sequence(out, false);
    closing(out, close);
  }

  void closing(metadata_string& out, char close)
  {
    if (at_end() || in_[at_] != close) {
      failed_ = true;
      return;
    }
    out.push_back(close);
    ++at_;
  }

  // "[clone .cold]" and "[abi:cxx11]" go, "[4]" stays.
  void annotation(metadata_string& out)
  {
    if (!rest().starts_with("[clone ") && !rest().starts_with("[abi:")) {
      group(out, ']');
      return;
    }
    const std::size_t end = in_.find(']', at_);
    failed_ = end == std::string_view::npos;
    at_ = failed_ ? in_.size() : end + 1;
    if (out.ends_with(' ')) out.pop_back();
  }

  void template_arguments(metadata_string& out)
  {
    arguments list;
    ++at_;
    for (;;) {
      while (!at_end() && in_[at_] == ' ') ++at_;
      metadata_string argument;
      sequence(argument, true);
      while (argument.ends_with(' ')) argument.pop_back();
      list.push_back(std::move(argument));
      if (at_end() || in_[at_] != ',') break;
      ++at_;
    }
    metadata_string tail;
    closing(tail, '>');
    if (failed_) return;

    std::size_t begin = out.size();
    while (begin != 0 && (in_word(out[begin - 1]) || out[begin - 1] == ':')) --begin;
    metadata_string name = out.substr(begin);
    out.resize(begin);
    simplify(name, list);
    const bool alias = is_alias(name, list);
    out.append(name);
    if (alias) return;
    out.push_back('<');
    for (std::size_t i = 0; i != list.size(); ++i) out.append(i == 0 ? "" : ", ").append(list[i]);
    out.push_back('>');
  }

  std::string_view in_;
  std::size_t at_ = 0;
  unsigned depth_ = 0;
  bool failed_ = false;
};

}  // namespace

metadata_string demangled(const char* symbol)
{
  constexpr std::size_t most = std::size_t{2} << 20;  // of 186 000 names of libraries none came to half of it
  if (readable_size(symbol, most) == most) return metadata_string(symbol);
  int status = 0;
  char* const name = abi::__cxa_demangle(symbol, nullptr, nullptr, &status);
  metadata_string result(name != nullptr && status == 0 ? name : symbol);
  std::free(name);
  return result;
}

metadata_string readable_name(std::string_view name)
{
  metadata_string out;
  out.reserve(name.size());
  if (!rewriter(name).run(out)) return metadata_string(name);
  return out;
}

namespace {

// Where those end that begin at `from`, but for a space; `from - 1` if there are none.
std::size_t end_of_parentheses(std::string_view name, std::size_t from) noexcept
{
  const std::size_t open = from + (name.substr(from).starts_with(' ') ? 1 : 0);
  std::size_t depth = 0;
  for (std::size_t i = open; i != name.size(); ++i) {
    if (name[i] == '(') ++depth;
    if (depth == 0) break;
    if (name[i] == ')' && --depth == 0) return i;
  }
  return from - 1;
}

}  // namespace

std::string_view function_path(std::string_view name) noexcept
{
  // Ends at the first '(' outside of brackets that is neither "(anonymous namespace)" nor operator().
  std::size_t begin = 0;
  std::size_t end = name.size();
  std::size_t nesting = 0;
  std::size_t last_angle = name.size();
  for (std::size_t i = 0; i != name.size(); ++i) {
    const std::string_view here = name.substr(i);
    if (here.starts_with("operator") && (i == 0 || !in_word(name[i - 1]))) {
      // What follows belongs to the name: up to its parameter list.
      const std::size_t from = here.starts_with("operator()") ? i + 10 : i + 8;
      const std::size_t open = name.find('(', from);
      if (nesting == 0) return name.substr(begin, (open == std::string_view::npos ? name.size() : open) - begin);
      continue;
    }
    if (here.starts_with("(anonymous namespace)")) {
      i += 20;
      continue;
    }
    if (nesting == 0 && here.starts_with("decltype") && (i == 0 || !in_word(name[i - 1]))) {
      i = end_of_parentheses(name, i + 8);  // a return type, or a part of it
      continue;
    }
    const char c = name[i];
    if (c == '<' || c == '{') {
      if (nesting++ == 0 && c == '<') last_angle = i;
    } else if ((c == '>' || c == '}') && nesting != 0) {
      --nesting;
    } else if (nesting == 0 && c == '(') {
      end = i;
      break;
    } else if (nesting == 0 && c == ' ') {
      begin = i + 1;
    }
  }
  if (end > begin && name[end - 1] == '>' && last_angle > begin && last_angle < end) end = last_angle;
  return name.substr(begin, end - begin);
}

}  // namespace gpa::detail
