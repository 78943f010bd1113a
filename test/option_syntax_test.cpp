#define BOOST_TEST_MODULE option_syntax
#include "option_syntax.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace gpa::detail;
using gpa::checks;

// "key=value|key=value", a flaw in angle brackets.
std::string taken(std::string_view words)
{
  std::string all;
  setting s;
  while (take_setting(words, s)) {
    if (!all.empty()) all += '|';
    all += std::string(s.key) + '=' + std::string(s.value);
    if (s.flaw == setting_flaw::no_value) all += "<no value>";
    if (s.flaw == setting_flaw::open_quote) all += "<open quote>";
  }
  return all;
}

std::string size_of(std::string_view value)
{
  std::size_t size = 0;
  return parse_size(value, size) ? std::to_string(size) : "refused";
}

std::string number_of(std::string_view value, std::uint64_t most)
{
  std::uint64_t number = 0;
  return parse_number(value, most, number) ? std::to_string(number) : "refused";
}

bool is_checks(std::string_view value, checks expected)
{
  checks c = checks::one_in(12'345);
  return parse_checks(value, c) && c == expected;
}

bool is_refused(std::string_view value)
{
  checks c;
  return !parse_checks(value, c);
}

}  // namespace

BOOST_AUTO_TEST_CASE(settings_stand_between_colons_commas_and_white_space)
{
  BOOST_TEST(taken("") == "");
  BOOST_TEST(taken(" :,\n") == "");
  BOOST_TEST(taken("a=1") == "a=1");
  BOOST_TEST(taken("a=1:b=2,c=3 d=4\te=5\n") == "a=1|b=2|c=3|d=4|e=5");
  BOOST_TEST(taken("::a=1::b=2::") == "a=1|b=2");
  BOOST_TEST(taken("a=b=c:d=") == "a=b=c|d=");
  BOOST_TEST(taken("=1") == "=1");
}

BOOST_AUTO_TEST_CASE(a_value_in_quotes_may_hold_what_separates)
{
  BOOST_TEST(taken("path='/a:b, c':x=1") == "path=/a:b, c|x=1");
  BOOST_TEST(taken("path=\"it's\":x=1") == "path=it's|x=1");
  BOOST_TEST(taken("path=''") == "path=");
  BOOST_TEST(taken("path='a'") == "path=a");
}

BOOST_AUTO_TEST_CASE(what_is_not_key_and_value_is_marked_and_the_next_setting_still_read)
{
  BOOST_TEST(taken("help:a=1") == "help=<no value>|a=1");
  BOOST_TEST(taken("a=1:help") == "a=1|help=<no value>");
  BOOST_TEST(taken("path='a:b=1") == "path=a:b=1<open quote>");
}

BOOST_AUTO_TEST_CASE(flags_have_three_spellings_each)
{
  for (const std::string_view word : {"1", "true", "yes"}) {
    bool on = false;
    BOOST_TEST((parse_flag(word, on) && on));
  }
  for (const std::string_view word : {"0", "false", "no"}) {
    bool on = true;
    BOOST_TEST((parse_flag(word, on) && !on));
  }
  for (const std::string_view word : {"", "2", "on", "True", "1 "}) {
    bool on = true;
    BOOST_TEST(!parse_flag(word, on));
    BOOST_TEST(on);
  }
}

BOOST_AUTO_TEST_CASE(numbers_are_decimal_and_bounded)
{
  BOOST_TEST(number_of("0", 64) == "0");
  BOOST_TEST(number_of("64", 64) == "64");
  for (const std::string_view word : {"65", "", "-1", "+1", "0x10", "1.5", "8 ", "99999999999999999999"})
    BOOST_TEST(number_of(word, 64) == "refused");
}

BOOST_AUTO_TEST_CASE(sizes_have_binary_suffixes_and_never_overflow)
{
  BOOST_TEST(size_of("0") == "0");
  BOOST_TEST(size_of("1000") == "1000");
  BOOST_TEST(size_of("1k") == "1024");
  BOOST_TEST(size_of("3K") == "3072");
  BOOST_TEST(size_of("64M") == "67108864");
  BOOST_TEST(size_of("2g") == "2147483648");
  BOOST_TEST(size_of("128KiB") == "131072");
  BOOST_TEST(size_of("1MiB") == "1048576");
  BOOST_TEST(size_of("3GiB") == "3221225472");
  BOOST_TEST(size_of("unlimited") == std::to_string(gpa::unlimited));
  BOOST_TEST(size_of("17179869183G") == "18446744072635809792");
  for (const std::string_view word : {"17179869184G", "18446744073709551616", "k", "", "-1", "1kB", "1T", "1 k", "iB",
                                      "1iB", "KiB", "1KiBB", "1kki"})
    BOOST_TEST(size_of(word) == "refused");
}

BOOST_AUTO_TEST_CASE(checks_are_spelled_as_in_code)
{
  BOOST_TEST(is_checks("always", checks::always()));
  BOOST_TEST(is_checks("never", checks::never()));
  BOOST_TEST(is_checks("by_build", checks()));
  BOOST_TEST(is_checks("one_in(1000)", checks::one_in(1'000)));
  BOOST_TEST(is_checks("one_in(1)", checks::always()));
  for (const std::string_view word :
       {"", "Always", "one_in", "one_in()", "one_in(x)", "one_in(7", "one_in(-1)", "one_in(4294967296)", "always()"})
    BOOST_TEST_CONTEXT(word) BOOST_TEST(is_refused(word));
}

BOOST_AUTO_TEST_CASE(spelling_distance_counts_changed_dropped_added_and_swapped_letters)
{
  BOOST_TEST(spelling_distance("", "") == 0u);
  BOOST_TEST(spelling_distance("", "abc") == 3u);
  BOOST_TEST(spelling_distance("color", "color") == 0u);
  BOOST_TEST(spelling_distance("colour", "color") == 1u);
  BOOST_TEST(spelling_distance("color", "colour") == 1u);
  BOOST_TEST(spelling_distance("colar", "color") == 1u);
  BOOST_TEST(spelling_distance("stack_frmaes", "stack_frames") == 1u);
  BOOST_TEST(spelling_distance("kitten", "sitting") == 3u);
  BOOST_TEST(spelling_distance(std::string(1'000, 'a'), std::string(1'000, 'b')) == 32u);
}
