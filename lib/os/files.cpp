#include "os/files.hpp"

#include "base/no_cancellation.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace gpa::detail {

namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";  // with which some editors begin a file

}  // namespace

int open_file(const char* path, int flags, mode_t mode) noexcept
{
  const int file = ::open(path, flags | O_CLOEXEC | O_NOCTTY, mode);
  if (file < 0 || file > STDERR_FILENO) return file;
  const int above = ::fcntl(file, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  const int error = errno;
  ::close(file);
  errno = error;
  return above;
}

bool append_file(text& out, const char* path) noexcept
{
  const no_cancellation steady;
  const int file = open_file(path, O_RDONLY);
  if (file < 0) return false;
  std::array<char, 4096> piece{};
  std::size_t total = 0;
  int error = 0;
  while (error == 0) {
    const ssize_t count = ::read(file, piece.data(), piece.size());
    if (count == 0) break;
    if (count < 0) {
      error = errno == EINTR ? 0 : errno;
    } else if ((total += static_cast<std::size_t>(count)) > longest_file) {
      error = EFBIG;
    } else {
      const std::string_view read(piece.data(), static_cast<std::size_t>(count));
      const bool marked = total == read.size() && read.starts_with(byte_order_mark);
      out.append(read.substr(marked ? byte_order_mark.size() : 0));
    }
  }
  ::close(file);
  errno = error;
  return error == 0;
}

bool append_to_file(const char* path, const text& t) noexcept
{
  const no_cancellation steady;
  const int file = open_file(path, O_WRONLY | O_APPEND | O_CREAT, 0644);
  if (file < 0) return false;
  if (t.write_to(file)) return ::close(file) == 0 || errno == EINTR;  // some file systems tell of no space only here
  const int error = errno;
  ::close(file);
  errno = error;
  return false;
}

std::string_view executable_path(std::array<char, 4096>& to) noexcept
{
  const ssize_t length = ::readlink(own_executable, to.data(), to.size());
  return {to.data(), length > 0 ? static_cast<std::size_t>(length) : 0};
}

}  // namespace gpa::detail
