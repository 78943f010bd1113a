// Functions that make calls for a test, so that stacks have a name to be found by. Each is seen in its stack: not
// inlined, not a tail call, not merged with its twin.
#pragma once

#include <gpa/resource.hpp>

#include "support/suspects.hpp"

#include <cstddef>

namespace gpa::test {

inline constexpr std::size_t usual_alignment = alignof(std::max_align_t);

[[gnu::noinline]] inline void* obtain(std::pmr::memory_resource& r, std::size_t bytes,
                                      std::size_t alignment = usual_alignment)
{
  void* const p = r.allocate(bytes, alignment);
  STAY;
  return p;
}

[[gnu::noinline]] inline void discard(std::pmr::memory_resource& r, void* p, std::size_t bytes,
                                      std::size_t alignment = usual_alignment)
{
  r.deallocate(p, bytes, alignment);
  STAY;
}

/// The call that is wrong. UBSan would stop at a null pointer before gpa sees it.
[[gnu::noinline]] __attribute__((no_sanitize("undefined"))) inline void blunder(std::pmr::memory_resource& r, void* p,
                                                                                std::size_t bytes,
                                                                                std::size_t alignment = usual_alignment)
{
  r.deallocate(p, bytes, alignment);
  STAY;
}

[[gnu::noinline]] inline std::size_t inspect(gpa::resource& r)
{
  const std::size_t found = r.verify();
  STAY;
  return found;
}

}  // namespace gpa::test
