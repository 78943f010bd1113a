#include "trace/source_line.hpp"

#include "base/no_cancellation.hpp"

#include "trace/format.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

namespace gpa::detail {

namespace {

constexpr std::string_view cut_mark = "...";

class input {
 public:
  // Nothing but regular files: a source name that is a pipe or a terminal would wait for ever.
  explicit input(const char* path) noexcept
      : descriptor_(::open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK))
  {
    struct stat about;
    if (descriptor_ >= 0 && (::fstat(descriptor_, &about) != 0 || !S_ISREG(about.st_mode))) close();
  }
  ~input() { close(); }
  input(const input&) = delete;
  input& operator=(const input&) = delete;

  std::string_view read() noexcept
  {
    if (descriptor_ < 0 || total_ >= searched_bytes) return {};
    ssize_t count = 0;
    do {
      count = ::read(descriptor_, buffer_.data(), buffer_.size());
    } while (count < 0 && errno == EINTR);
    if (count <= 0) return {};
    total_ += static_cast<std::size_t>(count);
    return {buffer_.data(), static_cast<std::size_t>(count)};
  }

 private:
  void close() noexcept
  {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
  }

  no_cancellation steady_;
  int descriptor_;
  std::size_t total_ = 0;
  std::array<char, 16'384> buffer_;
};

bool continues_character(char c) noexcept
{
  return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

bool is_control(char c) noexcept
{
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
}

}  // namespace

bool read_source_line(const char* path, std::uint32_t line, metadata_string& out)
{
  out.clear();
  if (line == 0) return false;
  input file(path);
  std::uint32_t at = 1;
  bool begun = false;
  for (std::string_view chunk = file.read(); !chunk.empty(); chunk = file.read()) {
    while (!chunk.empty()) {
      const std::size_t end = chunk.find('\n');
      const std::string_view piece = chunk.substr(0, end);
      if (at == line) {
        out.append(piece);
        begun = true;
      }
      if (end == std::string_view::npos) break;
      if (at++ == line) return true;
      chunk.remove_prefix(end + 1);
    }
  }
  return begun;  // the last line of a file that does not end in a newline
}

void append_excerpt(text& out, const char* path, std::uint32_t line, std::uint32_t column,
                    const painter& paint)
{
  metadata_string whole;
  if (!read_source_line(path, line, whole)) return;
  if (whole.ends_with('\r')) whole.pop_back();
  if (column > whole.size() + 1) column = 0;  // the file is not the one that was compiled

  // What is shown: [begin, begin + shown.size()) of the line, with "..." where something is missing.
  std::size_t begin = 0;
  if (column > longest_excerpt - 20) begin = column - longest_excerpt / 2;
  while (begin != 0 && begin < whole.size() && continues_character(whole[begin])) ++begin;
  std::size_t end = std::min(whole.size(), begin + longest_excerpt);
  while (end < whole.size() && continues_character(whole[end])) --end;
  const std::string_view shown = std::string_view(whole).substr(begin, end - begin);

  absl::Format(&out, "%5u | %s", line, begin != 0 ? cut_mark : std::string_view());
  for (const char c : shown) out.append(1, is_control(c) && c != '\t' ? ' ' : c);
  out.append(end != whole.size() ? cut_mark : std::string_view());
  out.append("\n");
  if (column == 0) return;

  out.append("      | ");
  out.append(begin != 0 ? cut_mark.size() : 0, ' ');
  for (const char c : shown.substr(0, column - 1 - begin))
    if (!continues_character(c)) out.append(1, c == '\t' ? '\t' : ' ');
  paint.put(color::caret, "^");
  out.append("\n");
}

}  // namespace gpa::detail
