#include "trace/short_names.hpp"

#include "trace/names.hpp"

#include <cctype>

namespace gpa::detail {

namespace {

constexpr auto npos = std::string_view::npos;

bool in_word(char c) noexcept
{
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$';
}

// The end of the group that opens at `at`, behind its closing bracket; npos if there is none. What looks like a bracket
// and is none: the arrow.
std::size_t end_of_group(std::string_view name, std::size_t at) noexcept
{
  std::size_t depth = 0;
  for (; at < name.size(); ++at) {
    const char c = name[at];
    if (c == '-' && at + 1 != name.size() && name[at + 1] == '>') {
      ++at;
    } else if (c == '<' || c == '(' || c == '{' || c == '[') {
      ++depth;
    } else if (c == '>' || c == ')' || c == '}' || c == ']') {
      if (--depth == 0) return at + 1;
    }
  }
  return npos;
}

// Behind the symbol of an operator at `at`, where that has angles; else `at`.
std::size_t behind_operator(std::string_view name, std::size_t at) noexcept
{
  constexpr std::string_view keyword = "operator";
  if (!name.substr(at).starts_with(keyword) || (at != 0 && in_word(name[at - 1]))) return at;
  const std::string_view symbol = name.substr(at + keyword.size());
  for (const std::string_view s : {"<=>", "<<=", "<<", "<=", "<", ">>=", ">>", ">=", ">", "->*", "->"})
    if (symbol.starts_with(s)) return at + keyword.size() + s.size();
  return at;
}

// `mark` for the template arguments at nesting `kept` and below. False when the brackets make no sense.
bool collapse(std::string_view name, std::size_t kept, std::string_view mark, metadata_string& out)
{
  out.clear();
  std::size_t nesting = 0;
  for (std::size_t i = 0; i < name.size();) {
    if (const std::size_t behind = behind_operator(name, i); behind != i) {
      out.append(name.substr(i, behind - i));
      i = behind;
    } else if (name.substr(i).starts_with("->")) {
      out.append("->");
      i += 2;
    } else if (name[i] == '<' && nesting == kept) {
      const std::size_t end = end_of_group(name, i);
      if (end == npos) return false;
      out.append("<").append(mark).append(">");
      i = end;
    } else {
      if (name[i] == '<') ++nesting;
      if (name[i] == '>' && nesting-- == 0) return false;
      out.push_back(name[i++]);
    }
  }
  return nesting == 0;
}

// "decltype (f(x)) ns::f<int>(int)" and "void ns::f<int>(int)": from "ns" on.
std::string_view without_return_type(std::string_view name) noexcept
{
  constexpr std::string_view deduced = "decltype";
  if (name.starts_with(deduced)) {
    const std::size_t open = name.find('(');
    const std::size_t end = open == npos ? npos : end_of_group(name, open);
    if (end != npos && end < name.size() && name[end] == ' ') name.remove_prefix(end + 1);
  }
  const std::string_view path = function_path(name);
  if (!path.empty()) name.remove_prefix(static_cast<std::size_t>(path.data() - name.data()));
  return name;
}

}  // namespace

metadata_string shortened_name(std::string_view name)
{
  if (name.size() <= longest_name) return metadata_string(name);
  const std::string_view rest = without_return_type(name);
  if (rest.size() <= longest_name) return metadata_string(rest);
  metadata_string shorter;
  for (const std::size_t kept : {std::size_t{1}, std::size_t{0}}) {
    if (!collapse(rest, kept, "...", shorter)) return metadata_string(name);
    if (shorter.size() <= longest_name) return shorter;
  }
  const std::string_view path = function_path(shorter);
  const std::size_t open = shorter.find('(', static_cast<std::size_t>(path.data() - shorter.data()) + path.size());
  const std::size_t end = open == npos ? npos : end_of_group(shorter, open);
  if (end != npos && end - open > 5) shorter.replace(open, end - open, "(...)");
  return shorter;
}

metadata_string shortened_pattern(std::string_view pattern)
{
  metadata_string shorter;
  if (pattern.size() <= longest_name || !collapse(without_return_type(pattern), 0, "*", shorter))
    return metadata_string(pattern);
  return shorter;
}

}  // namespace gpa::detail
