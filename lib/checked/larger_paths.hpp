// The short path of blocks of 128 bytes and more, and of over-aligned ones, with one kind of instructions: each cache has
// those that its CPU allows, a jump away from the front door (checked_door.cpp).
#pragma once

#include <cstddef>
#include <cstdint>

namespace gpa::detail {

struct checked_cache;

/// In the place of the object, which is not wanted any more, and would take a register: so all other arguments stay in the
/// registers they came in. Compilers drop an argument that nobody looks at, and move the others up.
class no_object {
 public:
  [[gnu::always_inline]] no_object() noexcept { asm("" : "=D"(whatever_)); }
  [[gnu::always_inline]] void look_at() const noexcept { asm volatile("" : : "r"(whatever_)); }

 private:
  std::uintptr_t whatever_;
};

struct larger_paths {
  using allocating = void*(no_object, std::size_t bytes, std::size_t alignment, std::uint32_t trace, checked_cache& k);
  using freeing = void(no_object, void* p, std::size_t bytes, std::size_t alignment, std::uint32_t trace,
                       checked_cache& k) noexcept;
  allocating* allocate = nullptr;
  freeing* deallocate = nullptr;
  allocating* allocate_over_aligned = nullptr;
  freeing* deallocate_over_aligned = nullptr;
  /// What is freed without a call stack, in a resource that keeps those of allocations. Aligned as they like.
  bool (*free_untraced)(void* p, std::size_t bytes, std::size_t alignment, checked_cache& k) noexcept = nullptr;
};

}  // namespace gpa::detail
