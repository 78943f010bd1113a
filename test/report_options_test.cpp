// What GPA_OPTIONS makes of reports, each key with both of its behaviours; where settings may come from; and what holds
// of all reports: a first line that editors understand, and fewer lines than anybody minds.
#define BOOST_TEST_MODULE report_options
#include <gpa/resource.hpp>

#include "support/governed.hpp"
#include "support/suspects.hpp"

#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <new>
#include <regex>
#include <string>
#include <string_view>

// What this program says: set in a child before its first resource.
namespace {
const char* said_by_program = nullptr;
}
extern "C" const char* gpa_default_options()
{
  return said_by_program;
}

namespace {

using namespace gpa::test;

struct session {
  char user[8];
  void* history;
};

[[gnu::noinline]] session* open_session(gpa::resource& r)
{
  auto* const s = new (r.allocate(sizeof(session), 8)) session{"ada", nullptr};
  STAY;
  return s;
}
[[gnu::noinline]] void* note_history(gpa::resource& r)
{
  void* const p = std::memset(r.allocate(100, 8), 0, 100);
  STAY;
  return p;
}

// Three sessions, which own one block each.
void leak_sessions()
{
  gpa::resource r({.name = "parser", .checks = gpa::checks::always()});
  for (int i = 0; i != unknown(3); ++i) open_session(r)->history = note_history(r);
  static_cast<void>(r.deinit());
}

void overflow()
{
  gpa::resource r({.checks = gpa::checks::always(), .after_mistake = gpa::after_mistake::carry_on});
  auto* const p = static_cast<char*>(r.allocate(60, 4));
  std::memset(p, 'x', 60);
  const int value = 42;
  for (std::size_t i = 0; i != sizeof value; ++i)
    stray_write(p, static_cast<std::ptrdiff_t>(60 + i), reinterpret_cast<const unsigned char*>(&value)[i]);
  r.deallocate(p, 60, 4);
}

[[gnu::noinline]] void fill_cache(gpa::resource& r)
{
  for (int i = 0; i != unknown(9); ++i) static_cast<void>(r.allocate(100, 8));
  STAY;
}

void reach_limit()
{
  gpa::resource r({.name = "parser", .checks = gpa::checks::always(), .memory_limit = 1'000});
  fill_cache(r);
  const void* const more = r.try_allocate(200);
  static_cast<void>(::write(STDOUT_FILENO, more == nullptr ? "refused" : "given", more == nullptr ? 7 : 5));
  STAY;
  r.release();
}

void tell_frames()
{
  const gpa::resource r;
  const std::string frames = std::to_string(r.options().stack_frames);
  static_cast<void>(::write(STDOUT_FILENO, frames.data(), frames.size()));
}

// As tell_frames, where the program says `words`.
outcome frames_of_program(const char* words, const std::string& options = "")
{
  return under(options, [words] {
    said_by_program = words;
    tell_frames();
  });
}

struct file_of_settings {
  std::filesystem::path path;

  explicit file_of_settings(std::string_view content)
  {
    std::string pattern = (std::filesystem::temp_directory_path() / "gpa_settings_XXXXXX").string();
    const int file = ::mkstemp(pattern.data());
    BOOST_REQUIRE(file != -1);
    ::close(file);
    path = pattern;
    std::ofstream(path) << content;
  }
  ~file_of_settings() { std::filesystem::remove(path); }
  [[nodiscard]] std::string include() const { return "include=" + path.string(); }
};

}  // namespace

BOOST_AUTO_TEST_CASE(contents_decides_whether_bytes_are_shown)
{
  const outcome leak = under("", leak_sessions), overrun = under("", overflow);
  BOOST_TEST_CONTEXT(leak) BOOST_TEST(leak.says("    holds: 61 64 61 00 00 00 00 00 "));
  BOOST_TEST_CONTEXT(overrun)
  {
    BOOST_TEST(overrun.says("78 78 78 78|2a 00 00 00  |xxxxxxxxxxxx*...|\n"));
    BOOST_TEST(overrun.says("    the bytes written read as integer 42\n"));
  }
  BOOST_TEST(!under("contents=0", leak_sessions).says("holds:"));
  const outcome without = under("contents=0", overflow);
  BOOST_TEST_CONTEXT(without)
  {
    BOOST_TEST(without.reports().size() == 1u);
    BOOST_TEST(!without.says("78 78"));
    BOOST_TEST(!without.says("read as"));
  }
}

BOOST_AUTO_TEST_CASE(owned_decides_whether_owned_blocks_have_reports_of_their_own)
{
  const outcome usual = under("", leak_sessions);
  BOOST_TEST_CONTEXT(usual)
  {
    BOOST_TEST(usual.reports().size() == 1u);
    BOOST_TEST(usual.says("error: leak of 48 bytes in 3 blocks, which own 300 more bytes in 3 blocks [gpa-leak]"));
    BOOST_TEST(usual.says("SUMMARY: gpa: 348 bytes leaked in 6 blocks from 1 place"));
  }
  const outcome all = under("owned=1", leak_sessions);
  BOOST_TEST_CONTEXT(all)
  {
    BOOST_TEST(all.reports().size() == 2u);
    BOOST_TEST(all.says("in 3 blocks, which own 300 more bytes in 3 blocks [gpa-leak]"));
    BOOST_TEST(all.says("error: leak of 300 bytes in 3 blocks [gpa-leak]"));
    BOOST_TEST(all.says("    owned: other leaked blocks point at these\n"));
    BOOST_TEST(all.says("SUMMARY: gpa: 348 bytes leaked in 6 blocks from 2 places"));
  }
}

BOOST_AUTO_TEST_CASE(report_limit_decides_whether_a_refusal_is_told)
{
  const outcome usual = under("", reach_limit);
  BOOST_TEST(usual.out == "refused");
  BOOST_TEST(usual.err == "");
  const outcome told = under("report_limit=1", reach_limit);
  BOOST_TEST_CONTEXT(told)
  {
    BOOST_TEST(told.out == "refused");
    BOOST_TEST(
        told.says("warning: memory limit of 1000 bytes reached: 900 in use, 200 more asked for [gpa-memory-limit]\n"));
    BOOST_TEST(told.says("reach_limit() "));
    BOOST_TEST(told.says("note: 900 bytes in 9 blocks in use, allocated here\n"));
    BOOST_TEST(told.says("fill_cache(gpa::resource&)"));
    BOOST_TEST(told.says("    resource \"parser\": the allocation was refused; see README.md#memory-limit\n"));
  }
  const outcome capped = under("report_limit=1:max_reports=2", [] {
    gpa::resource r({.checks = gpa::checks::never(), .memory_limit = 10});
    for (int i = 0; i != 5; ++i) static_cast<void>(r.try_allocate(100));
  });
  BOOST_TEST_CONTEXT(capped)
  {
    const std::regex headline("gpa-memory-limit");
    BOOST_TEST(std::distance(std::sregex_iterator(capped.err.begin(), capped.err.end(), headline), {}) == 2);
    BOOST_TEST(capped.says("checks::never() does not know who holds them"));
  }
}

BOOST_AUTO_TEST_CASE(stats_decides_whether_totals_are_told_at_the_end)
{
  const auto work = [] {
    gpa::resource r({.name = "parser", .memory_limit = 10'000});  // with one the peak is exact
    r.deallocate(r.allocate(100), 100);
    r.deallocate(r.allocate(24), 24);
    r.detect_leaks();
  };
  BOOST_TEST(under("", work).err == "");
  BOOST_TEST(under("stats=1", work).err ==
             "gpa: resource \"parser\": 2 allocations of 124 bytes in all, peak 100 bytes, 0 bytes live at the end\n");
}

// ---- where settings come from ----

BOOST_AUTO_TEST_CASE(an_included_file_is_read_where_it_is_named)
{
  const file_of_settings file("# ours\nstack_frames=7\nlog_operations=0 : max_reports=3\n");
  BOOST_TEST(under(file.include(), tell_frames).out == "7");
  BOOST_TEST(under("stack_frames=5:" + file.include(), tell_frames).out == "7");
  BOOST_TEST(under(file.include() + ":stack_frames=5", tell_frames).out == "5");
  BOOST_TEST(under("", tell_frames).out == "32");
  BOOST_TEST(under(file.include(), tell_frames).err == "");
}

BOOST_AUTO_TEST_CASE(what_is_wrong_with_an_included_file_is_told_and_the_rest_holds)
{
  const outcome missing = under("include=/nowhere/gpa.options:stack_frames=5", tell_frames);
  BOOST_TEST(missing.err ==
             "gpa: warning: GPA_OPTIONS: include=/nowhere/gpa.options cannot be read (No such file or directory)\n");
  BOOST_TEST(missing.out == "5");
  const file_of_settings wrong("stack_frmaes=7\nstack_frames=6\n");
  const outcome o = under(wrong.include(), tell_frames);
  BOOST_TEST(o.err == "gpa: warning: GPA_OPTIONS has no key \"stack_frmaes\"; did you mean \"stack_frames\"?\n");
  BOOST_TEST(o.out == "6");
  const file_of_settings nested(wrong.include() + "\nstack_frames=4\n");
  const outcome deep = under(nested.include(), tell_frames);
  BOOST_TEST(deep.says(" stands in an included file\n"));
  BOOST_TEST(deep.out == "4");
  const file_of_settings strict("stack_frmaes=7\nstrict=1\n");
  BOOST_TEST(under(strict.include(), tell_frames).status == 2);
}

BOOST_AUTO_TEST_CASE(the_program_may_have_settings_of_its_own_and_the_variable_wins)
{
  BOOST_TEST(frames_of_program("stack_frames=9").out == "9");
  BOOST_TEST(frames_of_program("stack_frames=9", "stack_frames=5").out == "5");
  BOOST_TEST(frames_of_program("stack_frames=9", "max_reports=5").out == "9");
  BOOST_TEST(frames_of_program(nullptr).out == "32");
  BOOST_TEST(frames_of_program("stack_frmaes=9").says("did you mean \"stack_frames\"?"));
}

// ---- what holds of all reports ----

BOOST_AUTO_TEST_CASE(headlines_match_the_pattern_by_which_editors_read_gccs_diagnostics)
{
  const std::regex gcc(R"(^(.*):(\d+):(\d+):\s+(?:fatal\s+)?(warning|error):\s+(.*)$)");
  for (const outcome& o : {under("", leak_sessions), under("", overflow), under("report_limit=1", reach_limit)}) {
    const std::string first = o.err.substr(0, o.err.find('\n'));
    std::smatch parts;
    BOOST_TEST_CONTEXT(o)
    {
      BOOST_TEST_REQUIRE(std::regex_match(first, parts, gcc));
      BOOST_TEST(parts[1].str().ends_with("report_options_test.cpp"));
      BOOST_TEST(std::stoi(parts[2]) > 0);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_thousand_leaks_of_one_line_are_fewer_than_thirty_lines)
{
  const outcome o = under("", [] {
    gpa::resource r({.checks = gpa::checks::always()});
    for (int i = 0; i != unknown(1'000); ++i) static_cast<void>(open_session(r));
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.says("in 1000 blocks"));
    BOOST_TEST(std::count(o.err.begin(), o.err.end(), '\n') < 30);
  }
}
