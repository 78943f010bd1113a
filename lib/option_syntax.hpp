// The syntax of GPA_OPTIONS, which is that of the sanitizers: `key=value` separated by colons, commas or white space, a
// value in quotes where it holds one of those. And of the values: flags, numbers, sizes. Pure; views into what was
// given.
#pragma once

#include <gpa/options.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gpa::detail {

enum class setting_flaw : std::uint8_t { none, no_value, open_quote };

struct setting {
  std::string_view key;
  std::string_view value;  // without its quotes
  setting_flaw flaw = setting_flaw::none;
};

/// Takes the next setting off `rest`. False when none is left.
[[nodiscard]] bool take_setting(std::string_view& rest, setting& s) noexcept;

/// 1, 0, true, false, yes, no.
[[nodiscard]] bool parse_flag(std::string_view value, bool& result) noexcept;
/// Decimal, at most `most`.
[[nodiscard]] bool parse_number(std::string_view value, std::uint64_t most, std::uint64_t& result) noexcept;
/// Decimal with k, M or G (each 1024 times more; KiB, MiB, GiB will do) behind it, or "unlimited".
[[nodiscard]] bool parse_size(std::string_view value, std::size_t& result) noexcept;
/// always, never, by_build (which is undecided), one_in(n).
[[nodiscard]] bool parse_checks(std::string_view value, checks& result) noexcept;

/// How many letters must be changed, dropped, added, or swapped with their neighbour to make one word of the other.
/// Looks at the first 32 letters of each.
[[nodiscard]] std::size_t spelling_distance(std::string_view a, std::string_view b) noexcept;

}  // namespace gpa::detail
