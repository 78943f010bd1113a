// What a report is about, in programs as people write them: the user's line, once, and nothing that says nothing.
#define BOOST_TEST_MODULE readable_reports
#include <gpa/resource.hpp>

#include "support/governed.hpp"
#include "support/suspects.hpp"

#include <boost/test/unit_test.hpp>

#include <cstring>
#include <memory_resource>
#include <regex>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace gpa::test;

const gpa::options checked{.checks = gpa::checks::always()};

// Both calls stand where the macro is used, as those of a loop that the compiler unrolled.
#define TWICE(statement) \
  do {                   \
    statement;           \
    asm volatile("nop"); \
    statement;           \
    asm volatile("nop"); \
  } while (false)

[[gnu::noinline]] void leak_twice(gpa::resource& r)
{
  TWICE(static_cast<void>(r.allocate(24)));
}

[[gnu::noinline]] void leak_on_two_lines(gpa::resource& r)
{
  static_cast<void>(r.allocate(24));
  static_cast<void>(r.allocate(24));
  STAY;
}

using strings = std::pmr::vector<std::pmr::string>;
using table = std::pmr::vector<strings>;

table filled(std::pmr::memory_resource* memory)
{
  table t(memory);
  for (int i = 0; i != 3; ++i) t.emplace_back().emplace_back("long enough to be allocated somewhere");
  return t;
}

// Lines of the headlines in `o` that lie in this file, one a report.
std::vector<int> lines_told(const outcome& o)
{
  std::vector<int> lines;
  const std::regex headline(R"(readable_reports_test\.cpp:(\d+):\d+: error:)");
  for (std::sregex_iterator i(o.err.begin(), o.err.end(), headline), end; i != end; ++i)
    lines.push_back(std::stoi((*i)[1]));
  return lines;
}

int copied_at = 0;
int under_buffer_at = 0;

}  // namespace

BOOST_AUTO_TEST_CASE(leaks_that_read_the_same_are_one)
{
  const outcome o = under("", [] {
    gpa::resource r(checked);
    leak_twice(r);
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.reports().size() == 1u);
    BOOST_TEST(o.says("error: leak of 48 bytes in 2 blocks [gpa-leak]"));
    BOOST_TEST(o.says("    first block: 24 bytes"));
    BOOST_TEST(o.says(", last at 0x"));
    BOOST_TEST(o.says("leaked in 2 blocks from 1 place ("));
  }
  const outcome two = under("", [] {
    gpa::resource r(checked);
    leak_on_two_lines(r);
  });
  BOOST_TEST_CONTEXT(two) BOOST_TEST(two.reports().size() == 2u);
}

BOOST_AUTO_TEST_CASE(bytes_that_nobody_wrote_are_not_shown)
{
  const auto leak = [](const char* content) {
    return [content] {
      gpa::resource r(checked);
      void* const p = r.allocate(24);
      if (content != nullptr) std::strcpy(static_cast<char*>(p), content);
    };
  };
  BOOST_TEST(!under("", leak(nullptr)).says("holds:"));
  BOOST_TEST(under("", leak("a")).says("    holds: 61 00 df "));
}

BOOST_AUTO_TEST_CASE(a_copy_of_a_vector_of_vectors_of_strings_is_told_by_the_users_line)
{
  const outcome o = under("", [] {
    gpa::resource r(checked);
    const table original = filled(&r);
    alignas(table) static std::byte place[sizeof(table)];
    AT(copied_at, new (place) table(original, &r));
    const std::string line = std::to_string(copied_at);
    static_cast<void>(::write(STDOUT_FILENO, line.data(), line.size()));
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.says("which owns "));
    BOOST_TEST(lines_told(o) == std::vector<int>{std::stoi(o.out)}, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(what_a_monotonic_buffer_took_is_told_by_the_users_line)
{
  const outcome o = under("", [] {
    gpa::resource r(checked);
    auto* const buffer = new std::pmr::monotonic_buffer_resource(&r);
    std::pmr::vector<int> numbers(buffer);
    AT(under_buffer_at, numbers.push_back(1));
    const std::string line = std::to_string(under_buffer_at);
    static_cast<void>(::write(STDOUT_FILENO, line.data(), line.size()));
  });
  BOOST_TEST_CONTEXT(o) BOOST_TEST(lines_told(o) == std::vector<int>{std::stoi(o.out)}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(what_is_found_at_the_end_of_a_resource_has_a_place_too)
{
  const outcome o = under("after_mistake=carry_on", [] {
    gpa::resource r(checked);
    void* const p = r.allocate(24, 8);
    r.deallocate(p, 24, 8);
    stray_write(p, 3);
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(lines_told(o).size() == 1u);
    BOOST_TEST(o.says("    found when the resource ended\n"));
  }
}

BOOST_AUTO_TEST_CASE(a_stack_without_a_line_of_the_users_says_why)
{
  const auto leak_in_library = [] {
    gpa::resource r(checked);
    std::pmr::memory_resource& base = r;
    std::thread(&std::pmr::memory_resource::allocate, &base, 24, 8).join();
  };
  const outcome whole = under("", leak_in_library);
  BOOST_TEST_CONTEXT(whole)
  {
    BOOST_TEST(whole.says("-fno-optimize-sibling-calls\n"));
    BOOST_TEST(!whole.says("raise options::stack_frames"));
  }
  const outcome cut = under("stack_frames=1", leak_in_library);
  BOOST_TEST_CONTEXT(cut)
  {
    BOOST_TEST(!cut.says("-fno-optimize-sibling-calls\n"));
    BOOST_TEST(cut.says("raise options::stack_frames"));
  }
}
