// Colours of a report on a terminal: those of a compiler's diagnostics. Switched off, nothing is added: the plain text
// is the coloured one without its escape sequences.
#pragma once

#include "os/text.hpp"

#include <cstdint>
#include <string_view>

namespace gpa::detail {

enum class color : std::uint8_t { location, error, warning, note, caret, headline };

/// The SGR sequence that turns it on.
[[nodiscard]] constexpr std::string_view escape_of(color c) noexcept
{
  switch (c) {
    case color::location:
    case color::headline: return "\x1b[1m";
    case color::error: return "\x1b[1;31m";
    case color::warning: return "\x1b[1;35m";
    case color::note: return "\x1b[1;36m";
    case color::caret: return "\x1b[1;32m";
  }
  return {};
}

/// Not thread-safe: its maker owns it, and the text.
class painter {
 public:
  painter(text& out, bool on) noexcept : out_(out), on_(on) {}

  void begin(color c) const noexcept
  {
    if (on_) out_.append(escape_of(c));
  }
  void end() const noexcept
  {
    if (on_) out_.append("\x1b[m");
  }
  void put(color c, std::string_view words) const noexcept
  {
    begin(c);
    out_.append(words);
    end();
  }

 private:
  text& out_;
  bool on_;
};

}  // namespace gpa::detail
