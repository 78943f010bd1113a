// Whether a walk by unwind rules comes to the end of a stack, and finds what libgcc's unwinder finds, where a program
// is linked in an unusual way.
//
//   walks    exit status 1 and a line for each stack that had to be left to libgcc, or differs
#include "trace/stack_walk.hpp"

#include "support/oracle.hpp"

#include <algorithm>
#include <cstdio>
#include <thread>

namespace {

using namespace gpa::detail;
using gpa::test::oracle;
using gpa::test::stack;

bool all_right = true;

[[gnu::noinline]] void walk_and_compare(const char* what)
{
  const auto* const frame = static_cast<const std::uintptr_t*>(__builtin_frame_address(0));
  walked_stack found;
  const char* wrong = nullptr;
  if (!walk_stack({stack_layout::sp_of(frame), frame[1], frame[0]}, frame[1], max_stack_frames, nullptr, found)) {
    wrong = "was left to libgcc";
  } else {
    const stack all = oracle();
    const stack expected(std::find(all.begin(), all.end(), frame[1]), all.end());
    if (!std::equal(expected.begin(), expected.end(), found.frames.begin(), found.frames.begin() + found.count))
      wrong = "differs";
  }
  if (wrong == nullptr) return;
  all_right = false;
  std::printf("walks: the stack of %s %s\n", what, wrong);
}

[[gnu::noinline]] int from_depth(int depth)
{
  if (depth == 0) walk_and_compare("a recursion");
  const volatile int below = depth == 0 ? 0 : from_depth(depth - 1);
  return below + 1;
}

}  // namespace

int main()
{
  walk_and_compare("main()");
  from_depth(10);
  std::thread([] { walk_and_compare("a thread's function"); }).join();
  return all_right ? 0 : 1;
}
