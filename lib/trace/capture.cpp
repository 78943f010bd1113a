#include "trace/capture.hpp"

#include "base/attributes.hpp"
#include "trace/depot.hpp"
#include "trace/registered_tables.hpp"
#include "trace/stack_cache.hpp"
#include "trace/stack_walk.hpp"

#include <unwind.h>

#include <algorithm>
#include <array>

namespace gpa::detail {

namespace {

// A stack that does not show the caller among its first frames never will.
constexpr std::size_t searched_frames = 64;
static_assert(searched_frames > most_own_frames);

struct unwinding {
  std::array<std::uintptr_t, max_stack_frames + most_own_frames> frames;
  std::size_t count = 0;
  std::size_t limit = 0;
  std::size_t seen = 0;
  std::uintptr_t first = 0;
  std::uintptr_t caller = 0;
  bool started = false;
  bool met = false;
};

_Unwind_Reason_Code step(_Unwind_Context* context, void* argument) noexcept
{
  unwinding& u = *static_cast<unwinding*>(argument);
  const std::uintptr_t ip = _Unwind_GetIP(context);
  if (ip == 0) return _URC_END_OF_STACK;
  u.started = u.started || ip == u.first;
  if (!u.started) return _URC_NO_REASON;  // capture_stack() itself and what it called
  ++u.seen;
  if (!u.met && ip == u.caller) {
    u.met = true;
    u.count = 0;  // what stood there were our own frames
  }
  const std::size_t room = u.met ? u.limit : u.limit + most_own_frames;
  if (u.count != room) u.frames[u.count++] = ip;
  const bool enough = u.count == room && (u.met || u.seen >= searched_frames);
  return enough ? _URC_END_OF_STACK : _URC_NO_REASON;
}

GPA_COLD std::uint32_t unwind_with_libgcc(const call_site& from, std::uintptr_t caller, std::size_t limit) noexcept
{
  // Before a program that is linked with -static has registered its tables, libgcc ends the process when it is asked.
  if (registered_entry(reinterpret_cast<std::uintptr_t>(&unwind_with_libgcc) + 1) == std::uintptr_t{0})
    return depot_intern({&caller, 1});
  unwinding u;
  u.limit = limit;
  u.first = from.pc;
  u.caller = caller;
  _Unwind_Backtrace(&step, &u);
  return depot_intern({u.frames.data(), u.count});
}

GPA_NOINLINE std::uint32_t walk_and_remember(const call_site& from, std::uintptr_t caller, std::size_t limit) noexcept
{
  stack_cache* const known = have_stack_cache();
  walked_stack s;
  if (!walk_stack(from, caller, limit, known == nullptr ? nullptr : &known->walks(), s))
    return unwind_with_libgcc(from, caller, limit);
  const std::uint32_t id = depot_intern({s.frames.data(), s.count});
  if (known != nullptr) known->remember({from.sp, from.pc, caller, limit}, s, id);
  return id;
}

}  // namespace

// Its own frame is where the walk starts: with a frame pointer, as asking for its address makes sure, the caller's rbp
// and the return address stand there.
[[gnu::noinline]] GPA_NO_SANITIZE std::uint32_t capture_stack(std::size_t frames, const void* caller) noexcept
{
  const auto given = reinterpret_cast<std::uintptr_t>(caller);
  if ((given & captured_mark) != 0) return static_cast<std::uint32_t>(given);
  if (frames == 0) return 0;
  const auto* const frame = static_cast<const std::uintptr_t*>(__builtin_frame_address(0));
  return capture_from({reinterpret_cast<std::uintptr_t>(frame + 2), frame[1], frame[0]},
                      given == 0 ? frame[1] : given, frames);
}

std::uint32_t capture_from(const call_site& from, std::uintptr_t caller, std::size_t frames) noexcept
{
  const std::size_t limit = std::min(frames, max_stack_frames);
  if (has_stack_cache()) [[likely]] {
    const std::uint32_t id = my_stacks->find({from.sp, from.pc, caller, limit});
    if (id != 0) [[likely]]
      return id;
  }
  return walk_and_remember(from, caller, limit);
}

}  // namespace gpa::detail
