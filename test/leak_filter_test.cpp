// GPA_OPTIONS: suppressions, baseline and write_baseline; each shows what it changes, and what stands without it.
#define BOOST_TEST_MODULE leak_filter
#include <gpa/resource.hpp>

#include "support/governed.hpp"
#include "support/suspects.hpp"

#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

namespace {

using namespace gpa::test;

[[gnu::noinline]] void* old_leak(gpa::resource& r)
{
  void* const p = r.allocate(24);
  STAY;
  return p;
}

[[gnu::noinline]] void* new_leak(gpa::resource& r)
{
  void* const p = r.allocate(100);
  STAY;
  return p;
}

void print(gpa::check c)
{
  const std::string_view word = gpa::to_string(c);
  static_cast<void>(::write(STDOUT_FILENO, word.data(), word.size()));
}

// Set before the child is forked: the stack of the old leak is the same with it and without.
int old_leaks = 1;
bool with_new = false;

void leak_old()
{
  gpa::resource r({.checks = gpa::checks::always()});
  for (int i = 0; i != old_leaks; ++i) old_leak(r);
  if (with_new) new_leak(r);
  print(r.deinit());
}

void leak_thrice()
{
  for (int i = 0; i != 3; ++i) leak_old();
  STAY;  // the last call is no tail call, whose stack would lack this function
}

void leak_both()
{
  gpa::resource r({.checks = gpa::checks::always()});
  old_leak(r);
  new_leak(r);
  print(r.deinit());
}

struct folder {
  std::filesystem::path path;

  folder()
  {
    std::string pattern = (std::filesystem::temp_directory_path() / "gpa_leak_filter_XXXXXX").string();
    BOOST_REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path = pattern;
  }
  ~folder() { std::filesystem::remove_all(path); }

  std::string file(std::string_view name, std::string_view content = {}) const
  {
    if (!content.empty()) std::ofstream(path / name) << content;
    return (path / name).string();
  }
  [[nodiscard]] std::string content(std::string_view name) const
  {
    std::ifstream file(path / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_suppressed_leak_is_counted_below_the_others_and_no_leak)
{
  const folder f;
  const std::string options = "suppressions=" + f.file("gpa.supp", "# known\nleak:old_leak\n");
  const outcome only = under(options, [] {
    old_leaks = 2;
    leak_old();
  });
  BOOST_TEST_CONTEXT(only)
  {
    BOOST_TEST(only.out == "ok");
    BOOST_TEST(only.reports().empty());
    BOOST_TEST(!only.says("SUMMARY: gpa:"));
    BOOST_TEST(only.says("note: not counted: 48 bytes in 2 blocks that a suppression matches\n"));
  }
  const outcome both = under(options, leak_both);
  BOOST_TEST_CONTEXT(both)
  {
    BOOST_TEST(both.out == "leak");
    BOOST_TEST(both.reports().size() == 1u);
    BOOST_TEST(both.says("leak of 100 bytes in 1 block [gpa-leak]"));
    BOOST_TEST(both.says("SUMMARY: gpa: 100 bytes leaked in 1 block from 1 place"));
  }
  BOOST_TEST(under("", leak_both).reports().size() == 2u);
}

// Whose fate they share.
BOOST_AUTO_TEST_CASE(what_a_suppressed_leak_owns_is_not_counted_either)
{
  const folder f;
  const outcome o = under("suppressions=" + f.file("gpa.supp", "leak:old_leak\n"), [] {
    gpa::resource r({.checks = gpa::checks::always()});
    void* const owner = old_leak(r);
    void* const owned = new_leak(r);
    std::memcpy(owner, &owned, sizeof owned);
    print(r.deinit());
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.out == "ok");
    BOOST_TEST(o.reports().empty());
    BOOST_TEST(!o.says("SUMMARY: gpa:"));
    BOOST_TEST(o.says("note: not counted: 124 bytes in 2 blocks that a suppression matches\n"));
  }
}

BOOST_AUTO_TEST_CASE(print_suppressions_decides_whether_those_that_were_used_are_listed)
{
  const folder f;
  const std::string options = "suppressions=" + f.file("gpa.supp", "leak:never_called\nleak:old_leak\nleak:new_leak\n");
  const outcome listed = under(options, leak_both);
  BOOST_TEST_CONTEXT(listed)
  {
    BOOST_TEST(listed.says("that a suppression matches\n"));
    BOOST_TEST(listed.says("    leak:old_leak: 24 bytes in 1 block\n"));
    BOOST_TEST(listed.says("    leak:new_leak: 100 bytes in 1 block\n"));
    BOOST_TEST(!listed.says("never_called"));
  }
  const outcome short_form = under(options + ":print_suppressions=0", leak_both);
  BOOST_TEST(short_form.says("that a suppression matches\n"));
  BOOST_TEST(!short_form.says("leak:old_leak"));
}

BOOST_AUTO_TEST_CASE(the_line_a_report_proposes_suppresses_it)
{
  const folder f;
  const std::string text = under("", leak_old).err;
  constexpr std::string_view words = "; suppress with: ";
  const std::size_t at = text.find(words);
  BOOST_TEST_REQUIRE(at != std::string::npos);
  const std::size_t begin = at + words.size();
  const std::string line = text.substr(begin, text.find('\n', begin) + 1 - begin);
  BOOST_TEST(line.starts_with("leak:"));
  BOOST_TEST(under("suppressions=" + f.file("gpa.supp", line), leak_old).out == "ok");
}

BOOST_AUTO_TEST_CASE(a_handler_hears_of_no_suppressed_leak)
{
  const folder f;
  const outcome o = under("suppressions=" + f.file("gpa.supp", "leak:old_leak\n"), [] {
    int told = 0;
    gpa::resource r({.checks = gpa::checks::always(), .on_report = [&told](const gpa::report&) { ++told; }});
    old_leak(r);
    new_leak(r);
    const std::size_t live = r.detect_leaks();
    ::dprintf(STDOUT_FILENO, "%zu %d", live, told);
    r.release();
  });
  BOOST_TEST(o.out == "1 1");
}

BOOST_AUTO_TEST_CASE(with_a_baseline_only_what_is_new_is_told)
{
  const folder f;
  const outcome first = under("write_baseline=" + f.file("old.txt"), leak_old);
  BOOST_TEST(first.out == "leak");  // told as ever
  BOOST_TEST(first.reports().size() == 1u);
  const std::string written = f.content("old.txt");
  BOOST_TEST_CONTEXT(written)
  {
    BOOST_TEST(written.find(" leak of 24 bytes in 1 block: ") == 16u);
    BOOST_TEST(written.find("old_leak") != std::string::npos);
    BOOST_TEST(std::count(written.begin(), written.end(), '\n') == 1);
  }
  // Another number of blocks, on another day, in another process.
  old_leaks = 3;
  const outcome same = under("baseline=" + f.file("old.txt"), leak_old);
  old_leaks = 1;
  BOOST_TEST_CONTEXT(same) BOOST_TEST(same.out == "ok");
  BOOST_TEST_CONTEXT(same) BOOST_TEST(same.says("note: not counted: 72 bytes in 3 blocks that the baseline knows\n"));
  with_new = true;
  const outcome more = under("baseline=" + f.file("old.txt"), leak_old);
  with_new = false;
  BOOST_TEST_CONTEXT(more) BOOST_TEST(more.out == "leak");
  BOOST_TEST_CONTEXT(more) BOOST_TEST(more.reports().size() == 1u);
  BOOST_TEST_CONTEXT(more) BOOST_TEST(more.says("leak of 100 bytes in 1 block [gpa-leak]"));
}

BOOST_AUTO_TEST_CASE(a_stack_is_written_once_a_process_and_only_when_it_is_new)
{
  const folder f;
  const std::string old = f.file("old.txt");
  static_cast<void>(under("write_baseline=" + old, leak_thrice));
  const std::string once = f.content("old.txt");
  BOOST_TEST_CONTEXT(once) BOOST_TEST(std::count(once.begin(), once.end(), '\n') == 1);
  static_cast<void>(under("baseline=" + old + ":write_baseline=" + old, leak_thrice));
  BOOST_TEST(f.content("old.txt") == once);
}

BOOST_AUTO_TEST_CASE(a_file_that_cannot_be_read_or_written_is_one_warning_and_leaks_are_told)
{
  for (const char* const key : {"suppressions", "baseline", "write_baseline"}) {
    const outcome o = under(std::string(key) + "=/nowhere/at/all", leak_old);
    const std::string warning = std::string("gpa: warning: ") + key + "=/nowhere/at/all cannot be ";
    BOOST_TEST_CONTEXT(o)
    {
      BOOST_TEST(o.err.starts_with(warning));
      BOOST_TEST(o.err.find(warning, 1) == std::string::npos);
      BOOST_TEST(o.reports().size() == 1u);
    }
  }
}

BOOST_AUTO_TEST_CASE(files_are_read_with_the_first_resource_from_where_the_program_is_then)
{
  const folder f;
  static_cast<void>(f.file("gpa.supp", "\xEF\xBB\xBFleak:old_leak\n"));  // as some editors begin a file
  const outcome o = outcome_of([&f] {
    ::setenv("GPA_OPTIONS", "suppressions=gpa.supp", 1);
    if (::chdir(f.path.c_str()) != 0) ::_exit(9);
    gpa::resource r({.checks = gpa::checks::always()});
    if (::chdir("/") != 0) ::_exit(9);
    old_leak(r);
    print(r.deinit());
  });
  BOOST_TEST_CONTEXT(o) BOOST_TEST(o.out == "ok");
  // A wrong name is told before anything leaks.
  BOOST_TEST(under("suppressions=/nowhere/at/all", [] { const gpa::resource r; }).says("cannot be read"));
}

BOOST_AUTO_TEST_CASE(what_was_set_is_undone_by_the_words_for_no_file)
{
  const folder f;
  const std::string set = "suppressions=" + f.file("gpa.supp", "leak:old_leak\n") + ":log_path=" + f.file("gpa.log");
  const outcome o = under(set + ":suppressions=none:baseline=none:report_path=none:log_path=stderr", leak_old);
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.reports().size() == 1u);
    BOOST_TEST(!std::filesystem::exists(f.path / "gpa.log"));
    BOOST_TEST(!std::filesystem::exists("stderr"));
  }
}

BOOST_AUTO_TEST_CASE(a_file_that_is_too_long_is_not_believed_in_part)
{
  const folder f;
  const std::string lines(std::size_t{17} << 20, '\n');
  const outcome o = under("suppressions=" + f.file("gpa.supp", "leak:old_leak\n" + lines), leak_old);
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.says("cannot be read (File too large)"));
    BOOST_TEST(o.reports().size() == 1u);
  }
}

BOOST_AUTO_TEST_CASE(with_strict_such_a_file_and_a_line_that_is_none_end_the_process_before_it_begins)
{
  const auto work = [] {
    const gpa::resource r;
    std::printf("went on");
    std::fflush(stdout);
  };
  for (const std::string key : {"suppressions", "baseline"}) {
    for (const char* const file : {"/nowhere/at/all", "/proc/self/comm"}) {
      const outcome o = under("strict=1:" + key + '=' + file, work);
      BOOST_TEST_CONTEXT(key << '=' << file << ": " << o)
      {
        BOOST_TEST(o.status == 2);
        BOOST_TEST(o.out == "");
        BOOST_TEST(o.says(file));
        BOOST_TEST(o.says("gpa: error: "));
        BOOST_TEST(!o.says("warning"));
      }
    }
    BOOST_TEST(under("strict=1:" + key + "=/dev/null:protect_large=automatic", work).out == "went on");
  }
  // The first run is what makes it.
  const std::string one = "baseline=/nowhere/yet:write_baseline=/nowhere/yet";
  BOOST_TEST(under("strict=1:" + one, work).out == "went on");
  BOOST_TEST(under(one, work).err == "");
}
