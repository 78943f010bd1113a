// The front door for checked blocks: a jump behind resource's virtual functions.
#include "front_door.hpp"

#include "checked/small_path.hpp"
#include "trace/front_frame.hpp"

#include <new>

namespace gpa::detail {

namespace {

constexpr std::uint32_t no_trace = 0;  // without call stacks

// The stack is known, or not wanted: `trace` goes along in the caller's place.

// The bin has nothing ready, as a rule, or no period to put the slot in. The object is not handed on: on the shortest path
// it would take a register that has to be saved.

GPA_NOINLINE void* allocate_tiny_again(std::size_t bytes, std::size_t alignment, std::uint32_t trace, checked_cache& k)
{
  bin& b = k.bins[size_class(bytes + 1)];
  if (b.next == b.end && checked_heap::find_ready(k, b)) [[likely]] {
    void* const p = checked_heap::allocate_tiny(k, bytes, alignment, trace);
    if (p != nullptr) [[likely]] return p;
  }
  return allocate_or_throw(*k.handle, bytes, alignment, as_caller(trace));
}

GPA_NOINLINE void deallocate_tiny_again(void* p, std::size_t bytes, std::size_t alignment, std::uint32_t trace,
                                        checked_cache& k) noexcept
{
  bin& b = k.bins[size_class(bytes + 1)];
  if (b.tail == b.stop && checked_heap::turn_period(k, b) &&
      checked_heap::deallocate_tiny(k, p, bytes, alignment, trace)) [[likely]]
    return;
  deallocate_generally(*k.handle, p, bytes, alignment, as_caller(trace));
}

[[gnu::always_inline]] inline void* allocate_tiny(std::size_t bytes, std::size_t alignment, std::uint32_t trace,
                                                  checked_cache& k)
{
  void* const p = checked_heap::allocate_tiny(k, bytes, alignment, trace);
  if (p != nullptr) [[likely]] return p;
  return allocate_tiny_again(bytes, alignment, trace, k);
}

[[gnu::always_inline]] inline void deallocate_tiny(void* p, std::size_t bytes, std::size_t alignment,
                                                   std::uint32_t trace, checked_cache& k) noexcept
{
  if (checked_heap::deallocate_tiny(k, p, bytes, alignment, trace)) [[likely]] return;
  deallocate_tiny_again(p, bytes, alignment, trace, k);
}

GPA_NOINLINE void* allocate_small(std::pmr::memory_resource& object, std::size_t bytes, std::size_t alignment,
                                  std::uint32_t trace, checked_cache& k)
{
  void* const p = checked_heap::allocate_small(k, bytes, alignment, trace);
  if (p != nullptr) [[likely]] return p;
  return allocate_or_throw(object, bytes, alignment, as_caller(trace));
}

GPA_NOINLINE void deallocate_small(std::pmr::memory_resource& object, void* p, std::size_t bytes,
                                   std::size_t alignment, std::uint32_t trace, checked_cache& k) noexcept
{
  if (checked_heap::deallocate_small(k, p, bytes, alignment, trace)) [[likely]] return;
  deallocate_generally(object, p, bytes, alignment, as_caller(trace));
}

// The redzone's line is the one most likely to be far away. Asking for it follows no pointer.
[[gnu::always_inline]] inline void ask_for_redzone(const void* p, std::size_t bytes) noexcept
{
  __builtin_prefetch(static_cast<const std::byte*>(p) + bytes, 1);
}

// The stack is not the one seen here last.
GPA_NOINLINE void* allocate_from_elsewhere(std::pmr::memory_resource& object, std::size_t bytes, std::size_t alignment,
                                           const void* caller, checked_cache& k)
{
  const std::uint32_t trace = stack_from_here(k.frames, caller);
  return bytes < tiny_bytes ? allocate_tiny(bytes, alignment, trace, k)
                            : allocate_small(object, bytes, alignment, trace, k);
}

GPA_NOINLINE void deallocate_from_elsewhere(std::pmr::memory_resource& object, void* p, std::size_t bytes,
                                            std::size_t alignment, const void* caller, checked_cache& k) noexcept
{
  if (k.free_frames == 0) {  // but a mistake's report wants one
    if (bytes < tiny_bytes ? checked_heap::deallocate_tiny(k, p, bytes, alignment, no_trace)
                           : checked_heap::deallocate_small(k, p, bytes, alignment, no_trace)) [[likely]]
      return;
    return deallocate_generally(object, p, bytes, alignment, caller);
  }
  const std::uint32_t trace = stack_from_here(k.free_frames, caller);
  if (bytes < tiny_bytes) {
    deallocate_tiny(p, bytes, alignment, trace, k);
  } else {
    deallocate_small(object, p, bytes, alignment, trace, k);
  }
}

}  // namespace

void* allocate_checked(std::pmr::memory_resource& object, std::size_t bytes, std::size_t alignment, const void* caller,
                       checked_cache& k)
{
  if (!is_own_caller(caller)) [[unlikely]] return allocate_from_elsewhere(object, bytes, alignment, caller, k);
  const std::uint32_t trace = stack_seen_here(k.frames);
  if (trace == 0) [[unlikely]] return allocate_from_elsewhere(object, bytes, alignment, own_caller(), k);
  if (bytes >= tiny_bytes) return allocate_small(object, bytes, alignment, trace, k);
  return allocate_tiny(bytes, alignment, trace, k);
}

void deallocate_checked(std::pmr::memory_resource& object, void* p, std::size_t bytes, std::size_t alignment,
                        const void* caller, checked_cache& k) noexcept
{
  ask_for_redzone(p, bytes);
  if (!is_own_caller(caller)) [[unlikely]] return deallocate_from_elsewhere(object, p, bytes, alignment, caller, k);
  const std::uint32_t trace = stack_seen_here(k.free_frames);
  if (trace == 0) [[unlikely]] return deallocate_from_elsewhere(object, p, bytes, alignment, own_caller(), k);
  if (bytes >= tiny_bytes) return deallocate_small(object, p, bytes, alignment, trace, k);
  deallocate_tiny(p, bytes, alignment, trace, k);
}

void* allocate_plain(std::pmr::memory_resource& object, std::size_t bytes, std::size_t alignment, checked_cache& k)
{
  if (bytes >= tiny_bytes) return allocate_small(object, bytes, alignment, no_trace, k);
  return allocate_tiny(bytes, alignment, no_trace, k);
}

void deallocate_plain(std::pmr::memory_resource& object, void* p, std::size_t bytes, std::size_t alignment,
                      checked_cache& k) noexcept
{
  if (bytes >= tiny_bytes) {
    ask_for_redzone(p, bytes);
    return deallocate_small(object, p, bytes, alignment, no_trace, k);
  }
  deallocate_tiny(p, bytes, alignment, no_trace, k);
}

}  // namespace gpa::detail
