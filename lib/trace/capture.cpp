#include "trace/capture.hpp"

#include "trace/depot.hpp"

#include <unwind.h>

#include <algorithm>
#include <array>

namespace gpa::detail {

namespace {

// A stack that does not show the caller among its first frames never will.
constexpr std::size_t searched_frames = 64;
static_assert(searched_frames > most_own_frames);

struct walk {
  std::array<std::uintptr_t, max_stack_frames + most_own_frames> frames;
  std::size_t count = 0;
  std::size_t limit = 0;
  std::size_t seen = 0;
  std::uintptr_t caller = 0;
  bool met = false;
};

_Unwind_Reason_Code step(_Unwind_Context* context, void* argument) noexcept
{
  walk& w = *static_cast<walk*>(argument);
  const std::uintptr_t ip = _Unwind_GetIP(context);
  if (ip == 0) return _URC_END_OF_STACK;
  if (w.seen++ == 0) return _URC_NO_REASON;  // capture_stack() itself
  if (!w.met && ip == w.caller) {
    w.met = true;
    w.count = 0;  // what stood there were our own frames
  }
  const std::size_t room = w.met ? w.limit : w.limit + most_own_frames;
  if (w.count != room) w.frames[w.count++] = ip;
  const bool enough = w.count == room && (w.met || w.seen > searched_frames);
  return enough ? _URC_END_OF_STACK : _URC_NO_REASON;
}

}  // namespace

[[gnu::noinline]] std::uint32_t capture_stack(std::size_t frames, const void* caller) noexcept
{
  if (frames == 0) return 0;
  walk w;
  w.limit = std::min(frames, max_stack_frames);
  w.caller = reinterpret_cast<std::uintptr_t>(caller);
  w.met = caller == nullptr;
  _Unwind_Backtrace(&step, &w);
  return depot_intern({w.frames.data(), w.count});
}

}  // namespace gpa::detail
