#include "tools/plain_text.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>

namespace gpa::tools {

namespace {

constexpr char replacement = '?';

constexpr bool is_printable_ascii(char c) noexcept
{
  return c >= ' ' && c <= '~';
}

}  // namespace

std::size_t character_length(std::string_view text) noexcept
{
  if (text.empty()) return 0;
  const auto first = static_cast<unsigned char>(text.front());
  if (first < 0x80) return 1;
  const std::size_t length = first < 0xC0 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF8 ? 4 : 0;
  if (length == 0 || text.size() < length) return 0;
  std::uint32_t code = first & (0x7FU >> length);
  for (std::size_t i = 1; i != length; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xC0) != 0x80) return 0;
    code = code << 6 | (byte & 0x3FU);
  }
  // Written longer than it need be, half of a pair of UTF-16, or past the last one.
  constexpr std::array<std::uint32_t, 5> smallest = {0, 0, 0x80, 0x800, 0x10000};
  return code < smallest[length] || (code >= 0xD800 && code < 0xE000) || code > 0x10FFFF ? 0 : length;
}

std::string without_controls(std::string_view text)
{
  if (std::all_of(text.begin(), text.end(), is_printable_ascii)) return std::string(text);
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = character_length(text);
    // C1 is U+0080 to U+009F: C2 80 to C2 9F.
    const bool stays = length == 1 ? is_printable_ascii(text.front())
                                   : length != 0 && (text.substr(0, 2) < "\xC2\x80" || text.substr(0, 2) > "\xC2\x9F");
    if (stays) {
      out.append(text, 0, length);
    } else {
      out += replacement;
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

void tell(std::string_view message)
{
  std::fprintf(stderr, "gpa-report: %s\n", without_controls(message).c_str());
}

}  // namespace gpa::tools
