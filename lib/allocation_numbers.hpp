// Which allocation of its resource a block is: the first, the 162nd. Kept when `log_operations` or GPA_OPTIONS=break_at
// asks for it, and then in every log line and report; `break_at=162` stops at that allocation in the next run.
//
// Each resource counts for itself, so that the numbers of one do not hang on what others do. A number is taken before
// the allocation is tried: a refused one has its number, too. A freed block keeps its number until its address is
// handed out again, for the report of a double free. The price is a hash table's entry for each address that was ever
// handed out.
//
// Thread-safe: one lock, held for a look-up. With several threads, numbers are the same in each run only if their
// order is.
#pragma once

#include "base/mutex.hpp"
#include "os/containers.hpp"

#include <atomic>
#include <cstdint>

namespace gpa::detail {

class allocation_numbers {
 public:
  /// From 1.
  [[nodiscard]] std::uint64_t next() noexcept { return last_.fetch_add(1, std::memory_order_relaxed) + 1; }
  /// Without memory for it the block has no number.
  void put(const void* block, std::uint64_t number) noexcept;
  /// 0 = none.
  [[nodiscard]] std::uint64_t of(const void* block) noexcept;

  void lock_for_fork() noexcept GPA_ACQUIRE(lock_) { lock_.lock(); }
  void unlock_after_fork() noexcept GPA_RELEASE(lock_) { lock_.unlock(); }

 private:
  std::atomic<std::uint64_t> last_{0};
  mutex lock_;
  hash_map<const void*, std::uint64_t> numbers_ GPA_GUARDED_BY(lock_);
};

}  // namespace gpa::detail
