// GPA_OPTIONS: the keys about reports; each shows what it changes, and what stands without it.
#define BOOST_TEST_MODULE output
#include <gpa/resource.hpp>

#include "support/accomplices.hpp"
#include "support/governed.hpp"

#include <boost/test/unit_test.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

namespace {

using namespace gpa::test;

constexpr auto carry_on = gpa::after_mistake::carry_on;

void mistakes(int count)
{
  gpa::resource r({.checks = gpa::checks::always(), .after_mistake = carry_on});
  void* const p = obtain(r, 24);
  for (int i = 0; i != count; ++i) blunder(r, p, 23);
  r.deallocate(p, 24);
}

void leaks()
{
  gpa::resource r({.checks = gpa::checks::always()});
  static_cast<void>(obtain(r, 24));
}

// One place each.
void three_leaks()
{
  gpa::resource r({.checks = gpa::checks::always()});
  static_cast<void>(obtain(r, 1));
  static_cast<void>(obtain(r, 2));
  static_cast<void>(obtain(r, 3));
}

// What a terminal in the place of stderr is sent, in an environment that `prepare` has changed.
std::string shown_on_terminal(const std::string& options, void (*prepare)() = [] {})
{
  return under(options,
               [prepare] {
                 prepare();
                 const int master = ::posix_openpt(O_RDWR | O_NOCTTY);
                 if (master < 0 || ::grantpt(master) != 0 || ::unlockpt(master) != 0) ::_exit(77);
                 const int terminal = ::open(::ptsname(master), O_RDWR | O_NOCTTY);
                 ::dup2(terminal, STDERR_FILENO);
                 ::close(terminal);
                 leaks();
                 ::close(STDERR_FILENO);
                 // It comes in parts, and later than it was written; at the end is an error, as nobody writes any more.
                 char part[4096];
                 for (ssize_t count = 0; (count = ::read(master, part, sizeof part)) > 0;)
                   static_cast<void>(::write(STDOUT_FILENO, part, static_cast<std::size_t>(count)));
               })
      .out;
}

constexpr std::string_view red_error = "\x1b[1;31merror:\x1b[m ";

bool is_coloured(std::string_view text)
{
  return text.find(red_error) != std::string_view::npos;
}
bool is_plain(std::string_view text)
{
  return text.find("error: ") != std::string_view::npos && text.find('\x1b') == std::string_view::npos;
}

struct folder {
  std::filesystem::path path;

  folder()
  {
    std::string pattern = (std::filesystem::temp_directory_path() / "gpa_output_XXXXXX").string();
    BOOST_REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path = pattern;
  }
  ~folder() { std::filesystem::remove_all(path); }

  [[nodiscard]] std::string content(std::string_view name) const
  {
    std::ifstream file(path / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(max_reports_is_how_many_of_a_kind_are_shown_and_the_rest_is_counted)
{
  const outcome usual = under("", [] { mistakes(23); });
  BOOST_TEST(usual.reports().size() == 20u);
  BOOST_TEST(usual.says("3 more reports of size mismatch were not shown\n"));
  const outcome few = under("max_reports=2", [] { mistakes(23); });
  BOOST_TEST(few.reports().size() == 2u);
  BOOST_TEST(few.says("21 more reports of size mismatch were not shown\n"));
  const outcome all = under("max_reports=unlimited", [] { mistakes(23); });
  BOOST_TEST(all.reports().size() == 23u);
  BOOST_TEST(!all.says("not shown"));
}

BOOST_AUTO_TEST_CASE(max_reports_is_how_many_places_of_leaks_are_shown)
{
  const outcome few = under("max_reports=1", three_leaks);
  BOOST_TEST(few.reports().size() == 1u);
  BOOST_TEST(few.says("(2 more places not shown)\nSUMMARY: gpa: 6 bytes leaked in 3 blocks from 3 places"));
  BOOST_TEST(under("", three_leaks).reports().size() == 3u);
}

BOOST_AUTO_TEST_CASE(color_is_for_terminals_unless_told_otherwise)
{
  BOOST_TEST(is_plain(under("", leaks).err));
  BOOST_TEST(is_plain(under("color=never", leaks).err));
  BOOST_TEST(is_coloured(under("color=always", leaks).err));
  BOOST_TEST(is_coloured(shown_on_terminal("")));
  BOOST_TEST(is_coloured(shown_on_terminal("color=auto")));
  BOOST_TEST(is_plain(shown_on_terminal("color=never")));
}

BOOST_AUTO_TEST_CASE(summaries_and_refusals_by_the_limit_are_coloured_as_reports_are)
{
  const auto refusal = [] {
    gpa::resource r({.checks = gpa::checks::always(), .memory_limit = 1});
    static_cast<void>(r.try_allocate(24));
  };
  constexpr std::string_view warning = "\x1b[1;35mwarning:\x1b[m ", summary = "\x1b[1mSUMMARY:\x1b[m ";
  BOOST_TEST(under("color=always:report_limit=1", refusal).says(warning));
  BOOST_TEST(under("report_limit=1", refusal).says("warning: memory limit of 1 byte reached"));
  BOOST_TEST(under("color=always", leaks).says(summary));
  BOOST_TEST(under("", leaks).says("\nSUMMARY: "));
}

BOOST_AUTO_TEST_CASE(no_color_turns_colours_off_but_not_those_that_were_asked_for)
{
  const auto no_color = [] { ::setenv("NO_COLOR", "1", 1); };
  BOOST_TEST(is_plain(shown_on_terminal("", no_color)));
  BOOST_TEST(is_coloured(shown_on_terminal("color=always", no_color)));
}

BOOST_AUTO_TEST_CASE(a_dumb_terminal_has_no_colours)
{
  BOOST_TEST(is_plain(shown_on_terminal("", [] { ::setenv("TERM", "dumb", 1); })));
  BOOST_TEST(is_coloured(shown_on_terminal("", [] { ::setenv("TERM", "xterm", 1); })));
}

BOOST_AUTO_TEST_CASE(in_github_actions_a_line_for_it_comes_first)
{
  const auto in_github = [](const char* options) {
    return under(options, [] {
      ::setenv("GITHUB_ACTIONS", "true", 1);
      ::setenv("GITHUB_WORKSPACE", GPA_TEST_DIR "/..", 1);
      mistakes(1);
    });
  };
  const outcome there = in_github("");
  BOOST_TEST_CONTEXT(there)
  {
    BOOST_TEST(there.err.starts_with("::error file=test/support/accomplices.hpp,line="));
    BOOST_TEST(there.says("title=gpa-size-mismatch::size mismatch: a block of 24 bytes at 0x"));
    BOOST_TEST(there.reports().size() == 1u);
  }
  BOOST_TEST(!in_github("annotations=never").says("::error"));
  BOOST_TEST(!under("", [] { mistakes(1); }).says("::error"));
  BOOST_TEST(under("annotations=always", [] { mistakes(1); }).err.starts_with("::error "));
  BOOST_TEST(under("annotations=always", leaks).err.starts_with("::error "));
}

BOOST_AUTO_TEST_CASE(view_is_whether_frames_of_libraries_are_shown)
{
  const outcome user = under("", [] { mistakes(1); });
  const outcome all = under("view=all", [] { mistakes(1); });
  BOOST_TEST(user.says(" library frame"));
  BOOST_TEST(!user.says("memory_resource::deallocate"));
  BOOST_TEST(!all.says(" library frame"));
  BOOST_TEST(all.says("memory_resource::deallocate"));
}

BOOST_AUTO_TEST_CASE(hide_finds_a_file_as_it_is_shown_where_the_report_is_made)
{
  const auto leak_in = [](const std::string& directory) {
    if (::chdir(directory.c_str()) != 0) ::_exit(77);
    leaks();
  };
  constexpr std::string_view hidden = " in (anonymous namespace)::leaks() ";
  const auto below = [&] { leak_in(GPA_TEST_DIR "/.."); };
  BOOST_TEST(under("", below).says(hidden));
  BOOST_TEST(!under("hide='^test/output_test.cpp'", below).says(hidden));
  BOOST_TEST(under("hide='^output_test.cpp,/../'", below).says(hidden));
  const outcome moved = under("hide='^test/output_test.cpp'", [&] {
    for (int i = 0; i != 2; ++i) leak_in(GPA_TEST_DIR "/..");  // names are remembered once libdw is there
    ::dprintf(STDERR_FILENO, "moved\n");
    leak_in("/");
  });
  BOOST_TEST_CONTEXT(moved) BOOST_TEST(moved.says(hidden));
  BOOST_TEST_CONTEXT(moved) BOOST_TEST(moved.err.find(hidden) > moved.err.find("moved\n"));
}

BOOST_AUTO_TEST_CASE(source_is_whether_the_line_is_quoted)
{
  const std::string_view line = "r.deallocate(p, bytes, alignment);\n";
  BOOST_TEST(under("", [] { mistakes(1); }).says(line));
  BOOST_TEST(!under("source=0", [] { mistakes(1); }).says(line));
}

BOOST_AUTO_TEST_CASE(log_path_is_where_everything_goes_and_each_process_may_have_its_own)
{
  const folder f;
  const outcome o = under("log_operations=1:log_path='" + (f.path / "%e.%p.100%%.txt").string() + "'", [] {
    leaks();
    ::dprintf(STDOUT_FILENO, "output_test.%d.100%%.txt", ::getpid());
  });
  BOOST_TEST(o.err == "");
  const std::string text = f.content(o.out);
  BOOST_TEST(text.find("allocate 24 bytes") != std::string::npos);
  BOOST_TEST(text.find("[gpa-leak]") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(log_path_may_give_each_resource_a_log_of_its_own)
{
  const folder f;
  const std::string path = (f.path / "of.%n").string();
  const outcome o = under("log_operations=1:report_limit=1:max_reports=1:stats=1:log_path=" + path, [] {
    for (const std::string_view name : {"app/1", "app/2"}) {
      gpa::resource r({.name = name, .checks = gpa::checks::always(), .memory_limit = 24, .after_mistake = carry_on});
      void* const p = obtain(r, 24);
      for (int i = 0; i != 2; ++i) blunder(r, p, 23);
      for (int i = 0; i != 2; ++i) static_cast<void>(r.try_allocate(1));
    }
  });
  BOOST_TEST(o.err == "");
  const std::string first = f.content("of.app_1"), second = f.content("of.app_2");
  for (const std::string_view words : {"allocate 24 bytes", "[gpa-size-mismatch]", "[gpa-memory-limit]", "[gpa-leak]",
                                       "SUMMARY: ", "1 more report of memory limit was", "1 allocation of 24 bytes"})
    BOOST_TEST_CONTEXT(words)
    {
      BOOST_TEST(first.find(words) != std::string::npos);
      BOOST_TEST(second.find(words) != std::string::npos);
    }
  BOOST_TEST(first.find("app/2") == std::string::npos);
  BOOST_TEST(second.find("app/1") == std::string::npos);
  BOOST_TEST(std::distance(std::filesystem::directory_iterator(f.path), {}) == 2);
}

BOOST_AUTO_TEST_CASE(a_log_is_appended_to_and_an_annotation_still_goes_to_stderr)
{
  const folder f;
  const std::string options = "annotations=always:log_path=" + (f.path / "log").string();
  for (int i = 0; i != 2; ++i) BOOST_TEST(under(options, leaks).err.starts_with("::error "));
  const std::string text = f.content("log");
  BOOST_TEST(text.find("::error") == std::string::npos);
  BOOST_TEST(text.find("[gpa-leak]") != text.rfind("[gpa-leak]"));
}

BOOST_AUTO_TEST_CASE(a_report_that_ends_the_process_is_in_the_log)
{
  const folder f;
  const outcome o = under("after_mistake=abort:log_path=" + (f.path / "log").string(), [] { mistakes(1); });
  BOOST_TEST(o.status == -SIGABRT);
  BOOST_TEST(o.err == "");
  BOOST_TEST(f.content("log").find("[gpa-size-mismatch]") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(report_limit_tells_of_a_sampled_resource_which_blocks_its_numbers_are_of)
{
  const auto reach_limit = [](gpa::checks checks) {
    gpa::resource r({.checks = checks, .memory_limit = 8'000});
    for (int i = 0; i != 1'000; ++i) static_cast<void>(obtain(r, 8));
    static_cast<void>(r.try_allocate(8));
    r.release();
  };
  const outcome some = under("report_limit=1", [&] { reach_limit(gpa::checks::one_in(2)); });
  BOOST_TEST_CONTEXT(some)
  {
    BOOST_TEST(some.says("limit of 8000 bytes reached: 8000 in use, 8 more asked for [gpa-memory-limit]\n"));
    BOOST_TEST(some.says(" sampled blocks in use, allocated here\n"));
    BOOST_TEST(
        some.says("    checks::one_in(2) knows who holds one block in 2: each sampled one stands for about 2\n"));
    BOOST_TEST(!some.says("never()"));
  }
  const outcome all = under("report_limit=1", [&] { reach_limit(gpa::checks::always()); });
  BOOST_TEST_CONTEXT(all) BOOST_TEST(all.says("note: 8000 bytes in 1000 blocks in use, allocated here\n"));
  BOOST_TEST(!all.says("checks::"));
}

BOOST_AUTO_TEST_CASE(where_the_log_cannot_be_opened_one_line_says_so_and_stderr_is_used)
{
  const outcome o = under("log_path=/nowhere/at/all", [] { mistakes(2); });
  BOOST_TEST(
      o.err.starts_with("gpa: warning: log_path=/nowhere/at/all cannot be written (No such file or directory); "
                        "reports go to stderr\n"));
  BOOST_TEST(o.err.find("gpa: warning", 1) == std::string::npos);
  BOOST_TEST(o.reports().size() == 2u);
}

BOOST_AUTO_TEST_CASE(where_a_file_takes_no_more_one_line_says_so_and_no_report_is_lost)
{
  const outcome o = under("log_path=/dev/full", [] { mistakes(2); });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.err.starts_with("gpa: warning: log_path=/dev/full cannot be written (No space left on device); "
                                 "reports go to stderr\n"));
    BOOST_TEST(o.err.find("gpa: warning", 1) == std::string::npos);
    BOOST_TEST(o.reports().size() == 2u);
  }
  const outcome leaky = under("write_baseline=/dev/full", three_leaks);
  BOOST_TEST_CONTEXT(leaky)
  {
    BOOST_TEST(leaky.err.starts_with("gpa: warning: write_baseline=/dev/full cannot be written (No space left on "
                                     "device)\n"));
    BOOST_TEST(leaky.err.find("gpa: warning", 1) == std::string::npos);
    BOOST_TEST(leaky.reports().size() == 3u);
  }
}
