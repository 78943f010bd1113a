// The way in that resource and late_handle share, and the hot path: id compared, cache found, heap entered.
//
// `caller` is the return address of the virtual function: stacks begin there, so our own frames never show.
#pragma once

#include "checked/tiny_path.hpp"
#include "core.hpp"
#include "registry.hpp"

#include <new>

namespace gpa::detail {

/// Null when refused. Everything but the shortest path.
[[nodiscard]] GPA_NOINLINE void* allocate_generally(front& door, std::size_t bytes, std::size_t alignment,
                                                    const void* caller) noexcept;
/// The same, but throws std::bad_alloc.
[[nodiscard]] GPA_NOINLINE void* allocate_or_throw(front& door, std::size_t bytes, std::size_t alignment,
                                                   const void* caller);
GPA_NOINLINE void deallocate_generally(front& door, void* p, std::size_t bytes, std::size_t alignment,
                                       const void* caller) noexcept;

/// The hot path: what it cannot do is left to one of the functions above, as a tail call.
[[nodiscard]] inline void* allocate_through(front& door, std::size_t bytes, std::size_t alignment, const void* caller)
{
  const std::uint64_t id = door.id.load(std::memory_order_relaxed);
  const way& w = way_of(id);
  if (w.id == id) [[likely]] {
    cache_header& k = *w.cache;
    if (k.plain) {
      void* const p = checked_heap::allocate_tiny(static_cast<checked_cache&>(k), bytes, alignment);
      if (p != nullptr) [[likely]] return p;
    } else if (bytes < k.quick_below) {
      void* const p = fast_heap::allocate_quick(static_cast<fast_cache&>(k), bytes, alignment);
      if (p != nullptr) [[likely]] return p;
    }
  }
  return allocate_or_throw(door, bytes, alignment, caller);
}

inline void deallocate_through(front& door, void* p, std::size_t bytes, std::size_t alignment,
                               const void* caller) noexcept
{
  const std::uint64_t id = door.id.load(std::memory_order_relaxed);
  const way& w = way_of(id);
  if (w.id == id) [[likely]] {
    cache_header& k = *w.cache;
    if (k.plain) {
      if (door.heart->checked().deallocate_tiny(static_cast<checked_cache&>(k), p, bytes, alignment)) [[likely]] return;
    } else if (bytes < k.quick_below) {
      if (fast_heap::deallocate_quick(static_cast<fast_cache&>(k), p, bytes, alignment)) [[likely]] return;
    }
  }
  deallocate_generally(door, p, bytes, alignment, caller);
}

}  // namespace gpa::detail
