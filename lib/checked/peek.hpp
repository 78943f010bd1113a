// Reading the user's memory while the user may be writing to it, or where the sanitizers were told that it is closed.
#pragma once

#include "base/attributes.hpp"
#include "os/pages.hpp"

#include <cstddef>
#include <cstdint>

namespace gpa::detail {

/// Users may close whole pages of their own blocks: whether there is one in such a range.
[[nodiscard]] inline bool may_be_closed(const std::byte* begin, std::size_t bytes) noexcept
{
  const auto offset = reinterpret_cast<std::uintptr_t>(begin) % page_size;
  return bytes >= page_size + (offset == 0 ? 0 : page_size - offset);
}

[[nodiscard]] GPA_NO_SANITIZE inline std::uintptr_t word_at(const std::byte* place) noexcept
{
  return *reinterpret_cast<const volatile std::uintptr_t*>(place);
}

[[nodiscard]] GPA_NO_SANITIZE inline std::uint8_t byte_at(const std::byte* place) noexcept
{
  return *reinterpret_cast<const volatile std::uint8_t*>(place);
}

GPA_NO_SANITIZE inline void copy_bytes(std::byte* to, const std::byte* from, std::size_t bytes) noexcept
{
  std::size_t i = 0;
  if ((reinterpret_cast<std::uintptr_t>(to) | reinterpret_cast<std::uintptr_t>(from)) % sizeof(std::uintptr_t) == 0)
    for (; i + sizeof(std::uintptr_t) <= bytes; i += sizeof(std::uintptr_t))
      *reinterpret_cast<volatile std::uintptr_t*>(to + i) = word_at(from + i);
  for (; i != bytes; ++i) *reinterpret_cast<volatile std::uint8_t*>(to + i) = byte_at(from + i);
}

}  // namespace gpa::detail
