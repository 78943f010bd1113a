// Segments of resources that are no more, for those to come: a program that makes a resource for each request, or for each
// test, does not ask the system for memory each time, and does not have its pages faulted in again.
//
// Two stocks. That of unchecked resources has segments with whatever pages they have, four of 1 MiB, two of 2 MiB and one
// of 4 MiB, which is what a resource begins with; it gives the newest. That of checked ones has four of 1 MiB, and is
// inaccessible, so that whoever still uses a block of a resource that is no more is stopped by a fault; it gives the
// oldest, and not the newest: unless two threads end and begin resources at one moment, the next resource does not stand
// where the last one did.
//
// Thread-safe, without a lock: a place is emptied or filled by one exchange.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gpa::detail {

inline constexpr std::size_t stock_segment = std::size_t{1} << 20;  // the first of each resource

enum class stock : std::uint8_t { open, closed };

/// Whether that stock has segments of this size.
[[nodiscard]] bool has_place_for(stock which, std::size_t bytes) noexcept;
/// Accessible; what is in it is anything. Null when there is none.
[[nodiscard]] std::byte* take_from(stock which, std::size_t bytes = stock_segment) noexcept;
/// The oldest one goes back to the system if there is no room. has_place_for() it.
void put_into(stock which, std::byte* segment, std::size_t bytes = stock_segment) noexcept;
/// Gives all of them back to the system.
void empty_stocks() noexcept;

}  // namespace gpa::detail
