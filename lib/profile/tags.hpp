// Names of tags, and the 16-bit numbers that the depot keeps beside a call stack.
//
// An append-only table: a name is copied once and its number never changes, so look-up takes no lock and needs nothing
// for fork. Bounded: number `other_tags` stands for every name beyond `most_tags`.
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <string_view>

namespace gpa::detail {

inline constexpr std::uint16_t most_tags = 1023;
inline constexpr std::uint16_t other_tags = most_tags + 1;

/// 0 for an empty name. Never throws; `other_tags` where there is no room or no memory for the name.
[[nodiscard]] std::uint16_t tag_number(std::string_view name) noexcept;

/// Empty for 0. Valid for the life of the process.
[[nodiscard]] std::string_view tag_name(std::uint16_t number) noexcept;

}  // namespace gpa::detail
