#define BOOST_TEST_MODULE small_stack
#include <gpa/resource.hpp>

#include "support/not_run.hpp"
#include "support/outcome.hpp"
#include "support/suspects.hpp"

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <cstdlib>
#include <functional>
#include <string>

#include <pthread.h>

// Threads of a pool, and fibers, have little stack; naming a call stack takes much.

namespace {

using gpa::test::outcome;
using gpa::test::outcome_of;

void* call(void* f)
{
  (*static_cast<std::function<void()>*>(f))();
  return nullptr;
}

void on_a_thread_with(std::size_t stack_bytes, std::function<void()> f)
{
  pthread_attr_t attributes;
  pthread_t thread;
  if (::pthread_attr_init(&attributes) != 0 || ::pthread_attr_setstacksize(&attributes, stack_bytes) != 0 ||
      ::pthread_create(&thread, &attributes, call, &f) != 0)
    std::abort();
  ::pthread_join(thread, nullptr);
}

constexpr std::size_t small_stack = std::size_t{48} << 10;

}  // namespace

BOOST_AUTO_TEST_CASE(a_mistake_is_told_with_names)
{
#if GPA_TEST_ASAN || GPA_TEST_TSAN
  gpa::test::not_run_here("sanitizers know which stacks there are, and want more of each");
  return;
#endif
  const outcome o = outcome_of([] {
    gpa::resource r({.checks = gpa::checks::always()});
    on_a_thread_with(small_stack, [&] {
      void* const p = r.allocate(24);
      r.deallocate(p, 24);
      r.deallocate(p, 24);
    });
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == -SIGABRT);
    BOOST_TEST(o.says("small_stack_test.cpp:"));
    BOOST_TEST(o.says("double free"));
  }
}

BOOST_AUTO_TEST_CASE(leaks_are_looked_for_and_told)
{
#if GPA_TEST_ASAN || GPA_TEST_TSAN
  gpa::test::not_run_here("sanitizers know which stacks there are, and want more of each");
  return;
#endif
  const outcome o = outcome_of([] {
    gpa::resource r({.checks = gpa::checks::always()});
    on_a_thread_with(small_stack, [&] {
      void* const p = r.allocate(24);
      if (r.detect_leaks() != 1) std::abort();
      r.deallocate(p, 24);
      r.trim();
    });
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == 0);
    BOOST_TEST(o.says("small_stack_test.cpp:"));
    BOOST_TEST(o.says("leak of 24 bytes"));
  }
}
