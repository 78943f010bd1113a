#define BOOST_TEST_MODULE report_text
#include "trace/report_text.hpp"

#include <gpa/resource.hpp>

#include "os/threads.hpp"
#include "support/death.hpp"
#include "support/golden_file.hpp"
#include "support/golden_reports.hpp"
#include "trace/capture.hpp"
#include "trace/headline.hpp"
#include "trace/limit_text.hpp"

#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <new>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace gpa::detail;
using namespace gpa::test;
using gpa::mistake;

// Paths in reports are relative to the current directory, and so are the golden ones.
struct in_golden_directory {
  in_golden_directory() { BOOST_REQUIRE(::chdir(std::string(golden_directory).c_str()) == 0); }
};

std::string text_of(const gpa::report& r)
{
  text out;
  append_report(out, r, &tell);
  return std::string(out.view());
}

std::string text_of(const gpa::report& r, const report_style& style)
{
  text out;
  append_report(out, r, &tell, style);
  return std::string(out.view());
}

std::string without_escapes(const std::string& text)
{
  return std::regex_replace(text, std::regex("\x1b\\[[0-9;]*m"), "");
}

// `text_in` makes the text in a style. The coloured one is golden too, and the plain one but for its escape sequences.
template <class Maker>
void test_golden_in_both_styles(const std::string& name, const Maker& text_in)
{
  const std::string plain = text_in(report_style{});
  const std::string coloured = text_in(report_style{.color = true});
  test_golden(name, plain);
  test_golden(name + ".coloured", coloured);
  BOOST_TEST_CONTEXT(name) BOOST_TEST(without_escapes(coloured) == plain);
}

// The stack of a mistake as the library takes it.
[[gnu::noinline]] gpa::stack_trace stack_from_caller()
{
  return {capture_stack(32, __builtin_return_address(0)), this_thread_number()};
}

}  // namespace

BOOST_TEST_GLOBAL_FIXTURE(in_golden_directory);

BOOST_AUTO_TEST_CASE(every_report_reads_as_its_golden_text)
{
  for (const golden_case& c : golden_cases()) test_golden(c.file, text_of(c.report));
}

BOOST_AUTO_TEST_CASE(colours_are_golden_too_and_without_them_the_text_is_the_plain_one)
{
  constexpr report_style coloured{.color = true};
  for (const golden_case& c : golden_cases()) {
    const std::string text = text_of(c.report, coloured);
    if (c.file.find('.') == std::string::npos) test_golden(std::string(c.file) + ".coloured", text);  // one a kind
    BOOST_TEST_CONTEXT(c.file) BOOST_TEST(text.find("\x1b[1;31merror:\x1b[m ") != std::string::npos);
    BOOST_TEST_CONTEXT(c.file) BOOST_TEST(without_escapes(text) == text_of(c.report));
  }
}

BOOST_AUTO_TEST_CASE(without_source_there_is_no_excerpt_and_with_all_frames_nothing_is_hidden)
{
  const gpa::report r = wrong_free(mistake::double_free);
  const std::string plain = text_of(r);
  BOOST_TEST_REQUIRE(plain.find("      | ") != std::string::npos);
  BOOST_TEST(text_of(r, {.source = false}).find(" | ") == std::string::npos);
  BOOST_TEST_REQUIRE(plain.find(" library frame") != std::string::npos);
  const std::string all = text_of(r, {.all_frames = true});
  BOOST_TEST(all.find(" library frame") == std::string::npos);
  BOOST_TEST(std::count(all.begin(), all.end(), '#') > std::count(plain.begin(), plain.end(), '#'));
}

BOOST_AUTO_TEST_CASE(every_mistake_has_a_golden_text_of_its_name)
{
  std::set<mistake> seen;
  for (const golden_case& c : golden_cases()) {
    seen.insert(c.report.kind);
    std::string words(gpa::to_string(c.report.kind));
    std::replace(words.begin(), words.end(), ' ', '_');
    BOOST_TEST(c.file.substr(0, c.file.find('.')) == words);
  }
  for (int kind = 0; gpa::to_string(static_cast<mistake>(kind)) != "unknown mistake"; ++kind)
    BOOST_TEST_CONTEXT(gpa::to_string(static_cast<mistake>(kind))) BOOST_TEST(seen.contains(static_cast<mistake>(kind)));
  BOOST_TEST(seen.size() == 13u);
}

BOOST_AUTO_TEST_CASE(the_headline_is_a_diagnostic_of_gcc_and_begins_with_the_words_of_the_enumerator)
{
  const std::regex diagnostic(R"(([^ :]+):(\d+):(\d+): error: (.*) \[(gpa-[a-z-]+)\])");
  for (const golden_case& c : golden_cases()) {
    if (c.report.here.id() == stack(stripped).id() || c.report.here.id() == stack(library_only).id()) continue;
    if (c.report.here.id() == stack(none).id() && c.report.kind != mistake::leak) continue;
    if (c.report.allocated.empty() && c.report.kind == mistake::leak) continue;
    const std::string whole = text_of(c.report);
    const std::string headline = whole.substr(0, whole.find('\n'));
    std::smatch parts;
    BOOST_TEST_CONTEXT(headline)
    {
      BOOST_TEST_REQUIRE(std::regex_match(headline, parts, diagnostic));
      BOOST_TEST(parts[1].str() == "session.cpp");
      BOOST_TEST(parts[4].str().starts_with(gpa::to_string(c.report.kind)));
    }
  }
}

BOOST_AUTO_TEST_CASE(every_report_says_where_to_read_on_and_every_mistake_but_a_leak_what_happened)
{
  for (const golden_case& c : golden_cases()) {
    std::string anchor(gpa::to_string(c.report.kind));
    std::replace(anchor.begin(), anchor.end(), ' ', '-');
    const std::regex line("[ ;]see README\\.md#" + anchor + "(; suppress with: leak:.+)?\n");
    BOOST_TEST_CONTEXT(c.file) BOOST_TEST(std::regex_search(text_of(c.report), line));
    BOOST_TEST_CONTEXT(c.file) BOOST_TEST(consequence(c.report).empty() == (c.report.kind == mistake::leak));
  }
}

BOOST_AUTO_TEST_CASE(without_memory_a_report_is_its_words)
{
  text out;
  append_report(out, wrong_free(mistake::double_free), &tell_without_memory);
  BOOST_TEST(out.view() == "gpa: error: double free of 72 bytes at 0x7f31c2a00240 [gpa-double-free]\n");

  out.clear();
  gpa::report r = wrong_free(mistake::double_free);
  r.here = stack_from_caller();
  append_report(out, r, &tell_without_memory);
  std::size_t lines = 0;
  for (const char c : out.view()) lines += c == '\n' ? 1u : 0u;
  BOOST_TEST(lines == 2u);  // and addresses
  BOOST_TEST(out.view().find("]\n    0x") != std::string_view::npos);
}

BOOST_AUTO_TEST_CASE(making_a_text_keeps_errno)
{
  errno = ERANGE;
  const std::string made = text_of(wrong_free(mistake::double_free));
  BOOST_TEST(errno == ERANGE);
  BOOST_TEST(!made.empty());
}

BOOST_AUTO_TEST_CASE(the_report_of_a_limit_reads_as_its_golden_text)
{
  const std::vector<limit_site> sites = {{stack(allocating), 15, 983'040}, {stack(freeing), 1, 1}};
  limit_report r{.resource = "parser",
                 .limit = 1'048'576,
                 .in_use = 1'040'112,
                 .asked = 16'384,
                 .here = stack(misusing),
                 .largest = sites,
                 .further_sites = 2};
  const auto text_in = [&r](const report_style& style, stack_teller teller = &tell) {
    text out;
    append_limit_report(out, r, teller, style);
    return std::string(out.view());
  };
  test_golden_in_both_styles("memory_limit", text_in);
  BOOST_TEST(text_in({}, &tell_without_memory) ==
             "gpa: warning: memory limit of 1048576 bytes reached: 1040112 in use, 16384 more asked for "
             "[gpa-memory-limit]\n");

  const std::vector<limit_site> sampled_sites = {{stack(allocating), 15, 960}, {stack(freeing), 1, 1}};
  r.largest = sampled_sites;
  r.interval = 1'000;
  test_golden_in_both_styles("memory_limit.sampled", text_in);

  r.largest = {};
  r.further_sites = 0;
  r.sites_known = false;
  r.interval = 1;
  test_golden_in_both_styles("memory_limit.unchecked", text_in);
}

BOOST_AUTO_TEST_CASE(summaries_read_as_their_golden_text)
{
  std::vector<leak_summary> all;
  leak_summary s;
  s.resource = "default";
  s.blocks = 40;
  s.bytes = 1887;
  s.groups = s.groups_shown = 3;
  s.peak_bytes = 2076;
  s.total_blocks = 165;
  all.push_back(s);

  s.groups_shown = 1;
  s.still_usable = true;
  all.push_back(s);

  s.peak_is_exact = true;
  s.destroyed = true;
  all.push_back(s);

  s = {};
  s.resource = "one";
  s.blocks = s.bytes = s.groups = s.groups_shown = s.peak_bytes = s.total_blocks = 1;
  s.upstream_gone = true;
  all.push_back(s);

  s.upstream_gone = false;
  s.at_exit = true;
  s.groups = 13;
  s.reachable_blocks = 5;
  s.reachable_bytes = 500;
  const std::vector<suppression_use> used = {{"cache::open", 2, 48}, {"libGL*.so", 1, 1}};
  s.suppressed_blocks = 3;
  s.suppressed_bytes = 49;
  s.suppressions_used = used;
  s.known_blocks = 7;
  s.known_bytes = 700;
  all.push_back(s);

  s.blocks = s.bytes = s.groups = s.groups_shown = 0;
  all.push_back(s);

  test_golden_in_both_styles("summary", [&all](const report_style& style) {
    text out;
    for (const leak_summary& one : all) {
      if (!out.empty()) out.append("\n");
      append_leak_summary(out, one, style);
    }
    return std::string(out.view());
  });
}

BOOST_AUTO_TEST_CASE(a_report_of_this_program_points_at_this_file)
{
  gpa::report r = wrong_free(mistake::double_free);
  r.here = stack_from_caller();
  const int line = __LINE__ - 1;
  r.allocated = r.freed = {};
  const std::string made = gpa::to_string(r);
  BOOST_TEST_CONTEXT(made)
  {
    BOOST_TEST(made.find(" error: double free of 72 bytes at 0x7f31c2a00240 [gpa-double-free]\n") != std::string::npos);
    const auto frames = r.here.frames();
    BOOST_REQUIRE(!frames.empty());
    if (frames[0].file.empty()) {  // built without -g, or without libdw
      BOOST_TEST(made.find("report_text_test+0x") != std::string::npos);
    } else {
      const std::string place = "report_text_test.cpp:" + std::to_string(line) + ":";
      BOOST_TEST(made.substr(0, made.find(' ')).find(place) != std::string::npos);
      BOOST_TEST(made.find(" |   r.here = stack_from_caller();") != std::string::npos);
      BOOST_TEST(made.find("#0 0x") != std::string::npos);
    }
  }
}

BOOST_AUTO_TEST_CASE(the_source_line_is_shown_from_any_directory)
{
  gpa::report r = wrong_free(mistake::double_free);
  r.here = stack_from_caller();
  const std::string line = std::to_string(__LINE__ - 1);
  r.allocated = r.freed = {};
  const auto frames = r.here.frames();
  BOOST_REQUIRE(!frames.empty());
  if (frames[0].file.empty()) return;  // built without -g, or without libdw
  const struct {
    std::string directory;
    std::string shown;
  } table[] = {
      {GPA_TEST_DIR, "report_text_test.cpp"},
      {GPA_TEST_DIR "/..", "test/report_text_test.cpp"},
      {GPA_TEST_DIR "/golden", GPA_TEST_DIR "/report_text_test.cpp"},
      {"/", GPA_TEST_DIR "/report_text_test.cpp"},
      {"/usr/include", GPA_TEST_DIR "/report_text_test.cpp"},
  };
  for (const auto& row : table) {
    BOOST_REQUIRE(::chdir(row.directory.c_str()) == 0);
    const std::string made = gpa::to_string(r);
    BOOST_TEST_CONTEXT("in " << row.directory << '\n' << made)
    {
      BOOST_TEST(made.starts_with(row.shown + ":" + line + ":"));
      BOOST_TEST(made.find(" |   r.here = stack_from_caller();\n      | ") != std::string::npos);
      BOOST_TEST(made.find(" " + row.shown + ":" + line + ":") != std::string::npos);  // the frame
      BOOST_TEST(made.find("..") == std::string::npos);
    }
  }
  BOOST_REQUIRE(::chdir(std::string(golden_directory).c_str()) == 0);
}

// In golden/, where a file of that name stands that is another.
BOOST_AUTO_TEST_CASE(a_file_that_is_missing_or_of_an_unknown_directory_is_named_and_not_quoted)
{
  static std::string_view file;
  for (const std::string_view name : {"session.cpp", "../golden/session.cpp", "/nowhere/session.cpp"}) {
    file = name;
    gpa::report r = wrong_free(mistake::double_free);
    r.allocated = {};
    text out;
    append_report(out, r, [](const gpa::stack_trace& s) {
      told_stack told;
      if (s.empty()) return told;
      add_user(told.frames, {"main", 6, 28});
      told.frames[0].file = file;
      told.addresses = 1;
      return told;
    });
    BOOST_TEST_CONTEXT(out.view())
    {
      BOOST_TEST(out.view().starts_with(std::string(name) + ":6:28: error: double free"));
      BOOST_TEST(out.view().find(" | ") == std::string_view::npos);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_leak_that_says_why_it_has_no_stack_gets_no_hint)
{
  for (const golden_case& c : golden_cases())
    if (c.file == "leak.not_traced" || c.file == "leak.not_sampled")
      BOOST_TEST_CONTEXT(c.file) BOOST_TEST(text_of(c.report).find("hint") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(to_string_is_the_text_that_is_printed)
{
  struct said {
    std::size_t size = 0;
    std::array<char, 1 << 16> text = {};
  };
  const shared<said> heard;
  const ending e = in_child([&heard] {
    gpa::options o;
    o.name = "parser";
    o.checks = gpa::checks::always();
    o.after_mistake = gpa::after_mistake::abort;  // printed, then given to the handler
    o.on_report = [&heard](const gpa::report& r) {
      const std::string text = gpa::to_string(r);
      heard->size = text.copy(heard->text.data(), heard->text.size());
    };
    gpa::resource r(o);
    void* const p = r.allocate(72);
    r.deallocate(p, 72);
    r.deallocate(p, 72);
  });
  BOOST_TEST(e.signal == SIGABRT);
  BOOST_TEST(!e.text.empty());
  BOOST_TEST(e.text == std::string(heard->text.data(), heard->size));
}

BOOST_AUTO_TEST_CASE(the_words_of_the_enumerators_can_be_printed)
{
  std::ostringstream out;
  out << mistake::write_after_free << ", " << gpa::check::ok << ", " << gpa::check::leak << ", " << gpa::check::misuse;
  BOOST_TEST(out.str() == "write after free, ok, leak, misuse");
  BOOST_TEST(gpa::to_string(static_cast<gpa::check>(99)) == "unknown check");
}
