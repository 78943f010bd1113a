// First segments of resources that are no more, for those to come: a program that makes a resource for each request, or for
// each test, does not ask the system for memory each time, and does not have its pages faulted in again.
//
// Four at most, of 1 MiB each, with whatever pages they have; the last one returned is the first one taken.
//
// Thread-safe, without a lock: a place is emptied or filled by one exchange.
#pragma once

#include <cstddef>

namespace gpa::detail {

inline constexpr std::size_t stock_segment = std::size_t{1} << 20;

/// Null when there is none. What is in it is anything.
[[nodiscard]] std::byte* take_from_stock() noexcept;
/// False when there is no room for one more.
[[nodiscard]] bool put_into_stock(std::byte* segment) noexcept;
/// Gives all of them back to the system.
void empty_stock() noexcept;

}  // namespace gpa::detail
