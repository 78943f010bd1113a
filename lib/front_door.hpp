// The way in that resource and late_handle share, and the hot path: id compared, cache found, heap entered.
//
// `caller` is the return address of the virtual function: stacks begin there, so our own frames never show.
#pragma once

#include "core.hpp"
#include "registry.hpp"

#include <new>

namespace gpa::detail {

/// The core behind a door: still there while the door's resource is alive; looked up by number once it is dead, since
/// then the pointer may be stale. Null: nobody remembers it.
[[nodiscard]] inline core* core_behind(const front& door) noexcept
{
  if (door.id.load(std::memory_order_relaxed) != dead_id) [[likely]] return door.heart;
  return find_core(door.birth);
}

[[nodiscard]] void* allocate_at_dead_door(const front& door, std::size_t bytes, std::size_t alignment,
                                          const void* caller) noexcept;
void deallocate_at_dead_door(const front& door, void* p, std::size_t bytes, std::size_t alignment,
                             const void* caller) noexcept;

/// Null when refused.
[[nodiscard]] inline void* allocate_through(front& door, std::size_t bytes, std::size_t alignment,
                                            const void* caller) noexcept
{
  const std::uint64_t id = door.id.load(std::memory_order_relaxed);
  const way& w = way_of(id);
  if (w.id == id && (alignment & (alignment - 1)) == 0 && alignment != 0) [[likely]] {
    if (w.cache->checked) [[likely]]
      return door.heart->checked().allocate(static_cast<checked_cache&>(*w.cache), bytes, alignment, caller);
    return door.heart->allocate_unchecked(*w.cache, bytes, alignment, caller);
  }
  if (id == dead_id) [[unlikely]] return allocate_at_dead_door(door, bytes, alignment, caller);
  return door.heart->allocate_careful(bytes, alignment, caller);
}

inline void deallocate_through(front& door, void* p, std::size_t bytes, std::size_t alignment,
                               const void* caller) noexcept
{
  const std::uint64_t id = door.id.load(std::memory_order_relaxed);
  const way& w = way_of(id);
  if (w.id == id) [[likely]] {
    if (w.cache->checked) [[likely]] {
      door.heart->checked().deallocate(static_cast<checked_cache&>(*w.cache), p, bytes, alignment, caller);
    } else {
      door.heart->deallocate_unchecked(*w.cache, p, bytes, alignment, caller);
    }
    return;
  }
  if (id == dead_id) [[unlikely]] {
    deallocate_at_dead_door(door, p, bytes, alignment, caller);
    return;
  }
  door.heart->deallocate_careful(p, bytes, alignment, caller);
}

}  // namespace gpa::detail
