// The JSON writer, and the file that is complete or not there.
#define BOOST_TEST_MODULE json
#include "profile/json.hpp"

#include "os/new_file.hpp"

#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>

namespace {

using namespace gpa::detail;

struct folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("gpa_json_" + std::to_string(::getpid()));
  folder() { std::filesystem::create_directory(path); }
  ~folder() { std::filesystem::remove_all(path); }
  [[nodiscard]] std::string file(const char* name) const { return (path / name).string(); }
  [[nodiscard]] std::string content(const char* name) const
  {
    std::ifstream in(path / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  [[nodiscard]] std::size_t files() const
  {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path), {}));
  }
};

template <class Write>
std::string written(Write write)
{
  const folder f;
  new_file out(f.file("a.json"));
  json j(out);
  write(j);
  BOOST_TEST(out.finish() == 0);
  return f.content("a.json");
}

std::string as_string(std::string_view words)
{
  return written([words](json& j) { j.string(words); });
}

}  // namespace

BOOST_AUTO_TEST_CASE(commas_stand_between_values_and_nowhere_else)
{
  const std::string now = written([](json& j) {
    j.begin_object().key("a").number(1).key("b").begin_array().number(2).begin_array().end_array().begin_object();
    j.end_object().number(3).end_array().key("c").null().key("d").boolean(false).end_object();
  });
  BOOST_TEST(now == R"({"a":1,"b":[2,[],{},3],"c":null,"d":false})");
}

BOOST_AUTO_TEST_CASE(lines_begin_where_they_are_asked_for)
{
  const std::string now = written([](json& j) {
    j.begin_array().line().number(1).line().number(2).line().end_array();
  });
  BOOST_TEST(now == "[\n1,\n2\n]");
}

BOOST_AUTO_TEST_CASE(numbers_keep_all_their_digits_and_addresses_are_strings)
{
  BOOST_TEST(written([](json& j) { j.number(std::numeric_limits<std::uint64_t>::max()); }) == "18446744073709551615");
  BOOST_TEST(written([](json& j) { j.address(0x7f31c2a00240); }) == R"("0x7f31c2a00240")");
  BOOST_TEST(written([](json& j) { j.address(0); }) == R"("0x0")");
}

BOOST_AUTO_TEST_CASE(what_means_something_in_a_string_is_escaped)
{
  BOOST_TEST(as_string(R"(operator""_x \ /)") == R"("operator\"\"_x \\ /")");
  BOOST_TEST(as_string(std::string_view("\0\n\x1f\x7f", 4)) == "\"\\u0000\\u000a\\u001f\x7f\"");
}

BOOST_AUTO_TEST_CASE(characters_of_utf_8_stay_and_other_bytes_are_replaced_one_by_one)
{
  for (const char* const good : {"ü", "€", "𝄞", "\xEF\xBF\xBF", "\xF4\x8F\xBF\xBF", "\xED\x9F\xBF"})
    BOOST_TEST(as_string(good) == '"' + std::string(good) + '"');
  BOOST_TEST(as_string("a\xFFz") == R"("a\ufffdz")");
  BOOST_TEST(as_string("\xC3") == R"("\ufffd")");                          // cut off
  BOOST_TEST(as_string("\xE2\x82") == R"("\ufffd\ufffd")");
  BOOST_TEST(as_string("\xC0\x80") == R"("\ufffd\ufffd")");                // overlong
  BOOST_TEST(as_string("\xED\xA0\x80") == R"("\ufffd\ufffd\ufffd")");      // a surrogate
  BOOST_TEST(as_string("\xF4\x90\x80\x80") == R"("\ufffd\ufffd\ufffd\ufffd")");  // past the last character
}

BOOST_AUTO_TEST_CASE(a_file_of_any_length_is_written_whole)
{
  const folder f;
  const std::string line(1000, 'x');
  new_file out(f.file("long"));
  for (int i = 0; i != 5000; ++i) out.write(line);
  BOOST_TEST(out.finish() == 0);
  BOOST_TEST(f.content("long").size() == 5'000'000u);
  BOOST_TEST(f.files() == 1u);
}

BOOST_AUTO_TEST_CASE(until_it_is_finished_the_file_before_is_there)
{
  const folder f;
  std::ofstream(f.path / "a") << "before";
  {
    new_file out(f.file("a"));
    out.write(std::string(100'000, 'x'));
    BOOST_TEST(f.content("a") == "before");
  }
  BOOST_TEST(f.content("a") == "before");
  BOOST_TEST(f.files() == 1u);
}

BOOST_AUTO_TEST_CASE(a_file_that_cannot_be_written_says_why_and_leaves_nothing)
{
  const folder f;
  {
    new_file out(f.file("nowhere/a"));
    out.write("x");
    errno = 0;
    BOOST_TEST(out.finish() == ENOENT);
    BOOST_TEST(errno == 0);
  }
  std::filesystem::create_directory(f.path / "taken");
  std::ofstream(f.path / "taken" / "inside") << "x";
  {
    new_file out(f.file("taken"));
    out.write("x");
    BOOST_TEST(out.finish() == EISDIR);
    BOOST_TEST(std::filesystem::is_directory(f.path / "taken"));
  }
  BOOST_TEST(f.files() == 1u);
  {
    new_file out("/dev/full");
    out.write("x");
    BOOST_TEST(out.finish() == ENOSPC);
    BOOST_TEST(std::filesystem::is_character_file("/dev/full"));
  }
}
