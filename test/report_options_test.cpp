// What GPA_OPTIONS makes of reports, each key with both of its behaviours; where settings may come from; and what holds
// of all reports: a first line that editors understand, and fewer lines than anybody minds.
#define BOOST_TEST_MODULE report_options
#include <gpa/resource.hpp>

#include "support/accomplices.hpp"
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
#include <vector>

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
    BOOST_TEST(all.err.find("which own 300 more bytes in 3 blocks [gpa-leak]") < all.err.find("leak of 300 bytes in 3"));
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
    BOOST_TEST(capped.says("gpa: resource \"resource\": 3 more reports of memory limit were not shown\n"));
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

BOOST_AUTO_TEST_CASE(symbolize_decides_whether_anything_is_named)
{
  BOOST_TEST(under("symbolize=1", leak_sessions).says("open_session(gpa::resource&)"));
  const outcome bare = under("symbolize=0", leak_sessions);
  BOOST_TEST_CONTEXT(bare)
  {
    const std::regex headline(R"(^[^ ]*report_options_test\+0x[0-9a-f]+: error: leak of 48 bytes in 3 blocks)");
    BOOST_TEST(std::regex_search(bare.err, headline));
    BOOST_TEST(bare.says("    #0 0x"));
    BOOST_TEST(bare.says("report_options_test+0x"));
    BOOST_TEST(!bare.says("open_session"));
    BOOST_TEST(!bare.says(" | "));           // no source line
    BOOST_TEST(!bare.says("suppress with"));  // the program's name would suppress everything
  }
}

BOOST_AUTO_TEST_CASE(hide_makes_frames_the_libraries)
{
  const outcome usual = under("", leak_sessions);
  BOOST_TEST(usual.says("#0 0x"));
  BOOST_TEST(usual.says(" in (anonymous namespace)::open_session(gpa::resource&) "));
  for (const char* const pattern : {"hide=open_session", "hide='nothing_here, *open_s*n(gpa*'"}) {
    const outcome o = under(pattern, leak_sessions);
    BOOST_TEST_CONTEXT(pattern << o)
    {
      BOOST_TEST(!o.says("open_session(gpa::resource&)"));
      BOOST_TEST(o.says("    #0 0x"));
      BOOST_TEST(o.says(" in (anonymous namespace)::leak_sessions() "));
      BOOST_TEST(o.says("suppress with: leak:(anonymous namespace)::leak_sessions"));
    }
  }
  BOOST_TEST(under("hide=open_session:view=all", leak_sessions).says(" in (anonymous namespace)::open_session("));
  BOOST_TEST(under("hide='^open_session'", leak_sessions).says(" in (anonymous namespace)::open_session("));
}

BOOST_AUTO_TEST_CASE(strip_path_prefix_shortens_paths)
{
  const std::string folder = std::filesystem::path(GPA_TEST_DIR).lexically_normal().string();
  const std::string headline = "report_options_test.cpp:";
  BOOST_TEST(!under("", leak_sessions).err.starts_with(headline));
  const outcome o = under("strip_path_prefix=" + folder, leak_sessions);
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.err.starts_with(headline));
    BOOST_TEST(o.says("(gpa::resource&) " + headline));
    BOOST_TEST(o.says(" | "));  // the source line is found all the same
  }
  BOOST_TEST(!under("strip_path_prefix=/elsewhere", leak_sessions).err.starts_with(headline));
}

BOOST_AUTO_TEST_CASE(free_trace_decides_whether_frees_have_stacks)
{
  const auto work = [](std::size_t bytes) {
    return [bytes] {
      gpa::options o{.checks = gpa::checks::always(), .quarantine_bytes = gpa::unlimited};
      o.after_mistake = gpa::after_mistake::carry_on;
      gpa::resource r(o);
      void* const p = r.allocate(bytes, 8);
      r.deallocate(p, bytes, 8);
      blunder(r, p, bytes);
    };
  };
  for (const std::size_t bytes : {std::size_t{24}, std::size_t{5'000}, std::size_t{100'000}}) {
    const outcome with = under("", work(bytes)), without = under("free_trace=0", work(bytes));
    BOOST_TEST_CONTEXT(bytes << " bytes, with: " << with << "without: " << without)
    {
      BOOST_TEST(with.says("note: first freed here"));
      BOOST_TEST(!without.says("first freed here"));
      for (const outcome* const o : {&with, &without}) {
        BOOST_TEST(o->reports() == std::vector<std::string>{"double-free"}, boost::test_tools::per_element());
        BOOST_TEST(o->says("blunder("));  // the second free has its stack in any case
        BOOST_TEST(o->says("note: allocated here"));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(leaks_decides_whether_they_are_reported_at_the_end)
{
  const auto work = [] {
    gpa::resource r({.checks = gpa::checks::always()});
    static_cast<void>(open_session(r));
    const bool asked = r.detect_leaks() == 1;
    const bool verdict = r.deinit() == gpa::check::leak;
    static_cast<void>(::write(STDOUT_FILENO, asked && verdict ? "leak" : "none", 4));
  };
  const auto reports = [](const outcome& o) { return o.reports().size(); };
  const outcome with = under("", work), without = under("leaks=0", work);
  BOOST_TEST(with.out == "leak");
  BOOST_TEST(reports(with) == 2u);  // of detect_leaks() and of deinit()
  BOOST_TEST(without.out == "leak");
  BOOST_TEST(reports(without) == 1u);
}

BOOST_AUTO_TEST_CASE(follow_fork_decides_whether_a_child_tells_what_it_inherited)
{
  const auto work = [] {
    for (const gpa::checks kind : {gpa::checks::always(), gpa::checks::never()}) {
      gpa::resource r({.checks = kind});
      void* const small = r.allocate(24);
      void* const large = r.allocate(100'000);
      const outcome child = outcome_of([&r] { static_cast<void>(r.deinit()); });
      static_cast<void>(::write(STDOUT_FILENO, child.err.data(), child.err.size()));
      r.deallocate(small, 24);
      r.deallocate(large, 100'000);
    }
  };
  BOOST_TEST(under("", work).out == "");
  const outcome told = under("follow_fork=1", work);
  BOOST_TEST_CONTEXT(told)
  {
    const std::regex summary("SUMMARY: gpa: 100024 bytes leaked in 2 blocks");
    BOOST_TEST(std::distance(std::sregex_iterator(told.out.begin(), told.out.end(), summary), {}) == 2);
  }
}

// ---- where settings come from ----

BOOST_AUTO_TEST_CASE(an_included_file_is_read_where_it_is_named)
{
  const file_of_settings file("# ours\n  # a=b, too\n \nstack_frames=7\nlog_operations=0 : max_reports=3\n");
  BOOST_TEST(under(file.include(), tell_frames).out == "7");
  BOOST_TEST(under("stack_frames=5:" + file.include(), tell_frames).out == "7");
  BOOST_TEST(under(file.include() + ":stack_frames=5", tell_frames).out == "5");
  BOOST_TEST(under("", tell_frames).out == "32");
  BOOST_TEST(under(file.include(), tell_frames).err == "");
}

BOOST_AUTO_TEST_CASE(what_is_wrong_with_the_program_s_words_is_told_of_those)
{
  const outcome o = under("", [] {
    said_by_program = "stack_frmaes=7:max_reports=many";
    tell_frames();
  });
  BOOST_TEST(o.says("gpa: warning: gpa_default_options() has no key \"stack_frmaes\"; did you mean \"stack_frames\"?\n"));
  BOOST_TEST(o.says("gpa: warning: gpa_default_options(): max_reports=many is not understood"));
}

BOOST_AUTO_TEST_CASE(what_is_wrong_with_an_included_file_is_told_and_the_rest_holds)
{
  const outcome missing = under("include=/nowhere/gpa.options:stack_frames=5", tell_frames);
  BOOST_TEST(missing.err ==
             "gpa: warning: GPA_OPTIONS: include=/nowhere/gpa.options cannot be read (No such file or directory)\n");
  BOOST_TEST(missing.out == "5");
  const file_of_settings wrong("stack_frmaes=7\nstack_frames=6\n");
  const outcome o = under(wrong.include(), tell_frames);
  BOOST_TEST(o.err == "gpa: warning: " + wrong.path.string() +
                          " has no key \"stack_frmaes\"; did you mean \"stack_frames\"?\n");
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
