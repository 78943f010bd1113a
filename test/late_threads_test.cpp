#define BOOST_TEST_MODULE late_threads
#include <gpa/resource.hpp>

#include "support/child.hpp"
#include "support/modes.hpp"
#include "support/not_run.hpp"
#include "support/suspects.hpp"
#include "support/witness.hpp"

#include <boost/test/unit_test.hpp>

#include <sys/resource.h>

#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <thread>

// A thread that comes to a resource for the first time has its end noted, for which glibc asks malloc.

namespace {

using gpa::test::every_mode;
using gpa::test::mode;

// All that malloc has, each piece with the address of the one before.
void* take_all_of_malloc()
{
  void* last = nullptr;
  for (std::size_t bytes = std::size_t{1} << 20; bytes >= 16; bytes /= 2) {
    while (void* const p = std::malloc(bytes)) {
      *static_cast<void**>(p) = last;
      last = p;
    }
  }
  return last;
}

void give_back(void* last)
{
  while (last != nullptr) {
    void* const before = *static_cast<void**>(last);
    std::free(last);
    last = before;
  }
}

// What went wrong, or null. The thread calls when malloc has nothing left, and again when it has.
const char* begin_without_malloc(const mode& m)
{
  gpa::test::witness w;
  gpa::resource r(w.listening(m.options));
  r.deallocate(r.allocate(24, 8), 24, 8);
  std::atomic<int> turn{0};
  std::size_t refused = 0;
  std::thread late([&] {
    for (const int mine : {1, 3}) {
      while (turn != mine) std::this_thread::yield();
      for (int i = 0; i != 100; ++i) {
        void* const p = r.try_allocate(24, 8);
        if (p == nullptr) {
          ++refused;
        } else {
          r.deallocate(p, 24, 8);
        }
      }
      ++turn;
    }
  });
  const rlimit bound{1, RLIM_INFINITY};
  if (::setrlimit(RLIMIT_AS, &bound) != 0) return "no bound could be set";
  void* const all = take_all_of_malloc();
  turn = 1;
  while (turn != 2) std::this_thread::yield();
  give_back(all);
  turn = 3;
  late.join();
  if (refused > 100) return "refused when there was memory";
  if (r.stats().live_blocks != 0) return "a freed block is counted";
  if (r.deinit() != gpa::check::ok) return "deinit() is not content";
  return w.count() == 0 ? nullptr : "something was reported";
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_thread_may_begin_when_malloc_has_nothing_left)
{
#if GPA_TEST_ASAN || GPA_TEST_TSAN
  gpa::test::not_run_here("sanitizers need addresses for themselves");
  return;
#endif
  for (const mode& m : every_mode()) {
    if (!m.options.thread_safe) continue;
    BOOST_TEST_CONTEXT(m.name)
    BOOST_TEST(gpa::test::true_in_child([&] {
                 const char* const wrong = begin_without_malloc(m);
                 if (wrong != nullptr) std::fprintf(stderr, "%s: %s\n", m.name, wrong);
                 return wrong == nullptr;
               }),
               "see above");
  }
}
