#include "os/text.hpp"

#include "base/errno_keeper.hpp"
#include "base/no_cancellation.hpp"
#include "os/metadata.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

namespace gpa::detail {

namespace {

constexpr std::size_t first_capacity = 1024;
constexpr std::string_view cut_mark = "\n(cut here: no memory)\n";
static_assert(cut_mark.size() < first_capacity, "the mark always fits once anything does");

bool write_all(int descriptor, std::string_view rest) noexcept
{
  const no_cancellation steady;
  while (!rest.empty()) {
    const ssize_t written = ::write(descriptor, rest.data(), rest.size());
    if (written > 0) {
      rest.remove_prefix(static_cast<std::size_t>(written));
    } else if (written == 0 || errno != EINTR) {
      if (written == 0) errno = EIO;
      return false;  // closed, a full disk, a full pipe nobody reads
    }
  }
  return true;
}

}  // namespace

text::~text()
{
  if (data_ != nullptr) metadata_free(data_, capacity_);
}

bool text::make_room(std::size_t bytes) noexcept
{
  if (bytes <= capacity_ - size_) return true;
  if (bytes > std::numeric_limits<std::size_t>::max() / 4 - size_) return false;
  std::size_t wanted = std::max(capacity_, first_capacity);
  while (wanted < size_ + bytes) wanted *= 2;
  void* const fresh = metadata_allocate(wanted);
  if (fresh == nullptr) return false;
  if (data_ != nullptr) {
    std::memcpy(fresh, data_, size_);
    metadata_free(data_, capacity_);
  }
  data_ = static_cast<char*>(fresh);
  capacity_ = wanted;
  return true;
}

// Keeps the front: a report says what matters first. Returns how much of `bytes` still fits.
std::size_t text::cut(std::size_t bytes) noexcept
{
  cut_ = true;
  const std::size_t room = capacity_ == 0 ? 0 : capacity_ - cut_mark.size();
  return size_ < room ? std::min(bytes, room - size_) : 0;
}

void text::append_cut_mark() noexcept
{
  if (capacity_ == 0) return;
  size_ = std::min(size_, capacity_ - cut_mark.size());
  std::memcpy(data_ + size_, cut_mark.data(), cut_mark.size());
  size_ += cut_mark.size();
}

void text::append(std::string_view part) noexcept
{
  if (cut_ || part.empty()) return;
  const bool whole = make_room(part.size());
  const std::size_t taken = whole ? part.size() : cut(part.size());
  if (taken != 0) std::memcpy(data_ + size_, part.data(), taken);
  size_ += taken;
  if (!whole) append_cut_mark();
}

void text::append_quoted(std::string_view words) noexcept
{
  constexpr std::size_t most = 100;
  append(1, '"');
  for (const char c : shortened_to(words, most)) append(1, printable(c));
  append(words.size() > most ? "...\"" : "\"");
}

void text::append(std::size_t count, char c) noexcept
{
  if (cut_ || count == 0) return;
  const bool whole = make_room(count);
  const std::size_t taken = whole ? count : cut(count);
  if (taken != 0) std::memset(data_ + size_, c, taken);
  size_ += taken;
  if (!whole) append_cut_mark();
}

bool text::write_to(int descriptor) const noexcept
{
  return write_all(descriptor, cut_ && size_ == 0 ? cut_mark : view());
}

void text::write_to_stderr() const noexcept
{
  const errno_keeper keeper;
  static_cast<void>(write_to(STDERR_FILENO));  // there is nowhere left to complain
}

}  // namespace gpa::detail
