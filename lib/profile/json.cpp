#include "profile/json.hpp"

#include "os/new_file.hpp"
#include "trace/format.hpp"

#include <cerrno>

namespace gpa::detail {

namespace {

// Bytes of the UTF-8 character that `words` begins with; 0 if it is none. (Overlong forms, surrogates and what lies
// past U+10FFFF are none: Unicode 15, table 3-7.)
std::size_t character_size(std::string_view words) noexcept
{
  const auto byte = [&words](std::size_t i) {
    return i < words.size() ? static_cast<unsigned char>(words[i]) : static_cast<unsigned char>(0);
  };
  const auto between = [&byte](std::size_t i, unsigned low, unsigned high) {
    return byte(i) >= low && byte(i) <= high;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return between(1, 0x80, 0xBF) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const bool second = between(1, first == 0xE0 ? 0xA0U : 0x80U, first == 0xED ? 0x9FU : 0xBFU);
    return second && between(2, 0x80, 0xBF) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const bool second = between(1, first == 0xF0 ? 0x90U : 0x80U, first == 0xF4 ? 0x8FU : 0xBFU);
    return second && between(2, 0x80, 0xBF) && between(3, 0x80, 0xBF) ? 4 : 0;
  }
  return 0;
}

void append_escaped(text& out, std::string_view words) noexcept
{
  while (!words.empty()) {
    const std::size_t size = character_size(words);
    const char c = words[0];
    if (size == 0) {
      out.append("\\ufffd");
    } else if (c == '"' || c == '\\') {
      out.append(1, '\\');
      out.append(1, c);
    } else if (c >= '\0' && c < ' ') {
      absl::Format(&out, "\\u%04x", static_cast<unsigned>(c));
    } else {
      out.append(words.substr(0, size));
    }
    words.remove_prefix(size == 0 ? 1 : size);
  }
}

}  // namespace

void json::separate() noexcept
{
  if (!first_) out_.write(",");
  if (line_) out_.write("\n");
  first_ = line_ = false;
}

json& json::line() noexcept
{
  line_ = true;
  return *this;
}

json& json::begin(char c) noexcept
{
  separate();
  out_.write({&c, 1});
  first_ = true;
  return *this;
}

json& json::end(char c) noexcept
{
  if (line_) out_.write("\n");
  line_ = first_ = false;
  out_.write({&c, 1});
  return *this;
}

json& json::raw(std::string_view words) noexcept
{
  separate();
  out_.write(words);
  if (escaped_.is_cut()) out_.fail(ENOMEM);
  return *this;
}

json& json::key(std::string_view name) noexcept
{
  string(name);
  out_.write(":");
  first_ = true;  // no comma before the value
  return *this;
}

json& json::string(std::string_view words) noexcept
{
  escaped_.clear();
  escaped_.append("\"");
  append_escaped(escaped_, words);
  escaped_.append("\"");
  return raw(escaped_.view());
}

json& json::number(std::uint64_t n) noexcept
{
  escaped_.clear();
  absl::Format(&escaped_, "%d", n);
  return raw(escaped_.view());
}

json& json::address(std::uintptr_t a) noexcept
{
  escaped_.clear();
  absl::Format(&escaped_, "\"0x%x\"", a);
  return raw(escaped_.view());
}

}  // namespace gpa::detail
