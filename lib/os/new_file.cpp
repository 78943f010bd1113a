#include "os/new_file.hpp"

#include "base/errno_keeper.hpp"
#include "os/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdio>
#include <cstdlib>

namespace gpa::detail {

namespace {

constexpr std::size_t piece = std::size_t{64} << 10;

bool is_same_file(const struct stat& a, const struct stat& b) noexcept
{
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// What the program has open as a stream of its own, whatever it is called here: /dev/stdout, or the file it leads to.
bool is_stream(const struct stat& file) noexcept
{
  for (const int stream : {STDOUT_FILENO, STDERR_FILENO}) {
    struct stat open = {};
    if (::fstat(stream, &open) == 0 && is_same_file(file, open)) return true;
  }
  return false;
}

// "report.json.4711.part": threads have different ones.
void append_name_beside(text& out, std::string_view path) noexcept
{
  std::array<char, 16> number{};
  const char* const end = std::to_chars(number.data(), number.data() + number.size(), ::gettid()).ptr;
  out.append(path);
  out.append(".");
  out.append({number.data(), static_cast<std::size_t>(end - number.data())});
  out.append(".part");
  out.append(1, '\0');
}

}  // namespace

new_file::new_file(std::string_view path) noexcept
{
  const errno_keeper keeper;
  path_.append(path);
  path_.append(1, '\0');
  struct stat there = {};
  const bool exists = ::stat(path_.view().data(), &there) == 0;
  if (exists && (!S_ISREG(there.st_mode) || is_stream(there))) {
    open(path_, O_APPEND, 0644);
    return;
  }
  // Not the link, if it is one, but what it leads to.
  if (std::array<char, PATH_MAX> real; exists && ::realpath(path_.view().data(), real.data()) != nullptr) {
    path_.clear();
    path_.append(real.data());
    path_.append(1, '\0');
  }
  append_name_beside(beside_, path_.view().substr(0, path_.view().size() - 1));
  ::unlink(beside_.view().data());  // of a process of the same number that was killed
  open(beside_, O_EXCL | O_NOFOLLOW, 0644);
  if (descriptor_ != -1 && exists) static_cast<void>(::fchmod(descriptor_, there.st_mode & 07777) == 0);
}

void new_file::open(const text& name, int how, mode_t mode) noexcept
{
  descriptor_ = open_file(name.view().data(), O_WRONLY | O_CREAT | how, mode);
  if (descriptor_ == -1) error_ = errno;
}

new_file::~new_file()
{
  if (descriptor_ == -1) return;
  const errno_keeper keeper;
  ::close(descriptor_);
  if (!beside_.empty()) ::unlink(beside_.view().data());
}

void new_file::flush() noexcept
{
  const errno_keeper keeper;
  std::string_view rest = waiting_.view();
  while (!rest.empty() && error_ == 0) {
    const ssize_t written = ::write(descriptor_, rest.data(), rest.size());
    if (written > 0) {
      rest.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno != EINTR) {
      error_ = errno;
    }
  }
  waiting_.clear();
}

void new_file::write(std::string_view part) noexcept
{
  waiting_.append(part);
  if (waiting_.is_cut()) fail(ENOMEM);
  if (!beside_.empty() && waiting_.view().size() >= piece) flush();
}

int new_file::finish() noexcept
{
  flush();
  if (descriptor_ == -1) return error_;
  const errno_keeper keeper;
  if (::close(descriptor_) != 0 && error_ == 0) error_ = errno;
  descriptor_ = -1;
  if (beside_.empty()) return error_;
  if (error_ == 0 && ::rename(beside_.view().data(), path_.view().data()) != 0) error_ = errno;
  if (error_ != 0) ::unlink(beside_.view().data());
  return error_;
}

}  // namespace gpa::detail
