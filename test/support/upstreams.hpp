// An upstream that remembers each call, checks that calls pair exactly, and refuses when told to.
#pragma once

#include <cstddef>
#include <limits>
#include <map>
#include <memory_resource>
#include <mutex>
#include <new>
#include <utility>

namespace gpa::test {

class recording_upstream final : public std::pmr::memory_resource {
 public:
  static constexpr std::size_t never = std::numeric_limits<std::size_t>::max();

  /// Refuses allocation number `first` (from 0) and the following ones, `count` of them.
  void refuse(std::size_t first, std::size_t count)
  {
    const std::lock_guard guard(mutex_);
    refuse_first_ = first;
    refuse_count_ = count;
  }

  [[nodiscard]] std::size_t asked() const { return read(asked_); }
  [[nodiscard]] std::size_t refused() const { return read(refused_); }
  [[nodiscard]] std::size_t returned() const { return read(returned_); }
  [[nodiscard]] std::size_t live_bytes() const { return read(live_bytes_); }
  /// Deallocations that name no live range, or other numbers than its allocation; requests out of the promised form.
  [[nodiscard]] std::size_t wrong() const { return read(wrong_); }
  [[nodiscard]] std::size_t live() const
  {
    const std::lock_guard guard(mutex_);
    return ranges_.size();
  }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override
  {
    const std::lock_guard guard(mutex_);
    const std::size_t number = asked_++;
    constexpr std::size_t granule = 65536;
    if (bytes == 0 || bytes % granule != 0 || alignment < granule) ++wrong_;
    if (number >= refuse_first_ && number - refuse_first_ < refuse_count_) {
      ++refused_;
      throw std::bad_alloc();
    }
    void* const p = std::pmr::new_delete_resource()->allocate(bytes, alignment);
    ranges_.emplace(p, std::pair(bytes, alignment));
    live_bytes_ += bytes;
    return p;
  }

  void do_deallocate(void* p, std::size_t bytes, std::size_t alignment) override
  {
    const std::lock_guard guard(mutex_);
    const auto found = ranges_.find(p);
    if (found == ranges_.end() || found->second != std::pair(bytes, alignment)) {
      ++wrong_;
      return;
    }
    ++returned_;
    live_bytes_ -= bytes;
    ranges_.erase(found);
    std::pmr::new_delete_resource()->deallocate(p, bytes, alignment);
  }

  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  std::size_t read(const std::size_t& n) const
  {
    const std::lock_guard guard(mutex_);
    return n;
  }

  mutable std::mutex mutex_;
  std::map<void*, std::pair<std::size_t, std::size_t>> ranges_;
  std::size_t refuse_first_ = never;
  std::size_t refuse_count_ = 0;
  std::size_t asked_ = 0;
  std::size_t refused_ = 0;
  std::size_t returned_ = 0;
  std::size_t live_bytes_ = 0;
  std::size_t wrong_ = 0;
};

}  // namespace gpa::test
