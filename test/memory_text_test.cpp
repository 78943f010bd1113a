// Memory as reports show it: rows, marks, and what changed bytes read as.
#define BOOST_TEST_MODULE memory_text
#include "trace/memory_text.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace gpa::detail;
using gpa::memory_excerpt;

// `written` at `at` of guard bytes, seen from offset `offset` on.
memory_excerpt written_at(std::size_t offset, std::size_t count, std::size_t at, const void* written, std::size_t bytes)
{
  memory_excerpt m;
  m.offset = offset;
  m.count = count;
  m.bytes.fill(0xD5);
  std::memcpy(m.bytes.data() + at, written, bytes);
  for (std::size_t i = at; i != at + bytes; ++i) m.changed |= std::uint64_t{1} << i;
  return m;
}

std::string meanings_of(const void* written, std::size_t bytes, std::size_t damaged = 0)
{
  text out;
  append_meanings(out, written_at(0, 64, 7, written, bytes), damaged == 0 ? bytes : damaged);
  return std::string(out.view());
}

template <class Value>
std::string meanings_of(Value v)
{
  return meanings_of(&v, sizeof v);
}
std::string meanings_of(const char* words)
{
  return meanings_of(words, std::strlen(words) + 1);
}

std::string dump_of(const memory_excerpt& m, std::size_t end, bool coloured = false)
{
  text out;
  append_dump(out, m, end, painter(out, coloured));
  return std::string(out.view());
}

}  // namespace

BOOST_AUTO_TEST_CASE(numbers_of_every_width_read_as_integers)
{
  BOOST_TEST(meanings_of(std::int8_t{0}) == "integer 0");
  BOOST_TEST(meanings_of(std::int8_t{-1}) == "integer -1");
  BOOST_TEST(meanings_of(std::int16_t{-1000}) == "integer -1000");
  BOOST_TEST(meanings_of(std::int32_t{42}) == "integer 42");
  BOOST_TEST(meanings_of(std::int32_t{-7}) == "integer -7");
  BOOST_TEST(meanings_of(std::int64_t{-7}) == "integer -7");
  BOOST_TEST(meanings_of(std::int64_t{1'000'000}) == "integer 1000000");
}

BOOST_AUTO_TEST_CASE(doubles_of_usual_size_read_as_doubles)
{
  BOOST_TEST(meanings_of(1.0) == "double 1");
  BOOST_TEST(meanings_of(-0.25) == "double -0.25");
  BOOST_TEST(meanings_of(6.02e14) == "double 6.02e+14");
  BOOST_TEST(meanings_of(1e300) == "");
}

BOOST_AUTO_TEST_CASE(pointers_read_as_pointers)
{
  BOOST_TEST(meanings_of(std::uint64_t{0x7f31c2a00240}) == "pointer 0x7f31c2a00240");
}

BOOST_AUTO_TEST_CASE(letters_read_as_text_with_its_end)
{
  BOOST_TEST(meanings_of("ada") == "text \"ada\"");
  BOOST_TEST(meanings_of("longer than a word") == "text \"longer than a word\"");
  BOOST_TEST(meanings_of("A", 1) == "text \"A\", integer 65");
  BOOST_TEST(meanings_of("ok", 2) == "text \"ok\", integer 27503");
  BOOST_TEST(meanings_of("ab\1", 3) == "");
}

BOOST_AUTO_TEST_CASE(of_damage_that_goes_on_only_letters_are_told)
{
  BOOST_TEST(meanings_of("many many letters", 17, 100) == "text \"many many letters...\"");
  BOOST_TEST(meanings_of("\x2a\0\0\0", 4, 100) == "");
}

BOOST_AUTO_TEST_CASE(bytes_far_apart_are_no_value)
{
  memory_excerpt m = written_at(0, 64, 0, "a", 1);
  m.changed |= std::uint64_t{1} << 40;
  text out;
  append_meanings(out, m, 2);
  BOOST_TEST(out.view() == "");
  append_meanings(out, memory_excerpt{}, 0);
  BOOST_TEST(out.view() == "");
}

BOOST_AUTO_TEST_CASE(rows_have_offsets_the_blocks_end_and_marks)
{
  BOOST_TEST(dump_of(written_at(16, 20, 14, "abcd", 4), 30) ==
             "      +16  d5 d5 d5 d5 d5 d5 d5 d5 d5 d5 d5 d5 d5 d5|61 62  |..............ab|\n"
             "                                                     ^^^^^\n"
             "      +32  63 64 d5 d5                                      |cd..|\n"
             "           ^^^^^\n");
}

BOOST_AUTO_TEST_CASE(separate_changes_have_separate_marks)
{
  memory_excerpt m = written_at(0, 16, 0, "a", 1);
  m.changed |= 1U << 2 | 1U << 3;
  BOOST_TEST(dump_of(m, 100) ==
             "       +0  61 d5 d5 d5 d5 d5 d5 d5 d5 d5 d5 d5 d5 d5 d5 d5  |a...............|\n"
             "           ^^    ^^^^^\n");
}

BOOST_AUTO_TEST_CASE(colours_add_nothing_but_escapes)
{
  const memory_excerpt m = written_at(16, 20, 14, "abcd", 4);
  std::string coloured = dump_of(m, 30, true);
  BOOST_TEST(coloured.find("\x1b[1;31m61\x1b[m") != std::string::npos);
  for (const std::string_view escape : {"\x1b[1;31m", "\x1b[1;32m", "\x1b[m"})
    for (std::size_t at = 0; (at = coloured.find(escape)) != std::string::npos;) coloured.erase(at, escape.size());
  BOOST_TEST(coloured == dump_of(m, 30));
}

BOOST_AUTO_TEST_CASE(a_preview_is_one_row)
{
  text out;
  append_preview(out, written_at(0, 8, 0, "ada\0\1", 5));
  BOOST_TEST(out.view() == "61 64 61 00 01 d5 d5 d5  |ada.....|");
}

BOOST_AUTO_TEST_CASE(marks_stand_under_what_changed_however_far_the_offset)
{
  const std::uint8_t zero = 0;
  for (const std::size_t offset : {0U, 9'984U, 9'999U, 20'000U, 100'000U, 1'000'000U, 20'000'000U}) {
    for (const bool in_second_row : {false, true}) {
      const std::string dump = dump_of(written_at(offset, 32, in_second_row ? 21 : 5, &zero, 1), offset + 100);
      std::vector<std::string> lines;
      for (std::size_t begin = 0; begin != dump.size();) {
        const std::size_t end = dump.find('\n', begin);
        lines.push_back(dump.substr(begin, end - begin));
        begin = end + 1;
      }
      BOOST_TEST_CONTEXT(dump)
      {
        BOOST_TEST_REQUIRE(lines.size() == 3u);
        const std::string& row = lines[in_second_row ? 1 : 0];
        const std::string& marks = lines[in_second_row ? 2 : 1];
        const std::string& other = lines[in_second_row ? 0 : 2];
        BOOST_TEST(row.substr(marks.find("^^"), 2) == "00");
        BOOST_TEST(row.find('|') == other.find('|'));  // where the characters begin
      }
    }
  }
}
