// The call stack as libgcc's unwinder sees it: what a captured one is compared with.
#pragma once

#include "trace/capture.hpp"
#include "trace/depot.hpp"

#include <unwind.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace gpa::test {

using stack = std::vector<std::uintptr_t>;

[[gnu::noinline]] inline stack oracle()
{
  stack s;
  const _Unwind_Trace_Fn step = [](_Unwind_Context* context, void* argument) {
    if (const std::uintptr_t ip = _Unwind_GetIP(context); ip != 0) static_cast<stack*>(argument)->push_back(ip);
    return _URC_NO_REASON;
  };
  _Unwind_Backtrace(step, &s);
  return s;
}

inline std::uintptr_t number(const void* p)
{
  return reinterpret_cast<std::uintptr_t>(p);
}

struct taken {
  stack captured;
  stack expected;  // the oracle's, from the same caller on
};

/// Captures as a front door does: from its own caller on.
[[gnu::noinline]] inline taken take(std::size_t frames = detail::max_stack_frames)
{
  const void* const caller = __builtin_return_address(0);
  const std::uint32_t id = detail::capture_stack(frames, caller);
  const auto found = detail::depot_frames(id);
  const stack all = oracle();
  return {{found.begin(), found.end()}, {std::find(all.begin(), all.end(), number(caller)), all.end()}};
}

}  // namespace gpa::test
