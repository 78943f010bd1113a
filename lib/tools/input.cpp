#include "tools/input.hpp"

#include "tools/plain_text.hpp"
#include "tools/read_document.hpp"
#include "tools/stack_sizes.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>

namespace gpa::tools {

namespace {

constexpr std::size_t large_file = std::size_t{8} << 20;
constexpr std::size_t largest_file = std::size_t{2} << 30;  // five million sites

struct closer {
  void operator()(std::FILE* f) const noexcept
  {
    if (f != stdin) std::fclose(f);
  }
};

[[noreturn]] void refuse_size()
{
  throw refusal("larger than " + size_text(static_cast<double>(largest_file)) + ", as no report is");
}

void check_kind(const struct stat& s)
{
  if (S_ISDIR(s.st_mode)) throw refusal(std::strerror(EISDIR));
  // A device may have no end.
  if (!S_ISREG(s.st_mode) && !S_ISFIFO(s.st_mode)) throw refusal("neither a file nor a pipe");
  if (S_ISREG(s.st_mode) && static_cast<std::size_t>(s.st_size) > largest_file) refuse_size();
}

std::unique_ptr<std::FILE, closer> opened(const std::string& path)
{
  if (path == "-") return std::unique_ptr<std::FILE, closer>(stdin);
  // Looked at before, since to open a device may already do something, and after, since by then it may be another.
  struct stat s {};
  if (::stat(path.c_str(), &s) != 0) throw refusal(std::strerror(errno));
  check_kind(s);
  std::unique_ptr<std::FILE, closer> file(std::fopen(path.c_str(), "rbe"));
  if (!file || ::fstat(::fileno(file.get()), &s) != 0) throw refusal(std::strerror(errno));
  check_kind(s);
  return file;
}

std::string contents_of(const std::string& path)
{
  const std::unique_ptr<std::FILE, closer> file = opened(path);
  std::string text;
  std::string piece(std::size_t{1} << 20, '\0');
  std::size_t count = 0;
  while ((count = std::fread(piece.data(), 1, piece.size(), file.get())) != 0) {
    text.append(piece, 0, count);
    if (text.size() > largest_file) refuse_size();
  }
  if (std::ferror(file.get()) != 0) throw refusal(std::strerror(errno));
  return text;
}

// How far it is, on a terminal alone. Gone when it is no longer true, be it for a refusal.
class progress_line {
 public:
  progress_line(const std::string& path, bool wanted)
      : path_(without_controls(path)), shown_(wanted && ::isatty(STDERR_FILENO) != 0)
  {}
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
    check_stacks(d, text.size());
    return d;
  } catch (const refusal& r) {
    throw refusal(path + ": " + r.what());
  } catch (const std::bad_alloc&) {
    throw refusal(path + ": there is not enough memory to read it");
  }
}

bool is_same_file(const std::string& input, const std::string& output)
{
  struct stat in {};
  struct stat out {};
  const bool is_there = input == "-" ? ::fstat(STDIN_FILENO, &in) == 0 : ::stat(input.c_str(), &in) == 0;
  return is_there && ::stat(output.c_str(), &out) == 0 && S_ISREG(out.st_mode) && in.st_dev == out.st_dev &&
         in.st_ino == out.st_ino;
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
