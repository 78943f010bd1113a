#define BOOST_TEST_MODULE suppressions
#include "suppressions.hpp"

#include "baseline.hpp"
#include "trace/frames.hpp"

#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include <array>
#include <set>
#include <string>
#include <string_view>

namespace {

using namespace gpa::detail;

frame frame_of(std::string_view function, std::string_view file, std::string_view module = "/opt/app/bin/parser",
               bool library = false)
{
  frame f;
  f.address = 1;
  f.function = function;
  f.file = file;
  f.line = 7;
  f.module = module;
  f.library = library;
  return f;
}

frame_list stack_of(std::initializer_list<frame> frames)
{
  return frame_list(frames);
}

bool is_suppressed_by(std::string_view words)
{
  text complaints;
  return !suppressions(words, "file", complaints)
              .match(stack_of({frame_of("cache::open(int)", "/src/lib/cache.cpp"), frame_of("main", "/src/main.cpp")}))
              .empty();
}

std::string complaints_about(std::string_view words)
{
  text complaints;
  const suppressions s(words, "gpa.supp", complaints);
  return std::string(complaints.view());
}

std::string pattern_for(std::string_view function)
{
  return std::string(suppression_pattern(frame_of(function, "")));
}

}  // namespace

// As reports propose them: of an inlined function the parameters may not be known.
BOOST_AUTO_TEST_CASE(a_parenthesis_at_the_end_ties_to_the_parameters_or_the_end_of_the_name)
{
  for (const std::string_view name : {"order(int)", "order()", "order"}) BOOST_TEST(matches("^order(", name));
  for (const std::string_view name : {"orders(int)", "reorder(int)", "order_of", "a::order(int)", "orderer", ""})
    BOOST_TEST(!matches("^order(", name));
  BOOST_TEST(matches("order(", "a::order"));
  BOOST_TEST(!matches("order($", "order"));
}

BOOST_AUTO_TEST_CASE(a_pattern_is_looked_for_anywhere_in_a_name)
{
  BOOST_TEST(matches("open", "cache::open(int)"));
  BOOST_TEST(matches("cache::open(int)", "cache::open(int)"));
  BOOST_TEST(!matches("Open", "cache::open(int)"));
  BOOST_TEST(!matches("opening", "cache::open"));
  BOOST_TEST(!matches("x", ""));
  BOOST_TEST(matches("", ""));
  BOOST_TEST(matches("aab", "aaab"));
}

BOOST_AUTO_TEST_CASE(a_star_is_any_text)
{
  BOOST_TEST(matches("cache*int", "cache::open(int)"));
  BOOST_TEST(matches("c*e*o*n", "cache::open(int)"));
  BOOST_TEST(matches("*", ""));
  BOOST_TEST(matches("a**b", "ab"));
  BOOST_TEST(!matches("int*cache", "cache::open(int)"));
  BOOST_TEST(!matches("open*open", "cache::open(int)"));
}

BOOST_AUTO_TEST_CASE(a_circumflex_and_a_dollar_tie_it_to_the_ends)
{
  BOOST_TEST(matches("^cache", "cache::open"));
  BOOST_TEST(!matches("^open", "cache::open"));
  BOOST_TEST(matches("open$", "cache::open"));
  BOOST_TEST(!matches("cache$", "cache::open"));
  BOOST_TEST(matches("^cache::open$", "cache::open"));
  BOOST_TEST(!matches("^cache$", "cache::open"));
  BOOST_TEST(matches("^libGL*.so$", "libGLX.so"));
  BOOST_TEST(!matches("^libGL*.so$", "libGLX.so.1"));
  BOOST_TEST(matches("^$", ""));
  BOOST_TEST(!matches("^$", "a"));
  BOOST_TEST(matches("^*open", "cache::open(int)"));
  BOOST_TEST(matches("a*a$", "aba"));
  BOOST_TEST(!matches("^a*a$", "a"));
}

BOOST_AUTO_TEST_CASE(no_pattern_takes_long)
{
  const std::string name(10'000, 'a');
  BOOST_TEST(!matches("a*a*a*a*a*a*a*a*a*a*a*b", name));
}

BOOST_AUTO_TEST_CASE(function_file_and_module_of_every_frame_are_looked_at)
{
  BOOST_TEST(is_suppressed_by("leak:cache::open"));
  BOOST_TEST(is_suppressed_by("leak:lib/cache.cpp"));
  BOOST_TEST(is_suppressed_by("leak:^main$"));
  BOOST_TEST(is_suppressed_by("leak:/bin/parser$"));
  BOOST_TEST(!is_suppressed_by("leak:session"));
  BOOST_TEST(!is_suppressed_by(""));
}

BOOST_AUTO_TEST_CASE(paths_are_looked_at_as_they_are_shown_and_in_full_but_not_as_they_were_written)
{
  BOOST_REQUIRE(::chdir(GPA_TEST_DIR) == 0);
  const std::string here(current_directory());
  const std::string made = here + "/made_here/../";
  const frame_list stack = stack_of({frame_of("open", made + "src/cache.cpp", made + "lib/libcache.so")});
  const auto is_found = [&stack](const std::string& pattern) {
    text complaints;
    const std::string words = "leak:" + pattern;
    return !suppressions(words, "file", complaints).match(stack).empty();
  };
  for (const char* const path : {"src/cache.cpp", "lib/libcache.so"}) {
    BOOST_TEST_CONTEXT(path)
    {
      BOOST_TEST(is_found("^" + std::string(path) + "$"));
      BOOST_TEST(is_found("^" + here + "/" + path + "$"));
    }
  }
  BOOST_TEST(!is_found("made_here"));
  BOOST_TEST(!is_found(".."));

  const std::string stripped = here + "/src";
  set_naming({.stripped = stripped});
  BOOST_TEST(is_found("^cache.cpp$"));
  BOOST_TEST(!is_found("^src/cache.cpp$"));
  BOOST_TEST(is_found("^" + here + "/src/"));
  set_naming({});
}

BOOST_AUTO_TEST_CASE(a_file_has_comments_blank_lines_and_any_line_ends)
{
  BOOST_TEST(is_suppressed_by("# old ones\n\n  leak:session\r\n\tleak:^main$ \r\n"));
  BOOST_TEST(is_suppressed_by("leak:nobody\nleak:cache"));
  BOOST_TEST(!is_suppressed_by("# leak:cache\n"));
  BOOST_TEST(complaints_about("# a\n\nleak:b\n") == "");
}

BOOST_AUTO_TEST_CASE(a_line_that_is_no_suppression_is_told_with_its_number_and_the_others_hold)
{
  BOOST_TEST(complaints_about("leak:a\nrace:b\nleak:\n") ==
             "gpa: warning: gpa.supp:2: \"race:b\" is no suppression; leak:pattern is\n"
             "gpa: warning: gpa.supp:3: \"leak:\" is no suppression; leak:pattern is\n");
  BOOST_TEST(is_suppressed_by("race:b\nleak:cache\n"));
}

BOOST_AUTO_TEST_CASE(the_pattern_that_is_proposed_is_the_function_without_its_arguments)
{
  BOOST_TEST(pattern_for("cache::open(int)") == "cache::open");
  BOOST_TEST(pattern_for("cache::open(int) const") == "cache::open");
  BOOST_TEST(pattern_for("main") == "main");
  BOOST_TEST(pattern_for("cache::open(void (*)(int))") == "cache::open");
  BOOST_TEST(pattern_for("(anonymous namespace)::open(int)") == "(anonymous namespace)::open");
  BOOST_TEST(pattern_for("(anonymous namespace)::open") == "(anonymous namespace)::open");
  BOOST_TEST(pattern_for("a::(anonymous namespace)::open") == "a::(anonymous namespace)::open");
  BOOST_TEST(pattern_for("std::function<void (int)>::operator()(int) const") ==
             "std::function<void (int)>::operator()");
  BOOST_TEST(pattern_for("main::{lambda}::operator()<int>") == "main::{lambda}::operator()<int>");
  BOOST_TEST(pattern_for("") == "parser");
  for (const std::string_view function : {"cache::open(int)", "(anonymous namespace)::open(int)", "a<char*>::b(int)"})
    BOOST_TEST(matches(pattern_for(function), function));
}

// ---- fingerprints ----

BOOST_AUTO_TEST_CASE(a_line_that_is_quoted_is_short_and_has_no_control_characters)
{
  text complaints;
  const suppressions s("bad\x1B[31m" + std::string(10'000, 'x') + "\n", "gpa.supp", complaints);
  const std::string told(complaints.view());
  BOOST_TEST(told.starts_with("gpa: warning: gpa.supp:1: \"bad?[31mxxx"));
  BOOST_TEST(told.ends_with("xxx...\" is no suppression; leak:pattern is\n"));
  BOOST_TEST(told.size() < 200u);
}

BOOST_AUTO_TEST_CASE(a_fingerprint_outlives_what_edits_and_machines_change)
{
  const frame_list before =
      stack_of({frame_of("cache::open(int)", "/src/lib/cache.cpp"), frame_of("main", "/src/main.cpp")});
  frame_list after = stack_of({frame_of("std::allocate", "/usr/include/memory", "/lib/libstdc++.so", true),
                               frame_of("cache::open(int)", "/opt/ada/lib/cache.cpp", "/opt/ada/parser"),
                               frame_of("main", "/opt/ada/main.cpp"), frame_of("_start", "", "/lib/libc.so", true)});
  for (frame& f : after) {
    f.line += 10;
    f.column = 3;
    f.address += 0x1000;
    f.offset += 0x1000;
  }
  BOOST_TEST(fingerprint_of(before) == fingerprint_of(after));
}

BOOST_AUTO_TEST_CASE(a_fingerprint_does_not_change_when_a_function_is_inlined)
{
  const std::uint64_t known = fingerprint_of(stack_of({frame_of("cache::open", "cache.cpp")}));
  for (const char* const name :
       {"cache::open(int) const", "cache<a::b>::open<c::d>(int)", "void cache::open<e f>(int)"})
    BOOST_TEST_CONTEXT(name) BOOST_TEST(fingerprint_of(stack_of({frame_of(name, "cache.cpp")})) == known);
  const auto of = [](const char* name) { return fingerprint_of(stack_of({frame_of(name, "cache.cpp")})); };
  BOOST_TEST(of("out& operator<< <int>(out&, int)") == of("operator<<"));
  BOOST_TEST(of("out& operator<< <long>(out&, long)") == of("operator<<"));
  BOOST_TEST(of("run(cache&)::{lambda(auto:1)#1}::operator()<int>(int) const") ==
             of("run::{lambda(auto:1)#1}::operator()"));
}

// Else a new leak would be taken for the old one.
BOOST_AUTO_TEST_CASE(functions_of_one_name_have_a_fingerprint_each)
{
  std::set<std::uint64_t> all;
  const std::array<const char*, 15> names = {"open()",
                                             "cache::open()",
                                             "parser::open()",
                                             "(anonymous namespace)::open()",
                                             "cache::parser::open()",
                                             "main::{lambda()#1}::operator()() const",
                                             "main::{lambda()#2}::operator()() const",
                                             "cache::operator<(int)",
                                             "cache::operator<<(int)",
                                             "cache::operator->()",
                                             "cache::operator>(int)",
                                             "run(cache&, int)::{lambda()#1}::operator()() const",
                                             "run(cache&, int)::{lambda()#2}::operator()() const",
                                             "run(cache&, int)::local::open()",
                                             "cache::operator bool() const"};
  for (const char* const name : names) all.insert(fingerprint_of(stack_of({frame_of(name, "cache.cpp")})));
  BOOST_TEST(all.size() == names.size());
}

BOOST_AUTO_TEST_CASE(another_function_file_or_caller_is_another_fingerprint)
{
  const std::uint64_t known =
      fingerprint_of(stack_of({frame_of("open", "/a/cache.cpp"), frame_of("main", "/a/main.cpp")}));
  BOOST_TEST(known != fingerprint_of(stack_of({frame_of("close", "/a/cache.cpp"), frame_of("main", "/a/main.cpp")})));
  BOOST_TEST(known != fingerprint_of(stack_of({frame_of("open", "/a/other.cpp"), frame_of("main", "/a/main.cpp")})));
  BOOST_TEST(known != fingerprint_of(stack_of({frame_of("open", "/a/cache.cpp"), frame_of("run", "/a/main.cpp")})));
  BOOST_TEST(known != fingerprint_of(stack_of({frame_of("open", "/a/cache.cpp")})));
}

// Files outlive the program that wrote them.
BOOST_AUTO_TEST_CASE(the_arithmetic_of_fingerprints_never_changes)
{
  BOOST_TEST(fingerprint_of({}) == 0xCBF29CE484222325U);
  BOOST_TEST(fingerprint_of(stack_of({frame_of("open", "/a/cache.cpp"), frame_of("main", "/a/main.cpp")})) ==
             0xFA7B8E24B6A6E6BBU);
}

BOOST_AUTO_TEST_CASE(a_baseline_is_fingerprints_with_words_for_people)
{
  text complaints;
  const baseline b("# old\n9f86d081884c7d65 leak of 720 bytes in 10 blocks: cache::open(int)\n\n00000000000000ff\n",
                   "old.txt", complaints);
  BOOST_TEST(complaints.view() == "");
  BOOST_TEST(b.contains(0x9f86d081884c7d65U));
  BOOST_TEST(b.contains(0xFF));
  BOOST_TEST(!b.contains(1));
}

BOOST_AUTO_TEST_CASE(a_line_without_a_fingerprint_is_told_with_its_number)
{
  text complaints;
  const baseline b("9f86d081884c7d65\n9f86 leak\nleak\n9f86d081884c7d650\n", "old.txt", complaints);
  std::string expected;
  for (const char* const number : {"2", "3", "4"})
    expected += std::string("gpa: warning: old.txt:") + number + ": no fingerprint at the start of this line\n";
  BOOST_TEST(complaints.view() == expected);
  BOOST_TEST(b.contains(0x9f86d081884c7d65U));
}
