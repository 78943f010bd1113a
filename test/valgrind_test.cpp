#define BOOST_TEST_MODULE valgrind
#include "support/not_run.hpp"
#include "support/outcome.hpp"
#include "support/resident.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace {

using gpa::test::beside_this;
using gpa::test::outcome;
using gpa::test::outcome_of_program;

outcome on_valgrind(const std::vector<std::string>& arguments)
{
  std::vector<std::string> command{"valgrind", "-q", "--error-exitcode=9", "--leak-check=full",
                                   beside_this("programs/under_tools")};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return outcome_of_program(command);
}

// Debian 12's Valgrind does not read the DWARF 5 that clang writes.
#if defined(__clang__)
constexpr bool readable = false;
#else
constexpr bool readable = true;
#endif

/// Whether Valgrind is here, and this build can run on it.
boost::test_tools::assertion_result is_here(boost::unit_test::test_unit_id)
{
  const bool can = readable && !gpa::test::sanitized && outcome_of_program({"valgrind", "--version"}).status == 0;
  return gpa::test::runs_if(can, !readable              ? "Valgrind does not read clang's debug information"
                                 : gpa::test::sanitized ? "sanitized programs do not run on Valgrind"
                                                        : "Valgrind is not installed");
}

const std::vector<std::string> kinds{"checked", "fast", "upstream", "large"};

}  // namespace

BOOST_TEST_DECORATOR(*boost::unit_test::precondition(is_here))
BOOST_AUTO_TEST_CASE(a_clean_program_is_clean)
{
  const outcome o = on_valgrind({"clean"});
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == 0);
    BOOST_TEST(o.err == "");
  }
}

BOOST_TEST_DECORATOR(*boost::unit_test::precondition(is_here))
BOOST_AUTO_TEST_CASE(reading_a_freed_block_is_an_invalid_read_and_both_stacks_are_told)
{
  for (const char* const kind : {"checked", "fast", "upstream"}) {
    const outcome o = on_valgrind({"read-freed", kind});
    BOOST_TEST_CONTEXT(kind << ": " << o)
    {
      BOOST_TEST(o.status == 9);
      BOOST_TEST(o.says("Invalid read of size 1"));
    }
  }
  const outcome o = on_valgrind({"read-freed", "checked"});
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.says("is 50 bytes inside a block of size 100 free'd"));
    BOOST_TEST(o.says("Block was alloc'd at"));
  }
}

BOOST_TEST_DECORATOR(*boost::unit_test::precondition(is_here))
BOOST_AUTO_TEST_CASE(reading_behind_a_block_is_an_invalid_read)
{
  for (const std::string& kind : kinds) {
    const outcome o = on_valgrind({"read-slack", kind});
    BOOST_TEST_CONTEXT(kind << ": " << o)
    {
      BOOST_TEST(o.status == 9);
      BOOST_TEST(o.says("Invalid read of size 1"));
    }
  }
}

BOOST_TEST_DECORATOR(*boost::unit_test::precondition(is_here))
BOOST_AUTO_TEST_CASE(deciding_on_a_byte_that_nobody_wrote_is_told)
{
  for (const std::string& kind : kinds) {
    const outcome o = on_valgrind({"read-unset", kind});
    BOOST_TEST_CONTEXT(kind << ": " << o)
    {
      BOOST_TEST(o.status == 9);
      BOOST_TEST(o.says("depends on uninitialised value"));
    }
  }
}

BOOST_TEST_DECORATOR(*boost::unit_test::precondition(is_here))
BOOST_AUTO_TEST_CASE(a_leak_report_decides_on_bytes_that_nobody_wrote_and_that_is_gpas_own_business)
{
  for (const std::string& kind : kinds) {
    const outcome o = on_valgrind({"looked-for", kind});
    BOOST_TEST_CONTEXT(kind << ": " << o)
    {
      BOOST_TEST(o.status == 0);
      BOOST_TEST(o.says("in 2 blocks"));
      BOOST_TEST(!o.says("uninitialised"));
    }
  }
}

BOOST_TEST_DECORATOR(*boost::unit_test::precondition(is_here))
BOOST_AUTO_TEST_CASE(reading_a_freed_large_block_faults_at_once)
{
  const outcome o = on_valgrind({"read-freed", "large"});
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == -11);
    BOOST_TEST(o.says("Invalid read of size 1"));
  }
}

// A program's own handler of SIGABRT would go unwatched.
BOOST_TEST_DECORATOR(*boost::unit_test::precondition(is_here))
BOOST_AUTO_TEST_CASE(after_a_report_of_gpas_errors_are_told_again)
{
  const outcome o = on_valgrind({"free-twice", "checked"});
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == -6);
    BOOST_TEST(o.says("double free"));
    BOOST_TEST(!o.says("error reporting disabled"));
  }
}
