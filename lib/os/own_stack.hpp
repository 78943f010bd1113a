// A stack of our own for what needs much of one: libdw takes some 150 KiB, where a thread of a pool, or a fiber, may have
// 16 in all. A mistake made there is to be told all the same.
//
// One stack is kept for the next call, with the pages that were touched. An exception passes through. It stays on the
// caller's stack where memory is refused, where a sanitizer or Valgrind looks on, who know which stacks there are, and on
// an alternate signal stack: the next signal would begin at its top again, where the caller's frames are. Who lets no
// signal in says so.
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <type_traits>

namespace gpa::detail {

enum class signals : std::uint8_t { may_come, are_blocked };

void call_on_own_stack(void (*f)(void*), void* argument, signals s);

template <class F>
void on_own_stack(F&& f, signals s = signals::may_come)
{
  call_on_own_stack([](void* p) { (*static_cast<std::remove_reference_t<F>*>(p))(); }, &f, s);
}

}  // namespace gpa::detail
