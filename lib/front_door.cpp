// The front door for what the hot path left over: larger blocks, call stacks, first calls, death.
#include "front_door.hpp"

#include "os/threads.hpp"
#include "trace/headline.hpp"

#include <new>

namespace gpa::detail {

namespace {

GPA_COLD gpa::report late_report(std::size_t bytes, std::size_t alignment, const void* caller) noexcept
{
  gpa::report r;
  r.kind = mistake::use_after_deinit;
  r.given_bytes = bytes;
  r.given_alignment = alignment;
  r.here = stack_trace(capture_stack(max_stack_frames, caller), this_thread_number());
  return r;
}

// The resource is dead, so its pointer may be stale: it is looked up by number.
GPA_COLD void* allocate_at_dead_door(const front& door, std::size_t bytes, std::size_t alignment,
                                     const void* caller) noexcept
{
  if (const pinned_core c(door.birth); c) return c->allocate_careful(bytes, alignment, caller);
  tell_of_unknown_resource(late_report(bytes, alignment, caller));
}

GPA_COLD void deallocate_at_dead_door(const front& door, void* p, std::size_t bytes, std::size_t alignment,
                                      const void* caller) noexcept
{
  if (const pinned_core c(door.birth); c) {
    c->deallocate_careful(p, bytes, alignment, caller);
    return;
  }
  gpa::report r = late_report(bytes, alignment, caller);
  r.address = p;
  r.reason = memory_is_gone;
  r.bytes = bytes;
  r.alignment = alignment;
  tell_of_unknown_resource(r);
}

}  // namespace

// Without checks; aligned to more than every slot is.
static GPA_NOINLINE void* allocate_over_aligned(std::pmr::memory_resource& object, std::size_t bytes,
                                                std::size_t alignment, const void* caller, cache_header& k)
{
  void* const p = fast_heap::allocate_over_aligned(static_cast<fast_cache&>(k), bytes, alignment);
  if (p != nullptr) [[likely]] return p;
  return allocate_or_throw(object, bytes, alignment, caller);
}

static GPA_NOINLINE void deallocate_over_aligned(std::pmr::memory_resource& object, void* p, std::size_t bytes,
                                                 std::size_t alignment, const void* caller, cache_header& k) noexcept
{
  if (fast_heap::deallocate_over_aligned(static_cast<fast_cache&>(k), p, bytes, alignment)) [[likely]] return;
  deallocate_generally(object, p, bytes, alignment, caller);
}

// Smaller blocks the hot path has tried.
void* allocate_cached(std::pmr::memory_resource& object, std::size_t bytes, std::size_t alignment, const void* caller,
                      cache_header& k)
{
  if (!is_quick_alignment(alignment)) return allocate_over_aligned(object, bytes, alignment, caller, k);
  void* const p = fast_heap::allocate_coarse(static_cast<fast_cache&>(k), bytes);
  if (p != nullptr) [[likely]] return p;
  return allocate_or_throw(object, bytes, alignment, caller);
}

// Of resources that one thread calls at a time, without checks and with: no free takes the hot path.

static GPA_NOINLINE void deallocate_to_sole(std::pmr::memory_resource& object, void* p, std::size_t bytes,
                                            std::size_t alignment, const void* caller, cache_header& k) noexcept
{
  auto& fast = static_cast<fast_cache&>(k);
  k.note_own_peak(k.counts.live());
  if (alignment > 16) return deallocate_over_aligned(object, p, bytes, alignment, caller, k);
  if (bytes < fast_heap::quick_below && fast_heap::deallocate_quick(fast, p, bytes, alignment)) [[likely]] return;
  if (fast_heap::deallocate_coarse(fast, p, bytes)) [[likely]] return;
  deallocate_generally(object, p, bytes, alignment, caller);
}

static GPA_NOINLINE void deallocate_at_peak(std::pmr::memory_resource& object, void* p, std::size_t bytes,
                                            std::size_t alignment, const void* caller, cache_header& k) noexcept
{
  k.note_own_peak();
  if (k.plain) return deallocate_plain(object, p, bytes, alignment, no_trace, static_cast<checked_cache&>(k));
  if (k.traced) return deallocate_checked(object, p, bytes, alignment, caller, static_cast<checked_cache&>(k));
  deallocate_generally(object, p, bytes, alignment, caller);  // sampled
}

void deallocate_cached(std::pmr::memory_resource& object, void* p, std::size_t bytes, std::size_t alignment,
                       const void* caller, cache_header& k) noexcept
{
  if (!leaves_hot_path(k, p)) [[likely]] {
    if (alignment > 16) return deallocate_over_aligned(object, p, bytes, alignment, caller, k);
    if (fast_heap::deallocate_coarse(static_cast<fast_cache&>(k), p, bytes)) [[likely]] return;
  } else if (k.sole) {
    return deallocate_to_sole(object, p, bytes, alignment, caller, k);
  } else if (k.exact_peak) {
    return deallocate_at_peak(object, p, bytes, alignment, caller, k);
  }
  deallocate_generally(object, p, bytes, alignment, caller);
}

// In none of the ways: this one gets its own back, and goes on where the hot path would have.
static GPA_NOINLINE void* allocate_far(std::pmr::memory_resource& object, std::size_t bytes, std::size_t alignment,
                                       const void* caller)
{
  const front& door = door_of(object);
  cache_header* const k = regain_way(door.id.load(std::memory_order_relaxed), door.way, door.birth);
  if (k != nullptr) [[likely]]
    return allocate_from(*k, object, bytes, alignment, given_caller{caller});
  return allocate_or_throw(object, bytes, alignment, caller);
}

static GPA_NOINLINE void deallocate_far(std::pmr::memory_resource& object, void* p, std::size_t bytes,
                                        std::size_t alignment, const void* caller) noexcept
{
  const front& door = door_of(object);
  cache_header* const k = regain_way(door.id.load(std::memory_order_relaxed), door.way, door.birth);
  if (k != nullptr) [[likely]] {
    deallocate_to(*k, object, p, bytes, alignment, given_caller{caller});
    return;
  }
  deallocate_generally(object, p, bytes, alignment, caller);
}

void* allocate_elsewhere(std::pmr::memory_resource& object, std::size_t bytes, std::size_t alignment,
                         const void* caller)
{
  const front& door = door_of(object);
  const std::uint64_t id = door.id.load(std::memory_order_relaxed);
  if (cache_header* k = nullptr; has_near(id, door.birth, k)) [[likely]]
    return allocate_from(*k, object, bytes, alignment, given_caller{caller});
  return allocate_far(object, bytes, alignment, caller);
}

void deallocate_elsewhere(std::pmr::memory_resource& object, void* p, std::size_t bytes, std::size_t alignment,
                          const void* caller) noexcept
{
  const front& door = door_of(object);
  const std::uint64_t id = door.id.load(std::memory_order_relaxed);
  if (cache_header* k = nullptr; has_near(id, door.birth, k)) [[likely]] {
    deallocate_to(*k, object, p, bytes, alignment, given_caller{caller});
    return;
  }
  deallocate_far(object, p, bytes, alignment, caller);
}

[[gnu::always_inline]] static inline bool has_any_way(std::uint64_t id, const front& door, cache_header*& k) noexcept
{
  return has_way(id, door.way, k) || has_near(id, door.birth, k);
}

[[gnu::always_inline]] static inline void* allocate_known(std::pmr::memory_resource& object, std::size_t bytes,
                                                         std::size_t alignment, const void* caller) noexcept
{
  front& door = door_of(object);
  const std::uint64_t id = door.id.load(std::memory_order_relaxed);
  cache_header* k = nullptr;
  if (has_any_way(id, door, k) && (alignment & (alignment - 1)) == 0 && alignment != 0) [[likely]] {
    if (k->checked) [[likely]]
      return door.heart->checked().allocate(static_cast<checked_cache&>(*k), bytes, alignment, caller);
    return door.heart->allocate_unchecked(*k, bytes, alignment, caller);
  }
  if (id == dead_id) [[unlikely]] return allocate_at_dead_door(door, bytes, alignment, caller);
  return door.heart->allocate_careful(bytes, alignment, caller);
}

void* allocate_generally(std::pmr::memory_resource& object, std::size_t bytes, std::size_t alignment,
                         const void* caller) noexcept
{
  return allocate_known(object, bytes, alignment, caller);
}

void* allocate_or_throw(std::pmr::memory_resource& object, std::size_t bytes, std::size_t alignment, const void* caller)
{
  void* const p = allocate_known(object, bytes, alignment, caller);
  if (p == nullptr) [[unlikely]] throw std::bad_alloc();
  return p;
}

void deallocate_generally(std::pmr::memory_resource& object, void* p, std::size_t bytes, std::size_t alignment,
                          const void* caller) noexcept
{
  front& door = door_of(object);
  const std::uint64_t id = door.id.load(std::memory_order_relaxed);
  if (cache_header* k = nullptr; has_any_way(id, door, k)) [[likely]] {
    if (k->checked) [[likely]] {
      door.heart->checked().deallocate(static_cast<checked_cache&>(*k), p, bytes, alignment, caller);
    } else {
      door.heart->deallocate_unchecked(*k, p, bytes, alignment, caller);
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
