// Where one resource's user memory comes from: granules of 64 KiB, from the operating system or a user's upstream; for
// blocks that were picked out of the unchecked ones, from the operating system in the range of sampled_range.hpp.
//
// From the system, ranges are cut from segments that double from 1 MiB to 64 MiB, from some size on with huge pages
// where the system grants them; an untouched page costs nothing and a returned range is unmapped at once, but for the
// first segment: that one is kept until all of it is back, and goes to another resource then (segment_stock.hpp), as do
// further ones that are handed on as a whole. Where the system refuses a segment, what waits there goes back to it.
//
// From a user's upstream each range is one call of allocate(), given back with exactly the same pointer, size and
// alignment. Those calls are serialised by a lock of their own, taken with no other lock held; an upstream that calls back
// into the same resource from the same thread is refused, not dead-locked. A fork does not wait for that lock, as whoever
// holds it is in the user's code and may want any other: the child makes it anew.
//
// To ASan and Valgrind a range is closed from here on, and open again when it goes back; between the two, a block is
// open exactly while it is the user's (core_calls.cpp, large_blocks.cpp).
//
// Thread-safe.
#pragma once

#include "base/mutex.hpp"
#include "blocks/sampled_range.hpp"
#include "blocks/segment_stock.hpp"
#include "os/pages.hpp"

#include <atomic>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory_resource>

namespace gpa::detail {

/// Segments double from stock_segment up to this: the supply's own, and those that the fast heap asks it for.
inline constexpr std::size_t largest_segment = std::size_t{64} << 20;

class supply {
  using granule_set = std::bitset<stock_segment / granule_size>;

 public:
  /// `upstream` null: the operating system. Segments of at least `least_huge` bytes ask for huge pages. What has a place
  /// in that stock is taken from there, and goes there.
  explicit supply(std::pmr::memory_resource* upstream, std::size_t least_huge = huge_page_size,
                  stock first = stock::open) noexcept
      : upstream_(upstream), least_huge_(least_huge), stock_(first)
  {
  }
  struct of_sampled_blocks {};
  explicit supply(of_sampled_blocks) noexcept : upstream_(nullptr), least_huge_(huge_page_size), sampled_(true) {}
  ~supply();
  supply(const supply&) = delete;
  supply& operator=(const supply&) = delete;

  [[nodiscard]] bool from_system() const noexcept { return upstream_ == nullptr; }
  /// In the range that all resources share.
  [[nodiscard]] bool in_sampled_range() const noexcept { return sampled_; }

  /// `bytes` a multiple of 64 KiB, `alignment` a power of two of at least 64 KiB. Null when refused, nothing changed.
  [[nodiscard]] std::byte* take(std::size_t bytes, std::size_t alignment) noexcept { return take_told(bytes, alignment).p; }
  struct taken {
    std::byte* p = nullptr;
    bool may_be_resident = false;  // it may have pages already
    bool huge = false;             // huge pages were asked for
  };
  [[nodiscard]] taken take_told(std::size_t bytes, std::size_t alignment) noexcept;
  /// The same from the system, of a mapping of its own and inaccessible. Not from a user's upstream.
  [[nodiscard]] std::byte* reserve(std::size_t bytes) noexcept;
  /// What take() or reserve() returned, with the same numbers.
  void give_back(std::byte* p, std::size_t bytes, std::size_t alignment, given_back as = given_back::used) noexcept;
  /// The same, of a resource that has no block any more: what the stock has a place for goes there. `huge`: pages of
  /// that kind were asked for.
  void hand_on(std::byte* p, std::size_t bytes, std::size_t alignment, bool huge) noexcept;

  /// Drops pages that nobody took: of a huge page, whoever touches one small page has all.
  void trim() noexcept;
  /// Everything was given back: what follows begins as the first did.
  void start_over() noexcept;
  /// No more will be taken. The first segment goes into its stock when the last of it was given back; if some is still
  /// in use, the pages of the rest go back to the system, and of what is given back later.
  void end() noexcept;

  /// The alignment for which the user's upstream has returned memory with another one; 0: it has not. Says so once.
  [[nodiscard]] std::size_t tell_misaligned() noexcept { return misaligned_.exchange(0, std::memory_order_relaxed); }

  /// Calls made to a user's upstream.
  [[nodiscard]] std::uint64_t calls() const noexcept { return calls_.load(std::memory_order_relaxed); }

  void lock_for_fork() noexcept GPA_ACQUIRE(lock_) { lock_.lock(); }
  void unlock_after_fork() noexcept GPA_RELEASE(lock_) { lock_.unlock(); }
  /// `survivor`: the serial that the thread which forked had in the parent.
  void become_child(std::uint32_t survivor) noexcept;

 private:
  taken take_from_system(std::size_t bytes, std::size_t alignment) noexcept;
  static std::byte* take_from_range(std::size_t bytes, std::size_t alignment) noexcept;
  std::byte* take_from_upstream(std::size_t bytes, std::size_t alignment) noexcept;
  std::byte* new_segment(std::size_t bytes) noexcept GPA_REQUIRES(lock_);
  void give_up_rest() noexcept GPA_REQUIRES(lock_);
  void give_back_to_system(std::byte* p, std::size_t bytes) noexcept;
  void give_back_to_first(std::byte* p, std::size_t bytes) noexcept GPA_REQUIRES(lock_);
  void drop_of_first(std::byte* p, std::size_t bytes) noexcept GPA_REQUIRES(lock_);
  [[nodiscard]] bool is_in_first(const std::byte* p) const noexcept GPA_REQUIRES(lock_);

  std::pmr::memory_resource* const upstream_;
  const std::size_t least_huge_;
  const stock stock_ = stock::open;
  const bool sampled_ = false;
  mutable mutex lock_;
  mutex calling_;                         // the upstream
  std::atomic<std::uint32_t> inside_{0};  // serial of the thread that is calling the upstream
  std::atomic<std::uint64_t> calls_{0};
  bool met_misaligned_ GPA_GUARDED_BY(calling_) = false;
  std::atomic<std::size_t> misaligned_{0};  // and nobody was told
  std::byte* segment_ GPA_GUARDED_BY(lock_) = nullptr;  // the rest of the newest segment
  std::byte* segment_end_ GPA_GUARDED_BY(lock_) = nullptr;
  bool is_from_stock_ GPA_GUARDED_BY(lock_) = false;  // the newest segment
  bool is_huge_ GPA_GUARDED_BY(lock_) = false;        // for it huge pages were asked for
  std::size_t next_segment_ GPA_GUARDED_BY(lock_) = stock_segment;
  std::byte* first_ GPA_GUARDED_BY(lock_) = nullptr;  // the first segment, while some of it is in use or may be
  granule_set free_of_first_ GPA_GUARDED_BY(lock_);   // its granules that were given back, or never will be taken
  bool ended_ GPA_GUARDED_BY(lock_) = false;
};

}  // namespace gpa::detail
