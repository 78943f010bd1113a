#include "tools/input.hpp"

#include "tools/plain_text.hpp"
#include "tools/read_document.hpp"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace gpa::tools {

namespace {

constexpr std::size_t large_file = std::size_t{8} << 20;

struct closer {
  void operator()(std::FILE* f) const noexcept
  {
    if (f != stdin) std::fclose(f);
  }
};

std::string contents_of(const std::string& path)
{
  const std::unique_ptr<std::FILE, closer> file(path == "-" ? stdin : std::fopen(path.c_str(), "rbe"));
  std::string text;
  std::string piece(std::size_t{1} << 20, '\0');
  std::size_t count = 0;
  if (file)
    while ((count = std::fread(piece.data(), 1, piece.size(), file.get())) != 0) text.append(piece, 0, count);
  if (!file || std::ferror(file.get()) != 0) throw refusal(std::strerror(errno));
  return text;
}

// How far it is, on a terminal alone. Gone when it is no longer true, be it for a refusal.
class progress_line {
 public:
  progress_line(const std::string& path, bool wanted) : path_(without_controls(path)), shown_(wanted && ::isatty(STDERR_FILENO) != 0) {}
  ~progress_line() { clear(); }
  progress_line(const progress_line&) = delete;
  progress_line& operator=(const progress_line&) = delete;

  [[nodiscard]] progress teller() const
  {
    if (!shown_) return {};
    return [this](double done) { std::fprintf(stderr, "\rreading %s: %2.0f %%", path_.c_str(), 100 * done); };
  }
  void clear() const
  {
    if (shown_) std::fputs("\r\x1b[K", stderr);
  }

 private:
  std::string path_;
  bool shown_;
};

}  // namespace

document load(const std::string& path, const symbol_files& symbols, notes told)
{
  try {
    const std::string text = contents_of(path);
    const progress_line line(path, told == notes::to_stderr && text.size() >= large_file);
    document d = read_document(text, line.teller());
    line.clear();
    const std::vector<std::string> unnamed = look_up_symbols(d, symbols);
    if (told == notes::to_stderr)
      for (const std::string& note : unnamed) tell("note: " + note);
    shorten_paths(d);
    name_unknown_frames(d);
    return d;
  } catch (const refusal& r) {
    throw refusal(path + ": " + r.what());
  }
}

void store(const std::string& path, const std::string& text)
{
  std::FILE* const file = path.empty() ? stdout : std::fopen(path.c_str(), "wbe");
  if (file == nullptr) throw refusal(path + ": " + std::strerror(errno));
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size() && std::fflush(file) == 0;
  const int error = errno;
  if (file != stdout && std::fclose(file) != 0 && written) throw refusal(path + ": " + std::strerror(errno));
  if (!written) throw refusal((path.empty() ? "standard output" : path) + ": " + std::strerror(error));
}

}  // namespace gpa::tools
