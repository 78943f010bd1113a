// The front door for checked blocks: a jump behind resource's virtual functions.
#include "front_door.hpp"

#include "checked/small_path.hpp"

#include <new>

namespace gpa::detail {

namespace {

struct no_trace {
  std::uint32_t operator()(const record&) const noexcept { return 0; }
};

// The record arrives while the stack is looked at.
struct traced {
  std::uint32_t frames;
  const void* caller;
  std::uint32_t operator()(const record& r) const noexcept
  {
    __builtin_prefetch(&r, 1);
    return capture_stack(frames, caller);
  }
};

// Without call stacks nobody asks who called.
constexpr const void* no_caller = nullptr;

}  // namespace

void* allocate_checked(std::pmr::memory_resource& object, std::size_t bytes, std::size_t alignment, const void* caller,
                       checked_cache& k)
{
  const traced trace{k.frames, caller};
  void* const p = bytes < tiny_bytes ? checked_heap::allocate_tiny(k, bytes, alignment, trace)
                                     : checked_heap::allocate_small(k, bytes, alignment, trace);
  if (p != nullptr) [[likely]] return p;
  return allocate_or_throw(object, bytes, alignment, caller);
}

void deallocate_checked(std::pmr::memory_resource& object, void* p, std::size_t bytes, std::size_t alignment,
                        const void* caller, checked_cache& k) noexcept
{
  // The redzone's line is the one most likely to be far away. Asking for it follows no pointer.
  __builtin_prefetch(static_cast<const std::byte*>(p) + bytes, 1);
  const traced trace{k.frames, caller};
  if (bytes < tiny_bytes ? checked_heap::deallocate_tiny(k, p, bytes, alignment, trace)
                         : checked_heap::deallocate_small(k, p, bytes, alignment, trace)) [[likely]]
    return;
  deallocate_generally(object, p, bytes, alignment, caller);
}

namespace {

GPA_NOINLINE void* allocate_plain_small(std::pmr::memory_resource& object, std::size_t bytes, std::size_t alignment,
                                        checked_cache& k)
{
  void* const p = checked_heap::allocate_small(k, bytes, alignment, no_trace());
  if (p != nullptr) [[likely]] return p;
  return allocate_or_throw(object, bytes, alignment, no_caller);
}

GPA_NOINLINE void deallocate_plain_small(std::pmr::memory_resource& object, void* p, std::size_t bytes,
                                         std::size_t alignment, checked_cache& k) noexcept
{
  __builtin_prefetch(static_cast<const std::byte*>(p) + bytes, 1);
  if (checked_heap::deallocate_small(k, p, bytes, alignment, no_trace())) [[likely]] return;
  deallocate_generally(object, p, bytes, alignment, no_caller);
}

}  // namespace

void* allocate_plain(std::pmr::memory_resource& object, std::size_t bytes, std::size_t alignment, checked_cache& k)
{
  if (bytes >= tiny_bytes) return allocate_plain_small(object, bytes, alignment, k);
  void* const p = checked_heap::allocate_tiny(k, bytes, alignment, no_trace());
  if (p != nullptr) [[likely]] return p;
  return allocate_or_throw(object, bytes, alignment, no_caller);
}

void deallocate_plain(std::pmr::memory_resource& object, void* p, std::size_t bytes, std::size_t alignment,
                      checked_cache& k) noexcept
{
  if (bytes >= tiny_bytes) return deallocate_plain_small(object, p, bytes, alignment, k);
  if (checked_heap::deallocate_tiny(k, p, bytes, alignment, no_trace())) [[likely]] return;
  deallocate_generally(object, p, bytes, alignment, no_caller);
}

}  // namespace gpa::detail
