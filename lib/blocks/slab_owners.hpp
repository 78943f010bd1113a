// When a thread gets a slab of its own although others have free slots of its class: the rule of both heaps.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace gpa::detail {

/// Of a class, for whom slots may lie free. Threads that had blocks of it once, and none any more, count as owners too.
inline constexpr std::uint32_t most_owners = 16;

/// So many slots may: a slab for each owner, one more, and an eighth of what is used. `of_a_slab`: how many it has.
[[nodiscard]] constexpr bool room_for_an_own_slab(std::size_t slots, std::size_t free, std::uint32_t owners,
                                                  std::size_t of_a_slab) noexcept
{
  return free <= (std::min(owners, most_owners) + std::size_t{1}) * of_a_slab + (slots - free) / 8;
}

}  // namespace gpa::detail
