#include "os/files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace gpa::detail {

bool append_file(text& out, const char* path) noexcept
{
  const int file = ::open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (file < 0) return false;
  std::array<char, 4096> piece{};
  ssize_t count = 0;
  for (std::size_t total = 0; total < longest_file; total += count> 0 ? static_cast<std::size_t>(count) : 0) {
    count = ::read(file, piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    out.append({piece.data(), static_cast<std::size_t>(count)});
  }
  const int error = errno;
  ::close(file);
  errno = error;
  return count >= 0;
}

bool append_to_file(const char* path, const text& t) noexcept
{
  const int file = ::open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
  if (file < 0) return false;
  if (t.write_to(file)) return ::close(file) == 0 || errno == EINTR;  // some file systems tell of no space only here
  const int error = errno;
  ::close(file);
  errno = error;
  return false;
}

std::string_view executable_path(std::array<char, 4096>& to) noexcept
{
  const ssize_t length = ::readlink("/proc/self/exe", to.data(), to.size());
  return {to.data(), length > 0 ? static_cast<std::size_t>(length) : 0};
}

}  // namespace gpa::detail
