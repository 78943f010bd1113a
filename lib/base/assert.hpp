// GPA_ASSERT: for what must be true of our own code. The user's mistakes are reports, never assertions.
#pragma once

namespace gpa::detail {
/// Prints the broken condition to stderr and aborts. Safe with any lock held: allocates nothing.
[[noreturn]] void assertion_failed(const char* condition, const char* file, int line) noexcept;
}  // namespace gpa::detail

#define GPA_ASSERT(condition) \
  (__builtin_expect(static_cast<bool>(condition), 1) \
       ? static_cast<void>(0) \
       : ::gpa::detail::assertion_failed(#condition, __FILE__, __LINE__))
