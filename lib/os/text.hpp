// A text that is collected whole and written at once, so that reports of several threads never interleave.
//
// Grows in metadata memory: usable in static destruction, inside a broken heap and while the user's operator new is
// replaced. What no longer fits when memory is refused is dropped, and the text says so at its end.
//
// Not thread-safe: its maker owns it.
#pragma once

#include <cstddef>
#include <string_view>

namespace gpa::detail {

/// What a terminal is shown for it: '?' for a control character.
[[nodiscard]] constexpr char printable(char c) noexcept
{
  return static_cast<unsigned char>(c) < ' ' || c == 127 ? '?' : c;
}

/// The same for a whole name, in place: also the controls that are two bytes in UTF-8 (U+0080 to U+009F).
template <class String>
constexpr void make_printable(String& s) noexcept
{
  for (std::size_t i = 0; i != s.size(); ++i) {
    s[i] = printable(s[i]);
    const bool begins_control = s[i] == '\xC2' && i + 1 != s.size() && static_cast<unsigned char>(s[i + 1]) < 0xA0;
    if (begins_control) s[i] = s[i + 1] = '?';
  }
}

/// The first `most` bytes of a name, or a few less: no character of UTF-8 is cut in two.
[[nodiscard]] constexpr std::string_view shortened_to(std::string_view name, std::size_t most) noexcept
{
  if (name.size() <= most) return name;
  constexpr auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; };
  std::size_t end = most;
  while (end != 0 && most - end < 3 && continues(name[end])) --end;
  return name.substr(0, continues(name[end]) ? most : end);  // else it is no UTF-8
}

class text {
 public:
  text() noexcept = default;
  ~text();
  text(const text&) = delete;
  text& operator=(const text&) = delete;

  void append(std::string_view part) noexcept;
  void append(std::size_t count, char c) noexcept;
  /// What somebody wrote, in quotes: not whole if it is long, and no control characters.
  void append_quoted(std::string_view words) noexcept;
  [[nodiscard]] std::string_view view() const noexcept { return {data_, size_}; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  /// Whether there was no memory for all of it.
  [[nodiscard]] bool is_cut() const noexcept { return cut_; }
  void clear() noexcept
  {
    size_ = 0;
    cut_ = false;
  }

  /// To stderr in one write(2), more only when the system takes less. Keeps errno.
  void write_to_stderr() const noexcept;
  /// The same to an open file. False, and errno, when not all was written.
  [[nodiscard]] bool write_to(int descriptor) const noexcept;

  /// Makes `absl::Format(&text, ...)` work. A template because Debian's absl::string_view is a type of its own, and
  /// Abseil has its door elsewhere.
  template <class View>
  friend void AbslFormatFlush(text* sink, const View& part)
  {
    sink->append(std::string_view(part.data(), part.size()));
  }

 private:
  [[nodiscard]] bool make_room(std::size_t bytes) noexcept;
  [[nodiscard]] std::size_t cut(std::size_t bytes) noexcept;
  void append_cut_mark() noexcept;

  char* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
  bool cut_ = false;
};

}  // namespace gpa::detail
