#include "recording.hpp"

#include "base/errno_keeper.hpp"
#include "base/no_cancellation.hpp"
#include "os/files.hpp"
#include "os/threads.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace gpa::detail {

namespace {

constexpr std::string_view first_bytes = "gpatrace\1";
enum number_kind : std::uint64_t { allocation = 0, free_of = 1, thread = 2, end = 3 };
constexpr std::uint64_t logarithm_follows = 7;

// How many forks lie between this process and the one that began.
constinit std::atomic<unsigned> forks{0};

unsigned forks_so_far()
{
  static const int watched = ::pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); });
  if (watched != 0) throw std::system_error(watched, std::generic_category(), "gpa::recorder");
  return forks.load(std::memory_order_relaxed);
}

}  // namespace

recording::recording(std::string_view file) : forks_before_(forks_so_far()), name_(file.begin(), file.end())
{
  name_.push_back('\0');
  const no_cancellation steady;
  const mutex_guard guard(lock_);
  descriptor_ = open_file(name_.data(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (descriptor_ == -1)
    throw std::system_error(errno, std::generic_category(), "gpa::recorder: cannot write " + std::string(file));
  for (const char c : first_bytes) buffer_[filled_++] = static_cast<unsigned char>(c);
}

recording::~recording()
{
  const no_cancellation steady;
  const mutex_guard guard(lock_);
  if (descriptor_ != -1) ::close(descriptor_);
}

bool recording::is_ours() const noexcept
{
  return forks.load(std::memory_order_relaxed) == forks_before_;
}

void recording::add_allocation(const void* p, std::size_t bytes, std::size_t alignment) noexcept
{
  const errno_keeper keeper;
  const mutex_guard guard(lock_);
  if (descriptor_ == -1) return;
  try {
    name_thread();
    live_.insert_or_assign(p, allocations_);  // a block whose free went past us is forgotten here
  } catch (const std::bad_alloc&) {
    fail(ENOMEM);
    return;
  }
  ++allocations_;
  const auto logarithm = static_cast<std::uint64_t>(std::countr_zero(alignment));
  if (logarithm < logarithm_follows) {
    put(std::uint64_t{bytes} << 5 | logarithm << 2 | allocation);
  } else {
    put(std::uint64_t{bytes} << 5 | logarithm_follows << 2 | allocation);
    put(logarithm);
  }
}

void recording::add_free(const void* p) noexcept
{
  const errno_keeper keeper;
  const mutex_guard guard(lock_);
  if (descriptor_ == -1) return;
  const auto found = live_.find(p);
  if (found == live_.end()) return;
  try {
    name_thread();
  } catch (const std::bad_alloc&) {
    fail(ENOMEM);
    return;
  }
  ++frees_;
  put((allocations_ - found->second) << 2 | free_of);
  live_.erase(found);
}

int recording::close() noexcept
{
  const no_cancellation steady;
  const errno_keeper keeper;
  const mutex_guard guard(lock_);
  if (descriptor_ != -1) {
    put(allocations_ << 2 | end);
    put(frees_);
    flush();
  }
  if (descriptor_ != -1) {
    if (::close(descriptor_) != 0 && error_ == 0) error_ = errno;
    descriptor_ = -1;
  }
  return std::exchange(error_, 0);
}

// Whose the next call is, unless it is the same thread's as the one before.
void recording::name_thread()
{
  const std::uint32_t number = this_thread_serial();
  if (number == last_thread_) return;
  const auto [entry, added] = threads_.try_emplace(number, static_cast<std::uint32_t>(threads_.size() + 1));
  last_thread_ = number;
  put(std::uint64_t{entry->second} << 2 | thread);
}

void recording::put(std::uint64_t number) noexcept
{
  if (buffer_.size() - filled_ < longest_number) flush();
  for (; number > 0x7F; number >>= 7) buffer_[filled_++] = static_cast<unsigned char>(number | 0x80);
  buffer_[filled_++] = static_cast<unsigned char>(number);
}

void recording::flush() noexcept
{
  const no_cancellation steady;
  // Where the file was given up there is no descriptor any more, and what went wrong first is known.
  for (std::size_t done = 0; descriptor_ != -1 && done != filled_;) {
    const ::ssize_t taken = ::write(descriptor_, &buffer_[done], filled_ - done);
    if (taken > 0) {
      done += static_cast<std::size_t>(taken);
    } else if (taken == 0 || errno != EINTR) {
      fail(taken == 0 ? EIO : errno);
      break;
    }
  }
  filled_ = 0;
}

void recording::fail(int error) noexcept
{
  error_ = error;
  ::close(descriptor_);
  descriptor_ = -1;
}

}  // namespace gpa::detail
