// The heap that forgets: no record, no check. A free believes what it is told, so a double free, a wrong size or a
// foreign pointer is undefined here, as with every fast allocator. Blocks and bytes are counted, nothing else.
//
// A free block carries the link of the list it is in. Each thread has a list and a fresh range per class; beyond two
// batches a list gives one to the heap, under the heap's lock. Blocks above 32 KiB are ranges of their own.
//
// Thread-safe; a cache belongs to one thread at a time.
#pragma once

#include "base/attributes.hpp"
#include "base/mutex.hpp"
#include "base/size_class.hpp"
#include "blocks/owner.hpp"
#include "blocks/page_map.hpp"
#include "blocks/supply.hpp"
#include "blocks/thread_caches.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace gpa::detail {

/// Lies in a block that ASan and Valgrind hold for closed; hence the accessors.
class free_node {
 public:
  [[nodiscard]] GPA_NO_SANITIZE free_node* next() const noexcept { return next_; }
  GPA_NO_SANITIZE void set_next(free_node* n) noexcept { next_ = n; }
  /// Of the first node of a batch in the heap's list.
  [[nodiscard]] GPA_NO_SANITIZE free_node* next_batch() const noexcept { return next_batch_; }
  GPA_NO_SANITIZE void set_next_batch(free_node* n) noexcept { next_batch_ = n; }

 private:
  free_node* next_;
  free_node* next_batch_;
};
static_assert(sizeof(free_node) <= slot_size(1));

struct fast_bin {
  free_node* head = nullptr;
  std::uint32_t count = 0;
  std::byte* fresh = nullptr;
  std::byte* fresh_end = nullptr;
};

struct fast_cache : cache_header {
  std::array<fast_bin, class_count> bins;
};

struct fast_range : region {
  fast_range* previous = nullptr;
  fast_range* next = nullptr;
  std::size_t range_alignment = 0;
};

class fast_heap {
 public:
  fast_heap(owner& o, supply& s) noexcept : owner_(o), supply_(s) {}
  ~fast_heap() { release(); }
  fast_heap(const fast_heap&) = delete;
  fast_heap& operator=(const fast_heap&) = delete;

  /// Null when memory is refused, nothing changed. `alignment` is a power of two.
  [[nodiscard]] void* allocate(fast_cache& k, std::size_t bytes, std::size_t alignment) noexcept;
  void deallocate(fast_cache& k, void* p, std::size_t bytes, std::size_t alignment) noexcept;
  /// Whether the block can be called that large where it stands.
  [[nodiscard]] bool fits(std::size_t old_bytes, std::size_t new_bytes, std::size_t alignment) const noexcept;

  /// Gives everything back; caches must be reset by their owner.
  void release() noexcept;
  static void reset_cache(fast_cache& k) noexcept { k.bins = {}; }

  [[nodiscard]] std::size_t held_bytes() const noexcept { return held_.load(std::memory_order_relaxed); }
  void lock_for_fork() noexcept GPA_ACQUIRE(lock_) { lock_.lock(); }
  void unlock_after_fork() noexcept GPA_RELEASE(lock_) { lock_.unlock(); }

 private:
  [[nodiscard]] GPA_NOINLINE bool refill(fast_cache& k, unsigned c) noexcept;
  GPA_NOINLINE void spill(fast_bin& b, unsigned c) noexcept;
  [[nodiscard]] fast_range* new_range(std::size_t bytes, std::size_t alignment, region_kind kind) noexcept;
  void delete_range(fast_range& r) noexcept;

  owner& owner_;
  supply& supply_;
  std::atomic<std::size_t> held_{0};
  mutex lock_;
  fast_range* ranges_ GPA_GUARDED_BY(lock_) = nullptr;
  std::array<free_node*, class_count> central_ GPA_GUARDED_BY(lock_){};
};

}  // namespace gpa::detail
