// Counters of one cache: written by its thread only, read by anybody. What a thread frees need not be its own
// allocations, so only the sum over all caches of a resource means anything.
//
// Of the fast heap the word for allocations is set so that a certain one carries beyond its end, which costs the hot path
// no more than a look at what the addition left in the CPU's flags: that is the one to pick, or the time to begin anew.
// Who meets the end takes the block back, so it is counted by nobody until it is allocated by another way.
#pragma once

#include "base/attributes.hpp"
#include "base/size_class.hpp"
#include "blocks/counting_word.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace gpa::detail {

struct live_count {
  std::int64_t blocks;
  std::int64_t bytes;
};

class tally : counting_word {
 public:
  /// No allocation is to be picked.
  static constexpr std::uint64_t never = ~std::uint64_t{0};

  // ---- hot paths: of at most small_limit bytes, and now and then settle() or settle_frees() ----

  void count_small_allocation(std::size_t bytes) noexcept { add(allocated_, with_one_block(bytes)); }
  void count_small_free(std::size_t bytes) noexcept { add(freed_, with_one_block(bytes)); }
  /// False: this block is due, or the word is full. It is no allocation of this tally yet. `bytes` stays as it is, but
  /// need not be kept in a second register for that.
  [[nodiscard]] bool count_small_allocation_unless_due(std::size_t& bytes) noexcept
  {
    std::uint64_t one = with_one_block(bytes);
    if (add_and_meet_end(allocated_, one)) [[unlikely]] {
      add(allocated_, 0 - one);
      bytes = one - one_of(0);
      return false;
    }
    return true;
  }

  // ---- elsewhere ----

  void count_allocation(std::size_t bytes) noexcept
  {
    if (is_at_end()) [[unlikely]] begin_anew_at_end();
    count(allocated_, allocated_before_, bytes);
  }
  void count_free(std::size_t bytes) noexcept { count(freed_, freed_before_, bytes); }
  /// A resize is a free and an allocation of one block, not a block more.
  void count_resize(std::size_t old_bytes, std::size_t new_bytes) noexcept
  {
    if (new_bytes >= old_bytes) {
      allocated_before_.add_bytes(allocated_.load(std::memory_order_relaxed), new_bytes - old_bytes);
    } else {
      freed_before_.add_bytes(freed_.load(std::memory_order_relaxed), old_bytes - new_bytes);
    }
    note_live();
  }

  /// Of the checked heap: within 8 million calls of the hot path.
  void settle() noexcept
  {
    const std::uint64_t either =
        allocated_.load(std::memory_order_relaxed) | freed_.load(std::memory_order_relaxed);
    if (either >> 63 != 0) [[unlikely]] begin_anew();
  }
  /// Of the fast heap: whenever a free leaves the hot path, and where arrays are emptied. Between two such calls, or of
  /// set_due(), no more blocks are freed than were allocated or find room in the thread's arrays.
  void settle_frees() noexcept
  {
    if (freed_.load(std::memory_order_relaxed) >> 63 != 0) [[unlikely]] {
      freed_before_.begin_anew(freed_, first, own_freed());
      note_live();
    }
  }

  /// Of the fast heap: one allocation is due, the `next`th from now; or none.
  void set_due(std::uint64_t next) noexcept
  {
    const std::uint64_t counted_up = std::min(next, most_until_end);
    left_ = next == never ? never : next - counted_up;
    allocated_before_.begin_anew(allocated_, end - counted_up, own_allocated());
    note_live();
    settle_frees();
  }
  /// Whether the next allocation is the one to pick.
  [[nodiscard]] bool is_due() const noexcept { return left_ == 0 && is_at_end(); }
  /// In the child of a fork, for a thread that was lost within any of these functions. Bytes of a block that met the end
  /// are counted for good.
  void repair() noexcept
  {
    if (is_beyond_end(allocated_.load(std::memory_order_relaxed))) add(allocated_, (end - 1) << blocks_shift);
    note_live();
  }
  /// All that was allocated is freed. Nobody counts.
  void free_all() noexcept
  {
    freed_before_.begin_anew(freed_, first, own_allocated());
    note_live();
  }

  [[nodiscard]] counted allocated() const noexcept { return allocated_before_.with(allocated_); }
  [[nodiscard]] counted freed() const noexcept { return freed_before_.with(freed_); }
  /// For its own thread; or for others while that counts nothing. Below zero where it frees what others allocate.
  [[nodiscard]] live_count live() const noexcept
  {
    const live_count now = live_by_words();
    return {now.blocks + live_blocks_before_.load(std::memory_order_relaxed),
            now.bytes + live_bytes_before_.load(std::memory_order_relaxed)};
  }

 private:
  static constexpr std::uint64_t most_until_end = end / 4;
  // What may be freed between two looks at the highest bit: as many as are allocated until the word for those ends, and
  // what the arrays of a thread have room for. And a word's bytes do not reach the bit above them.
  static_assert(end / 2 - most_until_end >= std::uint64_t{1} << 20);
  static_assert((end - first) * small_limit <= bytes_mask + 1);

  // Of what is due and was not picked the next takes the place: while an upstream was asked for this one's memory, it used
  // the resource itself.
  GPA_COLD void begin_anew_at_end() noexcept
  {
    set_due(left_ == never ? never : std::max<std::uint64_t>(left_ + 1, 2));
  }
  [[nodiscard]] bool is_at_end() const noexcept
  {
    return allocated_.load(std::memory_order_relaxed) >> blocks_shift == end - 1;
  }
  [[nodiscard]] counted own_allocated() const noexcept
  {
    return allocated_before_.with(allocated_.load(std::memory_order_relaxed));
  }
  [[nodiscard]] counted own_freed() const noexcept
  {
    return freed_before_.with(freed_.load(std::memory_order_relaxed));
  }
  GPA_COLD void begin_anew() noexcept
  {
    allocated_before_.begin_anew(allocated_, first, own_allocated());
    freed_before_.begin_anew(freed_, first, own_freed());
    note_live();
  }
  void count(std::atomic<std::uint64_t>& word, earlier_counts& before, std::size_t bytes) noexcept
  {
    if (bytes <= small_limit) {
      add(word, one_of(bytes));
      return;
    }
    before.add_bytes(word.load(std::memory_order_relaxed), bytes);
    add(word, one_of(0));
    note_live();
  }
  [[nodiscard]] live_count live_by_words() const noexcept
  {
    const std::uint64_t in = allocated_.load(std::memory_order_relaxed);
    const std::uint64_t out = freed_.load(std::memory_order_relaxed);
    return {static_cast<std::int64_t>((in >> blocks_shift) - (out >> blocks_shift)),
            static_cast<std::int64_t>((in & bytes_mask) - (out & bytes_mask))};
  }
  // After anything but the words themselves changed.
  void note_live() noexcept
  {
    const counted in = own_allocated();
    const counted out = own_freed();
    const live_count now = live_by_words();
    live_blocks_before_.store(static_cast<std::int64_t>(in.blocks - out.blocks) - now.blocks, std::memory_order_relaxed);
    live_bytes_before_.store(static_cast<std::int64_t>(in.bytes - out.bytes) - now.bytes, std::memory_order_relaxed);
  }

  // In one instruction, which clang 14 would not choose, and a register that is changed.
  [[nodiscard]] static std::uint64_t with_one_block(std::uint64_t bytes) noexcept
  {
#ifdef __x86_64__
    asm("btsq %1, %0" : "+r"(bytes) : "i"(blocks_shift) : "cc");
    return bytes;
#else
    return one_of(bytes);
#endif
  }

  // Only the cache's thread writes, so no locked instruction; but compilers do not make this one instruction either.
  static void add(std::atomic<std::uint64_t>& n, std::uint64_t more) noexcept
  {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    asm("addq %1, %0" : "+m"(n) : "er"(more) : "cc");
#else
    n.store(n.load(std::memory_order_relaxed) + more, std::memory_order_release);
#endif
  }
  static bool add_and_meet_end(std::atomic<std::uint64_t>& n, std::uint64_t more) noexcept
  {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    bool met = false;
    asm("addq %2, %0" : "+m"(n), "=@ccc"(met) : "r"(more));
    return met;
#else
    add(n, more);
    return n.load(std::memory_order_relaxed) < more;
#endif
  }

  std::atomic<std::uint64_t> allocated_{first << blocks_shift};
  std::atomic<std::uint64_t> freed_{first << blocks_shift};
  earlier_counts allocated_before_;
  earlier_counts freed_before_;
  std::atomic<std::int64_t> live_blocks_before_{0};  // beside what the two words say
  std::atomic<std::int64_t> live_bytes_before_{0};
  std::uint64_t left_ = never;  // allocations from the word's end to the one that is due
};

}  // namespace gpa::detail
