#include "allocation_numbers.hpp"

#include <new>

namespace gpa::detail {

void allocation_numbers::put(const void* block, std::uint64_t number) noexcept
{
  const mutex_guard guard(lock_);
  try {
    numbers_[block] = number;
  } catch (const std::bad_alloc&) {
    numbers_.erase(block);  // no number is better than that of the block before
  }
}

std::uint64_t allocation_numbers::of(const void* block) noexcept
{
  const mutex_guard guard(lock_);
  const auto found = numbers_.find(block);
  return found == numbers_.end() ? 0 : found->second;
}

}  // namespace gpa::detail
