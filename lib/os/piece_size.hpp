// The sizes that metadata is cut into: powers of two, and between two of them, below a page, three quarters of the larger.
#pragma once

#include "base/bits.hpp"
#include "os/pages.hpp"

#include <bit>
#include <cstddef>

namespace gpa::detail {

inline constexpr std::size_t smallest_piece = 64;
inline constexpr std::size_t largest_piece = std::size_t{1} << 20;
inline constexpr std::size_t smallest_between = 192;
inline constexpr std::size_t piece_sizes = 2 * (log2_down(largest_piece) - log2_down(smallest_piece)) + 1;

constexpr std::size_t piece_size(std::size_t bytes) noexcept
{
  if (bytes <= smallest_piece) return smallest_piece;
  const std::size_t power = std::bit_ceil(bytes);
  const std::size_t between = power / 4 * 3;
  return bytes <= between && between >= smallest_between && power <= page_size ? between : power;
}

// As aligned as the size: 4 KiB at most, and 64 bytes at least.
constexpr std::size_t piece_alignment(std::size_t size) noexcept
{
  return size < page_size ? size & (~size + 1) : page_size;
}

// Of a size from smallest_piece on.
constexpr std::size_t piece_index(std::size_t size) noexcept
{
  const std::size_t power = log2_down(size);
  return 2 * (power - log2_down(smallest_piece)) + (size != std::size_t{1} << power ? 1 : 0);
}

constexpr std::size_t piece_size_at(std::size_t index) noexcept
{
  const std::size_t power = smallest_piece << index / 2;
  return power + (index % 2) * power / 2;
}

}  // namespace gpa::detail
