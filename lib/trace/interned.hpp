// Words that reports refer to for the rest of the process: names of resources, reasons with numbers in them.
//
// Equal texts are kept once. Reasons are bounded: after 4 096 a new one is answered with a general one ("see the numbers
// of this report"), so that a program that goes on after a million mistakes does not grow. Names are not, as there are
// no more of them than resources were made.
//
// Thread-safe: one lock, held for a look-up.
#pragma once

#include "trace/format.hpp"

#include <string_view>

namespace gpa::detail {

/// A copy of `words` that is never freed.
[[nodiscard]] std::string_view interned(std::string_view words) noexcept;
[[nodiscard]] std::string_view interned_name(std::string_view words) noexcept;

template <class... Arguments>
[[nodiscard]] std::string_view interned_format(const absl::FormatSpec<Arguments...>& format,
                                               const Arguments&... arguments) noexcept
{
  text words;
  absl::Format(&words, format, arguments...);
  return interned(words.view());
}

/// For fork.
void interned_lock() noexcept;
void interned_unlock() noexcept;

}  // namespace gpa::detail
