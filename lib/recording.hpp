// One file that a recorder writes: calls in, bytes out. The format stands on top of <gpa/recorder.hpp>.
//
// A buffer of 63 KiB (all of it is one piece of metadata memory), written when it is full; a table of the live blocks,
// by address, so that a free is written as a small number instead of an address. The first thing that goes wrong ends
// the recording and is remembered.
//
// Thread-safe: one lock, which is held during write(2), since the order of the calls is what is recorded.
#pragma once

#include "base/mutex.hpp"
#include "os/containers.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gpa::detail {

class recording {
 public:
  /// Creates or empties the file. Throws std::system_error, std::bad_alloc.
  explicit recording(std::string_view file);
  /// Writes nothing more.
  ~recording();
  recording(const recording&) = delete;
  recording& operator=(const recording&) = delete;

  /// False in the child of a fork: the file is the parent's, and the lock may be held by a thread that is not here.
  [[nodiscard]] bool is_ours() const noexcept;

  void add_allocation(const void* p, std::size_t bytes, std::size_t alignment) noexcept;
  void add_free(const void* p) noexcept;

  /// Writes the end once. Returns the error number of the first thing that went wrong, or 0; tells it once.
  [[nodiscard]] int close() noexcept;

  [[nodiscard]] const char* file() const noexcept { return name_.data(); }

 private:
  void name_thread() GPA_REQUIRES(lock_);
  void put(std::uint64_t number) noexcept GPA_REQUIRES(lock_);
  void flush() noexcept GPA_REQUIRES(lock_);
  void fail(int error) noexcept GPA_REQUIRES(lock_);

  static constexpr std::size_t longest_number = 10;

  const unsigned forks_before_;
  list_of<char> name_;  // ends with 0
  mutex lock_;
  int descriptor_ GPA_GUARDED_BY(lock_) = -1;  // -1: the recording is over
  int error_ GPA_GUARDED_BY(lock_) = 0;
  std::uint64_t allocations_ GPA_GUARDED_BY(lock_) = 0;
  std::uint64_t frees_ GPA_GUARDED_BY(lock_) = 0;
  std::uint32_t last_thread_ GPA_GUARDED_BY(lock_) = 0;
  hash_map<std::uint32_t, std::uint32_t> threads_ GPA_GUARDED_BY(lock_);
  hash_map<const void*, std::uint64_t> live_ GPA_GUARDED_BY(lock_);
  std::size_t filled_ GPA_GUARDED_BY(lock_) = 0;
  std::array<unsigned char, std::size_t{63} << 10> buffer_ GPA_GUARDED_BY(lock_);
};

}  // namespace gpa::detail
