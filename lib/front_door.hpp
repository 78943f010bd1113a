// The way in that resource and late_handle share, and the hot path: id compared, cache found, heap entered.
//
// The fast heap's shortest path is inlined: it needs so few registers that its caller has no frame. The checked heap's
// is four times as long; it is a jump away. What neither can do is a jump further.
//
// `caller` is the return address of the virtual function: stacks begin there, so our own frames never show.
#pragma once

#include "core.hpp"
#include "registry.hpp"

namespace gpa::detail {

/// A resource and its late_handle are a virtual table pointer and a front door, and nothing else. What the hot path
/// calls is handed the object as it came: the register it came in stays as it is.
struct with_front_door {
  const void* table;
  front door;
};
[[nodiscard]] inline front& door_of(std::pmr::memory_resource& object) noexcept
{
  return reinterpret_cast<with_front_door&>(object).door;
}

/// Null when refused. Everything but the shortest path.
[[nodiscard]] GPA_NOINLINE void* allocate_generally(std::pmr::memory_resource& object, std::size_t bytes,
                                                    std::size_t alignment, const void* caller) noexcept;
/// The same, but throws std::bad_alloc.
[[nodiscard]] GPA_NOINLINE void* allocate_or_throw(std::pmr::memory_resource& object, std::size_t bytes,
                                                   std::size_t alignment, const void* caller);
GPA_NOINLINE void deallocate_generally(std::pmr::memory_resource& object, void* p, std::size_t bytes,
                                       std::size_t alignment, const void* caller) noexcept;

inline constexpr std::uint32_t no_trace = 0;  // the number of no call stack

/// A block of a cache that is `plain`, and of one that is `traced` (checked_door.cpp). Arguments come in the same places
/// everywhere, so that none is moved from one register to another on the way.
[[nodiscard]] GPA_NOINLINE void* allocate_plain(std::pmr::memory_resource& object, std::size_t bytes,
                                                std::size_t alignment, std::uint32_t none, checked_cache& k);
GPA_NOINLINE void deallocate_plain(std::pmr::memory_resource& object, void* p, std::size_t bytes, std::size_t alignment,
                                   std::uint32_t none, checked_cache& k) noexcept;
[[nodiscard]] GPA_NOINLINE void* allocate_checked(std::pmr::memory_resource& object, std::size_t bytes,
                                                  std::size_t alignment, const void* caller, checked_cache& k);
GPA_NOINLINE void deallocate_checked(std::pmr::memory_resource& object, void* p, std::size_t bytes,
                                     std::size_t alignment, const void* caller, checked_cache& k) noexcept;

/// For every checked cache.
[[nodiscard]] const larger_paths& widest_paths() noexcept;

/// Another resource has the way: this one gets it back, and goes on where the hot path would have.
[[nodiscard]] GPA_NOINLINE void* allocate_elsewhere(std::pmr::memory_resource& object, std::size_t bytes,
                                                    std::size_t alignment, const void* caller);
GPA_NOINLINE void deallocate_elsewhere(std::pmr::memory_resource& object, void* p, std::size_t bytes,
                                       std::size_t alignment, const void* caller) noexcept;

/// The rest of a thread that has a cache: sampled blocks, larger ones of the fast heap, and frees that look at the peak.
/// What is left then goes the general path.
[[nodiscard]] GPA_NOINLINE void* allocate_cached(std::pmr::memory_resource& object, std::size_t bytes,
                                                 std::size_t alignment, const void* caller, cache_header& k);
GPA_NOINLINE void deallocate_cached(std::pmr::memory_resource& object, void* p, std::size_t bytes,
                                    std::size_t alignment, const void* caller, cache_header& k) noexcept;

/// Who called: looked at only where that is wanted. Of the virtual function that everything here is inlined into; or handed on.
struct own_caller {
  [[gnu::always_inline]] operator const void*() const noexcept { return __builtin_return_address(0); }
};
struct given_caller {
  const void* caller;
  operator const void*() const noexcept { return caller; }
};

/// Of a thread that has its cache: what cannot be done here is left to one of the functions above, as a tail call.
template <class Caller>
[[nodiscard, gnu::always_inline]] inline void* allocate_from(cache_header& k, std::pmr::memory_resource& object,
                                                             std::size_t bytes, std::size_t alignment, Caller caller)
{
  if (bytes < k.quick_below) [[likely]] {
    void* const p = fast_heap::allocate_quick(static_cast<fast_cache&>(k), bytes, alignment);
    if (p != nullptr) [[likely]] return p;
  } else if (k.plain) {
    return allocate_plain(object, bytes, alignment, no_trace, static_cast<checked_cache&>(k));
  } else if (k.traced) {
    return allocate_checked(object, bytes, alignment, caller, static_cast<checked_cache&>(k));
  }
  return allocate_cached(object, bytes, alignment, caller, k);
}

template <class Caller>
[[gnu::always_inline]] inline void deallocate_to(cache_header& k, std::pmr::memory_resource& object, void* p,
                                                 std::size_t bytes, std::size_t alignment, Caller caller) noexcept
{
  if (bytes < k.quick_below) [[likely]] {
    if (!leaves_hot_path(k, p)) [[likely]]
      if (fast_heap::deallocate_quick(static_cast<fast_cache&>(k), p, bytes, alignment)) [[likely]] return;
  } else if (k.frees_plain) {
    deallocate_plain(object, p, bytes, alignment, no_trace, static_cast<checked_cache&>(k));
    return;
  } else if (k.frees_traced) {
    deallocate_checked(object, p, bytes, alignment, caller, static_cast<checked_cache&>(k));
    return;
  }
  deallocate_cached(object, p, bytes, alignment, caller, k);
}

/// The hot path. Inlined whatever happens: the return address is that of the virtual function it becomes part of.
[[nodiscard, gnu::always_inline]] inline void* allocate_through(std::pmr::memory_resource& object, std::size_t bytes,
                                                                std::size_t alignment)
{
  const front& door = door_of(object);
  const std::uint64_t id = door.id.load(std::memory_order_relaxed);
  if (cache_header* k = nullptr; has_way(id, door.way, k)) [[likely]]
    return allocate_from(*k, object, bytes, alignment, own_caller());
  return allocate_elsewhere(object, bytes, alignment, own_caller());
}

[[gnu::always_inline]] inline void deallocate_through(std::pmr::memory_resource& object, void* p, std::size_t bytes,
                                                      std::size_t alignment) noexcept
{
  const front& door = door_of(object);
  const std::uint64_t id = door.id.load(std::memory_order_relaxed);
  if (cache_header* k = nullptr; has_way(id, door.way, k)) [[likely]] {
    deallocate_to(*k, object, p, bytes, alignment, own_caller());
    return;
  }
  deallocate_elsewhere(object, p, bytes, alignment, own_caller());
}

}  // namespace gpa::detail
