// Arithmetic on sizes and addresses. Every power of two is the caller's promise, and so is that nothing overflows.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace gpa::detail {

template <std::unsigned_integral Word>
[[nodiscard]] constexpr bool is_power_of_two(Word value) noexcept
{
  return std::has_single_bit(value);
}

/// The multiple of `unit` at or below `value`; `unit` is a power of two.
template <std::unsigned_integral Word>
[[nodiscard]] constexpr Word round_down(Word value, std::type_identity_t<Word> unit) noexcept
{
  return static_cast<Word>(value & ~(unit - 1u));
}

/// The multiple of `unit` at or above `value`; `unit` is a power of two.
template <std::unsigned_integral Word>
[[nodiscard]] constexpr Word round_up(Word value, std::type_identity_t<Word> unit) noexcept
{
  return round_down(static_cast<Word>(value + (unit - 1u)), unit);
}

/// The largest n with 2^n <= value; `value` is not 0.
template <std::unsigned_integral Word>
[[nodiscard]] constexpr unsigned log2_down(Word value) noexcept
{
  return static_cast<unsigned>(std::bit_width(value)) - 1u;
}

/// The smallest n with value <= 2^n; `value` is not 0.
template <std::unsigned_integral Word>
[[nodiscard]] constexpr unsigned log2_up(Word value) noexcept
{
  return static_cast<unsigned>(std::bit_width(static_cast<Word>(value - 1u)));
}

[[nodiscard]] inline std::uintptr_t address(const volatile void* p) noexcept
{
  return reinterpret_cast<std::uintptr_t>(p);
}

[[nodiscard]] inline bool is_aligned(const volatile void* p, std::size_t alignment) noexcept
{
  return (address(p) & (alignment - 1)) == 0;
}

}  // namespace gpa::detail
