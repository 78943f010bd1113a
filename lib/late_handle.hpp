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

/// The birth number of the resource that `r` is, or whose allocator() carries it; 0 for other resources.
[[nodiscard]] std::uint64_t birth_of(const std::pmr::memory_resource& r) noexcept;

}  // namespace gpa::detail
