#define BOOST_TEST_MODULE annotation
#include "trace/annotation.hpp"

#include "support/golden_file.hpp"
#include "support/golden_reports.hpp"

#include <boost/test/unit_test.hpp>

#include <regex>
#include <string>
#include <string_view>

namespace {

using namespace gpa::detail;
using namespace gpa::test;
using gpa::mistake;

std::string annotation_of(const gpa::report& r, std::string_view workspace, stack_teller teller = &tell)
{
  text out;
  append_annotation(out, r, workspace, teller);
  return std::string(out.view());
}

// A file whose name holds everything that workflow commands reserve.
told_stack tell_odd_file(const gpa::stack_trace&)
{
  told_stack s;
  frame f;
  f.address = 1;
  f.file = "/src/a,b:c%d.cpp";
  f.line = 7;
  s.frames.push_back(f);
  return s;
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_report_is_one_line_that_github_understands)
{
  const std::regex command(R"(::error (file=[^,:]+,line=\d+,(col=\d+,)?)?title=gpa-[a-z-]+::[^\r\n]+\n)");
  for (const golden_case& c : golden_cases()) {
    const std::string line = annotation_of(c.report, golden_directory);
    BOOST_TEST_CONTEXT(c.file << ": " << line) BOOST_TEST(std::regex_match(line, command));
  }
}

BOOST_AUTO_TEST_CASE(the_lines_of_all_reports_are_golden)
{
  std::string all;
  for (const golden_case& c : golden_cases()) all += annotation_of(c.report, golden_directory);
  test_golden("annotations", all);
}

BOOST_AUTO_TEST_CASE(it_names_the_place_of_the_headline_relative_to_the_workspace)
{
  const gpa::report r = wrong_free(mistake::double_free);
  const std::string inside = annotation_of(r, golden_directory);
  BOOST_TEST(inside.starts_with("::error file=session.cpp,line="));
  BOOST_TEST(inside.ends_with(",title=gpa-double-free::double free of 72 bytes at 0x7f31c2a00240\n"));
  BOOST_TEST(annotation_of(r, "/elsewhere").starts_with("::error file=/"));
}

BOOST_AUTO_TEST_CASE(what_workflow_commands_reserve_is_escaped)
{
  const std::string line = annotation_of(wrong_free(mistake::double_free), "/src", &tell_odd_file);
  BOOST_TEST(line.starts_with("::error file=a%2Cb%3Ac%25d.cpp,line=7,title="));
}

BOOST_AUTO_TEST_CASE(without_memory_nothing_is_added)
{
  BOOST_TEST(annotation_of(wrong_free(mistake::double_free), "", &tell_without_memory) == "");
}
