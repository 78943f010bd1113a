// The memory_resource that gpa::resource::allocator() hands out: the same front door as the resource's own, in memory
// that stays while blocks are live.
#pragma once

#include <gpa/resource.hpp>

namespace gpa::detail {

class late_handle final : public std::pmr::memory_resource {
 public:
  late_handle() noexcept = default;
  ~late_handle() override;

  front door;

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override;
  void do_deallocate(void* p, std::size_t bytes, std::size_t alignment) override;
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override;
};

/// The front door of the resource that `r` is, or whose allocator() carries it; null for other resources.
[[nodiscard]] const front* front_of(const std::pmr::memory_resource& r) noexcept;

/// Its birth number, or 0.
[[nodiscard]] inline std::uint64_t birth_of(const std::pmr::memory_resource& r) noexcept
{
  const front* const door = front_of(r);
  return door == nullptr ? 0 : door->birth;
}

/// Whether that is the door of the same resource. Births are counted by each copy of this library that a process has
/// loaded, and types are the same in all of them: the core is not.
[[nodiscard]] inline bool is_door_of(const front& door, const std::pmr::memory_resource& r) noexcept
{
  const front* const other = front_of(r);
  return other != nullptr && other->birth == door.birth && other->heart == door.heart;
}

}  // namespace gpa::detail
