// A word that counts blocks and their bytes by one addition, and what it said before it last began anew.
//
//    word      63          40 39 38                       0
//             +--------------+--+--------------------------+
//             |    blocks    | s|          bytes           |         sets   { blocks, bytes }   { blocks, bytes }
//             +--------------+--+--------------------------+
//
// Beside the few dozen instructions of a hot path each write to memory counts: lib/README.md has the figures. Before the
// word is full it begins anew, and all that was counted goes to the one of two sets that it does not name (s), so that
// word and set change with one store, and who reads them waits for no lock.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace gpa::detail {

/// Blocks, and their bytes.
struct counted {
  std::uint64_t blocks = 0;
  std::uint64_t bytes = 0;
};

/// How a word counts.
struct counting_word {
  static constexpr unsigned blocks_shift = 40;
  static constexpr unsigned set_shift = blocks_shift - 1;
  static constexpr std::uint64_t bytes_mask = (std::uint64_t{1} << set_shift) - 1;
  static constexpr std::uint64_t end = std::uint64_t{1} << (64 - blocks_shift);
  /// Where blocks are counted from that nobody stops at the end: by the highest bit it is time to begin anew.
  static constexpr std::uint64_t first = end / 4;

  /// Of at most `bytes_mask`.
  [[nodiscard]] static constexpr std::uint64_t one_of(std::size_t bytes) noexcept
  {
    return std::uint64_t{1} << blocks_shift | bytes;
  }
  /// The block that met the end is to be taken back, by its thread at once; or in the child of a fork, which lost that.
  [[nodiscard]] static constexpr bool is_beyond_end(std::uint64_t word) noexcept { return word >> blocks_shift == 0; }
};

/// What a word said before it last began anew.
class earlier_counts {
 public:
  /// For any thread, while the word's own counts and begins anew. It waits for no thread that stands still.
  [[nodiscard]] counted with(const std::atomic<std::uint64_t>& word) const noexcept
  {
    for (int tries = 0;; ++tries) {
      const std::uint64_t turn = turn_.load(std::memory_order_acquire);
      const std::uint64_t now = word.load(std::memory_order_acquire);
      // For an instruction or two, unless that thread lost its CPU, or a fork: then with the bytes of that block.
      if (counting_word::is_beyond_end(now) && tries < 100) continue;
      counted sum = with(now);
      if (counting_word::is_beyond_end(now)) sum.blocks += counting_word::end - 1;
      std::atomic_thread_fence(std::memory_order_acquire);
      // Meanwhile the word may have begun anew once, but nothing was written to the set that it named.
      if (turn_.load(std::memory_order_relaxed) == turn) return sum;
    }
  }
  /// For the word's thread.
  [[nodiscard]] counted with(std::uint64_t word) const noexcept
  {
    const set& before = sets_[set_of(word)];
    return {before.blocks.load(std::memory_order_relaxed) + (word >> counting_word::blocks_shift),
            before.bytes.load(std::memory_order_relaxed) + (word & counting_word::bytes_mask)};
  }
  void add_bytes(std::uint64_t word, std::uint64_t more) noexcept
  {
    std::atomic<std::uint64_t>& bytes = sets_[set_of(word)].bytes;
    bytes.store(bytes.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
  }
  /// The word counts from `start`, with `sum` behind it.
  void begin_anew(std::atomic<std::uint64_t>& word, std::uint64_t start, const counted& sum) noexcept
  {
    const std::uint64_t other = 1 - set_of(word.load(std::memory_order_relaxed));
    std::atomic_thread_fence(std::memory_order_release);  // the last turn's number before this one's set
    sets_[other].blocks.store(sum.blocks - start, std::memory_order_relaxed);
    sets_[other].bytes.store(sum.bytes, std::memory_order_relaxed);
    word.store(start << counting_word::blocks_shift | other << counting_word::set_shift, std::memory_order_release);
    turn_.store(turn_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }

 private:
  struct set {
    std::atomic<std::uint64_t> blocks{0 - counting_word::first};  // less what the word began with
    std::atomic<std::uint64_t> bytes{0};
  };

  [[nodiscard]] static constexpr std::uint64_t set_of(std::uint64_t word) noexcept
  {
    return word >> counting_word::set_shift & 1;
  }

  std::atomic<std::uint64_t> turn_{0};  // how often the word began anew
  std::array<set, 2> sets_;
};

}  // namespace gpa::detail
