// The front door for checked blocks: a jump behind resource's virtual functions.
#include "front_door.hpp"

#include "checked/avx2_moves.hpp"
#include "checked/avx512_moves.hpp"
#include "checked/poison_moves.hpp"
#include "checked/short_path.hpp"
#include "trace/front_frame.hpp"

namespace gpa::detail {

namespace {

// The stack is known, or not wanted: from here on `trace` goes along in the caller's place.

// As allocate_short(), with what the thread's own ring has.
template <class Slots>
[[nodiscard, gnu::always_inline]] inline void* allocate_from_ring(std::size_t bytes, std::size_t alignment,
                                                                  std::uint32_t trace, checked_cache& k) noexcept
{
  bin& b = Slots::bin_for(k, bytes, Slots::size_for(bytes, alignment));
  if (b.next != b.end || !checked_heap::find_ready(k, b)) return nullptr;
  return checked_heap::allocate_short<Slots>(k, bytes, alignment, trace);
}

// Aligned to more than every slot is.
template <class Moves>
GPA_NOINLINE void* allocate_over_aligned(no_object none, std::size_t bytes, std::size_t alignment, std::uint32_t trace,
                                         checked_cache& k)
{
  none.look_at();
  using slots = over_aligned_slots<Moves>;
  if (bytes <= small_limit && slots::serve(alignment)) [[likely]] {
    void* p = checked_heap::allocate_short<slots>(k, bytes, alignment, trace);
    if (p == nullptr) p = allocate_from_ring<slots>(bytes, alignment, trace, k);
    if (p != nullptr) [[likely]] return p;
  }
  return allocate_or_throw(*k.handle, bytes, alignment, as_caller(trace));
}

// The bin has nothing ready, as a rule.
template <class Slots>
GPA_NOINLINE void* allocate_again(no_object none, std::size_t bytes, std::size_t alignment, std::uint32_t trace,
                                  checked_cache& k)
{
  none.look_at();
  if (alignment > 16) return k.larger.allocate_over_aligned(no_object(), bytes, alignment, trace, k);
  void* const p = allocate_from_ring<Slots>(bytes, alignment, trace, k);
  if (p != nullptr) [[likely]] return p;
  return allocate_or_throw(*k.handle, bytes, alignment, as_caller(trace));
}

// The period that the slot should go to was full, or the slab is not the cache's alone.
template <class Slots>
[[nodiscard, gnu::always_inline]] inline bool free_again(void* p, std::size_t bytes, std::size_t alignment,
                                                         std::uint32_t trace, checked_cache& k) noexcept
{
  region* const r = region_of(p);
  if (r == nullptr) return false;
  bin& b = k.bins[r->size_class];
  const void* const sole = r->sole.load(std::memory_order_acquire);
  if (sole == &k)
    return b.tail == b.stop && checked_heap::turn_period(k, b) &&
           checked_heap::deallocate_short<Slots>(k, p, bytes, alignment, trace);
  if (sole != nullptr || (b.tail == b.stop && !checked_heap::turn_period(k, b))) return false;
  return checked_heap::deallocate_shared<Slots>(k, *r, p, bytes, alignment, trace);
}

template <class Slots>
[[nodiscard, gnu::always_inline]] inline bool free_short(void* p, std::size_t bytes, std::size_t alignment,
                                                         std::uint32_t trace, checked_cache& k) noexcept
{
  return checked_heap::deallocate_short<Slots>(k, p, bytes, alignment, trace) ||
         free_again<Slots>(p, bytes, alignment, trace, k);
}

template <class Moves>
GPA_NOINLINE void deallocate_over_aligned(no_object none, void* p, std::size_t bytes, std::size_t alignment,
                                          std::uint32_t trace, checked_cache& k) noexcept
{
  none.look_at();
  if (free_short<over_aligned_slots<Moves>>(p, bytes, alignment, trace, k)) [[likely]] return;
  deallocate_generally(*k.handle, p, bytes, alignment, as_caller(trace));
}

template <class Slots>
GPA_NOINLINE void deallocate_again(no_object none, void* p, std::size_t bytes, std::size_t alignment,
                                   std::uint32_t trace, checked_cache& k) noexcept
{
  none.look_at();
  if (alignment > 16) return k.larger.deallocate_over_aligned(no_object(), p, bytes, alignment, trace, k);
  if (free_again<Slots>(p, bytes, alignment, trace, k)) [[likely]] return;
  deallocate_generally(*k.handle, p, bytes, alignment, as_caller(trace));
}

template <class Slots>
[[gnu::always_inline]] inline void* allocate_of(std::size_t bytes, std::size_t alignment, std::uint32_t trace,
                                                checked_cache& k)
{
  void* const p = checked_heap::allocate_short<Slots>(k, bytes, alignment, trace);
  if (p != nullptr) [[likely]] return p;
  return allocate_again<Slots>(no_object(), bytes, alignment, trace, k);
}

template <class Slots>
[[gnu::always_inline]] inline void deallocate_of(void* p, std::size_t bytes, std::size_t alignment, std::uint32_t trace,
                                                 checked_cache& k) noexcept
{
  if (checked_heap::deallocate_short<Slots>(k, p, bytes, alignment, trace)) [[likely]] return;
  deallocate_again<Slots>(no_object(), p, bytes, alignment, trace, k);
}

// Tiny blocks in line, the others a jump away: each kind with the registers it needs.

template <class Moves>
GPA_NOINLINE void* allocate_coarse(no_object none, std::size_t bytes, std::size_t alignment, std::uint32_t trace,
                                   checked_cache& k)
{
  none.look_at();
  if (bytes <= small_limit) [[likely]] return allocate_of<coarse_slots<Moves>>(bytes, alignment, trace, k);
  return allocate_or_throw(*k.handle, bytes, alignment, as_caller(trace));
}

template <class Moves>
GPA_NOINLINE void* allocate_larger(no_object none, std::size_t bytes, std::size_t alignment, std::uint32_t trace,
                                   checked_cache& k)
{
  none.look_at();
  if (bytes < fine_bytes) [[likely]] return allocate_of<fine_slots<Moves>>(bytes, alignment, trace, k);
  return allocate_coarse<Moves>(no_object(), bytes, alignment, trace, k);
}

template <class Moves>
GPA_NOINLINE void deallocate_coarse(no_object none, void* p, std::size_t bytes, std::size_t alignment,
                                    std::uint32_t trace, checked_cache& k) noexcept
{
  none.look_at();
  deallocate_of<coarse_slots<Moves>>(p, bytes, alignment, trace, k);
}

template <class Moves>
GPA_NOINLINE void deallocate_larger(no_object none, void* p, std::size_t bytes, std::size_t alignment,
                                    std::uint32_t trace, checked_cache& k) noexcept
{
  none.look_at();
  if (bytes < fine_bytes) [[likely]] return deallocate_of<fine_slots<Moves>>(p, bytes, alignment, trace, k);
  deallocate_coarse<Moves>(no_object(), p, bytes, alignment, trace, k);
}

template <class Moves>
GPA_NOINLINE bool free_larger_untraced(void* p, std::size_t bytes, std::size_t alignment, checked_cache& k) noexcept
{
  if (alignment > 16) return free_short<over_aligned_slots<Moves>>(p, bytes, alignment, no_trace, k);
  return bytes < fine_bytes ? free_short<fine_slots<Moves>>(p, bytes, alignment, no_trace, k)
                            : free_short<coarse_slots<Moves>>(p, bytes, alignment, no_trace, k);
}

[[gnu::always_inline]] inline bool free_untraced(void* p, std::size_t bytes, std::size_t alignment,
                                                 checked_cache& k) noexcept
{
  return bytes < tiny_bytes && alignment <= 16 ? free_short<tiny_slots>(p, bytes, alignment, no_trace, k)
                                               : k.larger.free_untraced(p, bytes, alignment, k);
}

template <class Moves>
constexpr larger_paths larger_paths_with{&allocate_larger<Moves>, &deallocate_larger<Moves>, &allocate_over_aligned<Moves>,
                                         &deallocate_over_aligned<Moves>, &free_larger_untraced<Moves>};

[[gnu::always_inline]] inline void* allocate_of_any_kind(std::size_t bytes, std::size_t alignment, std::uint32_t trace,
                                                   checked_cache& k)
{
  if (bytes < tiny_bytes) return allocate_of<tiny_slots>(bytes, alignment, trace, k);
  return k.larger.allocate(no_object(), bytes, alignment, trace, k);
}

[[gnu::always_inline]] inline void deallocate_of_any_kind(void* p, std::size_t bytes, std::size_t alignment,
                                                    std::uint32_t trace, checked_cache& k) noexcept
{
  if (bytes < tiny_bytes) return deallocate_of<tiny_slots>(p, bytes, alignment, trace, k);
  k.larger.deallocate(no_object(), p, bytes, alignment, trace, k);
}

// The same behind a call stack: looking that up and the shortest path have enough registers each, together they have not.

GPA_NOINLINE void* allocate_tiny(no_object none, std::size_t bytes, std::size_t alignment, std::uint32_t trace,
                                 checked_cache& k)
{
  none.look_at();
  return allocate_of<tiny_slots>(bytes, alignment, trace, k);
}

GPA_NOINLINE void deallocate_tiny(no_object none, void* p, std::size_t bytes, std::size_t alignment, std::uint32_t trace,
                                  checked_cache& k) noexcept
{
  none.look_at();
  deallocate_of<tiny_slots>(p, bytes, alignment, trace, k);
}

[[gnu::always_inline]] inline void* allocate_traced(std::size_t bytes, std::size_t alignment, std::uint32_t trace,
                                                    checked_cache& k)
{
  if (bytes < tiny_bytes) [[likely]] return allocate_tiny(no_object(), bytes, alignment, trace, k);
  return k.larger.allocate(no_object(), bytes, alignment, trace, k);
}

[[gnu::always_inline]] inline void deallocate_traced(void* p, std::size_t bytes, std::size_t alignment,
                                                     std::uint32_t trace, checked_cache& k) noexcept
{
  if (bytes < tiny_bytes) [[likely]] return deallocate_tiny(no_object(), p, bytes, alignment, trace, k);
  k.larger.deallocate(no_object(), p, bytes, alignment, trace, k);
}

// The redzone's line is the one most likely to be far away. Asking for it follows no pointer. Into the second-level cache:
// churn and maps take 2 to 3 % more time where it is asked for into the first (AMD EPYC, family 26).
[[gnu::always_inline]] inline void ask_for_redzone(const void* p, std::size_t bytes) noexcept
{
  __builtin_prefetch(static_cast<const std::byte*>(p) + bytes, 0, 2);
}

// The stack is not the one seen here last.
GPA_NOINLINE void* allocate_from_elsewhere(no_object none, std::size_t bytes, std::size_t alignment,
                                           const void* caller, checked_cache& k)
{
  none.look_at();
  return allocate_traced(bytes, alignment, stack_from_here(k.frames, caller), k);
}

GPA_NOINLINE void deallocate_from_elsewhere(no_object none, void* p, std::size_t bytes, std::size_t alignment,
                                            const void* caller, checked_cache& k) noexcept
{
  none.look_at();
  if (k.free_frames != 0) return deallocate_traced(p, bytes, alignment, stack_from_here(k.free_frames, caller), k);
  if (free_untraced(p, bytes, alignment, k)) [[likely]] return;
  deallocate_generally(*k.handle, p, bytes, alignment, caller);  // a mistake's report wants one
}

}  // namespace

const larger_paths& widest_paths() noexcept
{
  if (avx512_moves::present()) return larger_paths_with<avx512_moves>;
  return avx2_moves::present() ? larger_paths_with<avx2_moves> : larger_paths_with<sse2_moves>;
}

void* allocate_checked(std::pmr::memory_resource&, std::size_t bytes, std::size_t alignment, const void* caller,
                       checked_cache& k)
{
  if (!is_own_caller(caller)) [[unlikely]] return allocate_from_elsewhere(no_object(), bytes, alignment, caller, k);
  const std::uint32_t trace = stack_seen_here(k.frames);
  if (trace == 0) [[unlikely]] return allocate_from_elsewhere(no_object(), bytes, alignment, own_caller(), k);
  return allocate_traced(bytes, alignment, trace, k);
}

void deallocate_checked(std::pmr::memory_resource&, void* p, std::size_t bytes, std::size_t alignment,
                        const void* caller, checked_cache& k) noexcept
{
  ask_for_redzone(p, bytes);
  if (!is_own_caller(caller)) [[unlikely]] return deallocate_from_elsewhere(no_object(), p, bytes, alignment, caller, k);
  const std::uint32_t trace = stack_seen_here(k.free_frames);
  if (trace == 0) [[unlikely]] return deallocate_from_elsewhere(no_object(), p, bytes, alignment, own_caller(), k);
  deallocate_traced(p, bytes, alignment, trace, k);
}

// Nobody needs the number that comes along, but compilers need to see that it is none.

void* allocate_plain(std::pmr::memory_resource&, std::size_t bytes, std::size_t alignment, std::uint32_t /*none*/,
                     checked_cache& k)
{
  return allocate_of_any_kind(bytes, alignment, no_trace, k);
}

void deallocate_plain(std::pmr::memory_resource&, void* p, std::size_t bytes, std::size_t alignment,
                      std::uint32_t /*none*/, checked_cache& k) noexcept
{
  if (bytes >= tiny_bytes) ask_for_redzone(p, bytes);
  deallocate_of_any_kind(p, bytes, alignment, no_trace, k);
}

}  // namespace gpa::detail
