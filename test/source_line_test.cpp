#define BOOST_TEST_MODULE source_line
#include "trace/source_line.hpp"

#include <unistd.h>

#include <sys/stat.h>

#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

namespace {

using namespace gpa::detail;

struct fixture {
  std::string path = "/tmp/gpa_source_line_XXXXXX";

  fixture()
  {
    const int descriptor = ::mkstemp(path.data());
    BOOST_REQUIRE(descriptor >= 0);
    ::close(descriptor);
  }
  ~fixture() { ::unlink(path.c_str()); }

  void holds(std::string_view content) const { std::ofstream(path) << content; }

  [[nodiscard]] std::string excerpt(std::uint32_t line, std::uint32_t column) const
  {
    text out;
    append_excerpt(out, path.c_str(), line, column, gpa::detail::painter(out, false));
    return std::string(out.view());
  }

  [[nodiscard]] std::string line(std::uint32_t number) const
  {
    metadata_string out;
    return read_source_line(path.c_str(), number, out) ? std::string(out) : "(none)";
  }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(lines_are_counted_from_1_and_come_without_their_ends, fixture)
{
  holds("first\nsecond\n\nlast without end");
  BOOST_TEST(line(1) == "first");
  BOOST_TEST(line(2) == "second");
  BOOST_TEST(line(3) == "");
  BOOST_TEST(line(4) == "last without end");
}

BOOST_FIXTURE_TEST_CASE(a_line_that_is_not_there_is_no_excerpt, fixture)
{
  holds("only\n");
  BOOST_TEST(line(0) == "(none)");
  BOOST_TEST(line(2) == "(none)");
  BOOST_TEST(excerpt(2, 1) == "");
}

BOOST_FIXTURE_TEST_CASE(a_line_is_found_behind_and_across_what_is_read_at_once, fixture)
{
  std::string content;
  for (int i = 1; i != 5'000; ++i) content += "line " + std::to_string(i) + '\n';
  content += std::string(40'000, 'w') + "\nbehind\n";
  holds(content);
  BOOST_TEST(line(1) == "line 1");
  BOOST_TEST(line(4'999) == "line 4999");
  BOOST_TEST(line(5'000).size() == 40'000u);
  BOOST_TEST(line(5'001) == "behind");
}

BOOST_FIXTURE_TEST_CASE(what_is_no_regular_file_is_not_read, fixture)
{
  ::unlink(path.c_str());
  BOOST_TEST(line(1) == "(none)");
  BOOST_REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  BOOST_TEST(line(1) == "(none)");  // and does not wait for a writer
}

BOOST_FIXTURE_TEST_CASE(the_caret_stands_below_its_column, fixture)
{
  holds("int main() {\n  return f(1);\n}\n");
  BOOST_TEST(excerpt(2, 10) ==
             "    2 |   return f(1);\n"
             "      |          ^\n");
  BOOST_TEST(excerpt(1, 1) ==
             "    1 | int main() {\n"
             "      | ^\n");
}

BOOST_FIXTURE_TEST_CASE(without_a_column_there_is_no_caret, fixture)
{
  holds("return;\n");
  BOOST_TEST(excerpt(1, 0) == "    1 | return;\n");
  BOOST_TEST(excerpt(1, 9) == "    1 | return;\n");  // the file has changed since it was compiled
}

BOOST_FIXTURE_TEST_CASE(tabs_stand_in_both_lines_and_a_character_takes_one_place, fixture)
{
  holds("\t\tcall(x);\nname = \"\xC3\xA9\xC3\xA9\", f(x);\r\n");
  BOOST_TEST(excerpt(1, 3) ==
             "    1 | \t\tcall(x);\n"
             "      | \t\t^\n");
  BOOST_TEST(excerpt(2, 16) ==
             "    2 | name = \"\xC3\xA9\xC3\xA9\", f(x);\n"
             "      |              ^\n");
}

BOOST_FIXTURE_TEST_CASE(control_characters_do_not_reach_the_terminal, fixture)
{
  holds("a\x1B[31mb\n");
  BOOST_TEST(excerpt(1, 0) == "    1 | a [31mb\n");
}

BOOST_FIXTURE_TEST_CASE(a_long_line_is_cut_around_its_column, fixture)
{
  std::string content(1'000, '-');
  content[10] = 'A';
  content[500] = 'B';
  content[998] = 'C';
  holds(content + '\n');
  for (const std::size_t column : {std::size_t{11}, std::size_t{501}, std::size_t{999}}) {
    const std::string got = excerpt(1, static_cast<std::uint32_t>(column));
    const std::size_t end = got.find('\n');
    const std::size_t caret = got.size() - 2 - (end + 1);
    BOOST_TEST_CONTEXT(got)
    {
      BOOST_TEST(end <= 8 + longest_excerpt + 6);
      BOOST_TEST(got[caret] == content[column - 1]);
    }
  }
}
