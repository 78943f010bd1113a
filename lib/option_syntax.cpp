#include "option_syntax.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace gpa::detail {

namespace {

constexpr std::string_view separators = ":, \t\r\n";
constexpr std::string_view quotes = "'\"";

template <class Number>
bool parse_digits(std::string_view value, Number& result) noexcept
{
  const char* const end = value.data() + value.size();
  const auto [stopped, error] = std::from_chars(value.data(), end, result);
  return error == std::errc() && stopped == end && !value.empty();
}

}  // namespace

bool take_setting(std::string_view& rest, setting& s) noexcept
{
  rest.remove_prefix(std::min(rest.find_first_not_of(separators), rest.size()));
  if (rest.empty()) return false;
  const std::size_t key_end = std::min(rest.find_first_of("=:, \t\r\n"), rest.size());
  s = {.key = rest.substr(0, key_end), .value = {}};
  rest.remove_prefix(key_end);
  if (!rest.starts_with('=')) {
    s.flaw = setting_flaw::no_value;
    return true;
  }
  rest.remove_prefix(1);
  std::size_t value_end = 0;
  if (!rest.empty() && quotes.find(rest.front()) != std::string_view::npos) {
    const char quote = rest.front();
    rest.remove_prefix(1);
    value_end = rest.find(quote);
    if (value_end == std::string_view::npos) s.flaw = setting_flaw::open_quote;
  } else {
    value_end = rest.find_first_of(separators);
  }
  s.value = rest.substr(0, value_end);
  rest.remove_prefix(std::min(rest.size(), s.value.size() + 1));  // with the quote or separator behind it
  return true;
}

bool parse_flag(std::string_view value, bool& result) noexcept
{
  const bool on = value == "1" || value == "true" || value == "yes";
  const bool off = value == "0" || value == "false" || value == "no";
  if (on || off) result = on;
  return on || off;
}

bool parse_number(std::string_view value, std::uint64_t most, std::uint64_t& result) noexcept
{
  std::uint64_t number = 0;
  if (!parse_digits(value, number) || number > most) return false;
  result = number;
  return true;
}

bool parse_size(std::string_view value, std::size_t& result) noexcept
{
  if (value == "unlimited") {
    result = unlimited;
    return true;
  }
  constexpr std::string_view units = "kKmMgG";
  constexpr std::string_view spelled_out = "iB";
  std::string_view digits = value;
  if (digits.ends_with(spelled_out)) digits.remove_suffix(spelled_out.size());
  const std::size_t unit = digits.empty() ? std::string_view::npos : units.find(digits.back());
  unsigned shift = 0;
  if (unit != std::string_view::npos) {
    shift = 10 * (static_cast<unsigned>(unit) / 2 + 1);
    digits.remove_suffix(1);
    value = digits;
  }
  std::size_t number = 0;
  if (!parse_digits(value, number) || number > std::numeric_limits<std::size_t>::max() >> shift) return false;
  result = number << shift;
  return true;
}

bool parse_checks(std::string_view value, checks& result) noexcept
{
  constexpr std::string_view opening = "one_in(";
  if (value == "always") {
    result = checks::always();
  } else if (value == "never") {
    result = checks::never();
  } else if (value == "by_build") {
    result = checks();
  } else if (value.starts_with(opening) && value.ends_with(')')) {
    std::uint32_t n = 0;
    value.remove_prefix(opening.size());
    value.remove_suffix(1);
    if (!parse_digits(value, n)) return false;
    result = checks::one_in(n);
  } else {
    return false;
  }
  return true;
}

// Three rows of the usual table: a swap looks two rows back.
std::size_t spelling_distance(std::string_view a, std::string_view b) noexcept
{
  constexpr std::size_t most = 32;
  a = a.substr(0, most);
  b = b.substr(0, most);
  using row = std::array<std::size_t, most + 1>;
  row before_last{}, last{}, current{};
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      current[j] = std::min({change, last[j] + 1, current[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) current[j] = std::min(current[j], before_last[j - 2] + 1);
    }
    before_last = last;
    last = current;
  }
  return last[b.size()];
}

}  // namespace gpa::detail
