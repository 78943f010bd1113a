// The words of a report: one headline a mistake, its rule id, and what the library did about it. Pure.
#pragma once

#include <gpa/report.hpp>

#include "os/text.hpp"

#include <string_view>

namespace gpa::detail {

/// The reason of a late free of which nothing is known any more.
inline constexpr std::string_view memory_is_gone =
    "no memory of this resource holds it: it was given back at deinit(), or was never this resource's";

/// The reason of a call of try_resize() by a thread that the resource does not belong to.
inline constexpr std::string_view resized_from_elsewhere = "resized where it stands";

/// "double free of 72 bytes at 0x55ad33a4b8a0": begins with the enumerator's own words.
void append_headline(text& out, const report& r);

/// "gpa-double-free".
void append_rule(text& out, mistake m);

/// "double-free" for "double free".
void append_dashed(text& out, std::string_view words);

/// Whether the headline already says r.reason.
[[nodiscard]] bool headline_has_reason(const report& r) noexcept;

/// "the free was ignored". Empty for a leak.
[[nodiscard]] std::string_view consequence(const report& r) noexcept;

/// "1 byte", "2 bytes".
[[nodiscard]] constexpr std::string_view bytes_word(std::size_t count) noexcept
{
  return count == 1 ? "byte" : "bytes";
}
[[nodiscard]] constexpr std::string_view blocks_word(std::size_t count) noexcept
{
  return count == 1 ? "block" : "blocks";
}

}  // namespace gpa::detail
