#define BOOST_TEST_MODULE process_resource
#include <gpa/resource.hpp>

#include "support/not_run.hpp"
#include "support/outcome.hpp"
#include "support/suspects.hpp"

#include <boost/test/unit_test.hpp>

#include <filesystem>
#include <memory_resource>
#include <string>
#include <thread>
#include <vector>

namespace {

using gpa::test::beside_this;
using gpa::test::outcome;
using gpa::test::outcome_of;
using gpa::test::outcome_of_program;

// The same program against the shared library and against the static one.
const char* const programs[] = {"programs/process", "programs/process_static"};

template <class Check>
void for_each_run(const std::vector<std::string>& arguments, Check check)
{
  for (const char* const program : programs) {
    std::vector<std::string> command{beside_this(program)};
    command.insert(command.end(), arguments.begin(), arguments.end());
    const outcome o = outcome_of_program(command);
    BOOST_TEST_CONTEXT(program << ": " << o) { check(o); }
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(everybody_gets_the_same_one)
{
  gpa::resource* const r = gpa::process_resource();
  BOOST_TEST_REQUIRE(r != nullptr);
  BOOST_TEST(gpa::process_resource() == r);
  std::thread([r] { BOOST_TEST(gpa::process_resource() == r); }).join();
  BOOST_TEST(r->options().name == "process");
  BOOST_TEST(r->options().checks.is_always());
}

BOOST_AUTO_TEST_CASE(before_main_in_atexit_handlers_and_in_static_destructors_it_serves_and_says_nothing_when_all_is_freed)
{
  for_each_run({"tidy"}, [](const outcome& o) {
    BOOST_TEST(o.status == 0);
    BOOST_TEST(o.err == "");
  });
}

BOOST_AUTO_TEST_CASE(what_is_live_at_exit_is_reported_and_what_static_storage_points_at_only_counted)
{
  for_each_run({"leak", "5"}, [](const outcome& o) {
    BOOST_TEST(o.status == 0);
    BOOST_TEST(o.reports() == std::vector<std::string>{"leak"}, boost::test_tools::per_element());
    BOOST_TEST(o.says("programs/process.cpp:"));
    BOOST_TEST(o.says("leak of 320 bytes in 5 blocks"));
    BOOST_TEST(o.says("SUMMARY: gpa: 320 bytes still live at exit in 5 blocks from 1 place (resource \"process\""));
    BOOST_TEST(o.says("note: not counted: 192 bytes in 3 blocks that static storage still points at\n"));
    BOOST_TEST(!o.says("still in use"));
  });
}

BOOST_AUTO_TEST_CASE(static_storage_that_the_program_closed_is_left_alone)
{
#if GPA_TEST_ASAN
  gpa::test::not_run_here("LeakSanitizer reads all static storage itself, and ends where a part is closed");
  return;
#endif
  for_each_run({"guard", "5"}, [](const outcome& o) {
    BOOST_TEST(o.status == 0);
    BOOST_TEST(o.says("leak of 320 bytes in 5 blocks"));
    BOOST_TEST(o.says("note: not counted: 192 bytes in 3 blocks that static storage still points at\n"));
  });
}

BOOST_AUTO_TEST_CASE(what_a_static_destructor_forgets_is_reported_too)
{
  for_each_run({"late"}, [](const outcome& o) {
    BOOST_TEST(o.status == 0);
    BOOST_TEST(o.says("leak of 154 bytes in 2 blocks"));
    BOOST_TEST(o.says("~early_and_late"));
  });
}

BOOST_AUTO_TEST_CASE(the_exit_status_and_buffered_output_are_the_program_s_own)
{
  for (const int status : {0, 3}) {
    for_each_run({"status", std::to_string(status)}, [status](const outcome& o) {
      BOOST_TEST(o.status == status);
      BOOST_TEST(o.out == "no newline");
      BOOST_TEST(o.says("64 bytes still live at exit"));
    });
  }
}

BOOST_AUTO_TEST_CASE(leak_exit_status_replaces_0_and_no_other_status)
{
  for (const char* const way : {"leaky", "quit", "stream"}) {
    for (const int status : {0, 3, 42}) {
      for_each_run({way, std::to_string(status)}, [status](const outcome& o) {
        BOOST_TEST(o.status == (status == 0 ? 42 : status));
        BOOST_TEST(o.out == "no newline");
        BOOST_TEST(o.reports() == std::vector<std::string>{"leak"}, boost::test_tools::per_element());
      });
    }
  }
}

BOOST_AUTO_TEST_CASE(the_child_of_a_fork_does_not_answer_for_what_its_parent_leaked)
{
  for_each_run({"forks"}, [](const outcome& o) {
    BOOST_TEST(o.status == 42);
    BOOST_TEST(o.out == "the child's status is 0");
  });
}

// Whose thread holds the lock of that stream.
BOOST_AUTO_TEST_CASE(leak_exit_status_waits_for_no_thread)
{
  for_each_run({"waits"}, [](const outcome& o) { BOOST_TEST(o.status == 42); });
}

// The kernel has the loader for the program then.
BOOST_AUTO_TEST_CASE(a_program_that_was_started_through_the_loader_is_named_from_its_own_file)
{
  const std::string loader = "/lib64/ld-linux-x86-64.so.2";
  if (gpa::test::sanitized || !std::filesystem::exists(loader)) return;
  const outcome o = outcome_of_program({loader, beside_this("programs/process"), "leak", "1"});
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == 0);
    BOOST_TEST(o.says("forget(int)"));
  }
}

// Of a status the parent sees eight bits.
BOOST_AUTO_TEST_CASE(no_leak_exit_status_looks_like_success)
{
  struct status {
    const char* asked;
    int seen;
  };
  for (const status s : {status{"255", 255}, {"256", 1}, {"-512", 1}, {"257", 1}, {"-1", 255}})
    for_each_run({"asks", s.asked}, [s](const outcome& o) { BOOST_TEST(o.status == s.seen); });
}

BOOST_AUTO_TEST_CASE(without_a_leak_leak_exit_status_changes_nothing)
{
  for (const int status : {0, 3}) {
    for_each_run({"unsaid", std::to_string(status)}, [status](const outcome& o) {
      BOOST_TEST(o.status == status);
      BOOST_TEST(o.out == "no newline");
      BOOST_TEST(o.err == "");
    });
  }
}

BOOST_AUTO_TEST_CASE(a_shared_library_may_use_it_in_its_own_constructors_and_destructors)
{
  const outcome o = outcome_of_program({beside_this("programs/process_library")});
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == 0);
    BOOST_TEST(o.reports() == std::vector<std::string>{"leak"}, boost::test_tools::per_element());
    BOOST_TEST(o.says("48 bytes still live at exit in 1 block"));
    BOOST_TEST(o.says("process_late_library.cpp:"));
  }
}
