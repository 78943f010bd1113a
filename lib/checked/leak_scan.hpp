// Which live blocks leaked, and which of those own the others: a scan of the blocks' own memory.
//
// Conservative, as LeakSanitizer is: every aligned word of a block that could be a pointer to another, or into it, is
// taken for one; a block's pointers to itself do not count. One past the end is not in it. Memory is read inside blocks
// whose record says that they are live, and nowhere else.
//
//    1  marks            which slots hold a block that counts: live, and made by this process
//    2  ignored blocks   what can be reached from them is meant to stay, as they are
//    3  static storage   where asked for: what can be reached from it is counted apart
//    4  one pass         over what is left: who is pointed at, and who at the start
//    5  owners           blocks nobody points at; what can be reached from one is owned by it
//    6  cycles           what is left can only be reached from a cycle of blocks. One block of each cycle is its owner: one
//                        that nobody points at the start of, if there is one, as the blocks of a container point into
//                        the container that owns them. Found by two floods: in the first each block that was not
//                        reached yet is a root; in the second the last root goes first, so that it reaches every root
//                        that only a cycle behind its own hangs on.
//
// Each block is read once or twice, where cycles are three times; so the time is linear in the bytes of what leaked.
// What it costs: seven bits a slot, 2 MiB of stack (what does not fit is marked, and found by looking at all marks),
// 64 KiB for large blocks.
//
// Not thread-safe: its maker holds the scan lock, which keeps slabs and their pages where they are. Blocks may be freed
// meanwhile and handed out again: each is looked at in its record when it is counted, so totals and groups agree.
#pragma once

#include "checked/leak_groups.hpp"
#include "checked/slab.hpp"
#include "os/containers.hpp"

#include <cstddef>
#include <cstdint>

namespace gpa::detail {

class large_blocks;
class owner;
struct large_block;

/// One bit a slot.
class slot_marks {
 public:
  void resize(std::size_t slots) { words_.resize((slots + 63) / 64); }
  [[nodiscard]] bool test(std::size_t i) const noexcept { return (words_[i / 64] >> (i % 64) & 1) != 0; }
  void set(std::size_t i) noexcept { words_[i / 64] |= std::uint64_t{1} << (i % 64); }
  void reset(std::size_t i) noexcept { words_[i / 64] &= ~(std::uint64_t{1} << (i % 64)); }
  [[nodiscard]] std::uint64_t word(std::size_t w) const noexcept { return words_[w]; }

 private:
  list_of<std::uint64_t> words_;
};

/// The block in a slot as its record says at this moment. False: there is none.
[[nodiscard]] bool read_live(const slab& s, std::size_t index, live_block& b) noexcept;

class leak_scan {
 public:
  leak_scan(const owner& self, large_blocks& large, leak_groups& groups) noexcept;

  /// All slabs and live large blocks of `self`, before run(). Throws std::bad_alloc.
  void add(slab& s);
  void add(large_block& b);

  /// Throws std::bad_alloc, and then nothing was added to the groups. `static_too`: step 3.
  void run(bool static_too);

 private:
  static constexpr std::size_t most_waiting = std::size_t{128} << 10;
  static constexpr std::size_t chunk_bytes = std::size_t{64} << 10;

  struct area {
    region* of;
    std::byte* base;
    bool small;
    std::size_t first;  // mark of its first slot; a multiple of 64
    std::size_t slots;
  };
  struct range {
    const std::byte* begin;
    std::size_t bytes;
  };
  struct place {
    const area* in = nullptr;
    std::size_t mark = 0;
    bool at_start = false;
  };
  enum class reason : std::uint8_t { ignored, reachable, owned, only_marked };

  void prepare();
  void scan_static();
  void note_pointers();
  void find_owners();
  void find_cycles();

  [[nodiscard]] bool find(std::uintptr_t word, place& p) const noexcept;
  [[nodiscard]] bool read(const area& a, std::size_t mark, live_block& b) const noexcept;
  [[nodiscard]] const area& area_of(std::size_t mark) const noexcept;
  void own_from(const area& a, std::size_t mark) noexcept;
  void reach(std::uintptr_t word, slot_marks& marks, reason why) noexcept;
  void flood(const range& from, slot_marks& marks, reason why) noexcept;
  template <class Visit>
  void scan(const range& r, Visit visit) noexcept;
  template <class Want, class Visit>
  void for_each_mark(Want want, Visit visit);
  template <class Want, class Visit>
  void for_each_mark_backwards(Want want, Visit visit);

  const owner& self_;
  large_blocks& large_;
  leak_groups& groups_;
  std::uint32_t first_thread_;  // of this process
  list_of<area> areas_;
  std::uintptr_t lowest_ = ~std::uintptr_t{0};
  std::uintptr_t highest_ = 0;
  std::size_t marks_ = 0;

  slot_marks counted_;   // blocks that count
  slot_marks pointed_;   // another of them points at it
  slot_marks started_;   // and at its start
  slot_marks done_;      // it has its place in the groups, or is no leak
  slot_marks seen_;      // step 6, first flood
  slot_marks roots_;     // step 6
  slot_marks pending_;   // marked, and still to be scanned: the stack was full
  std::size_t pending_count_ = 0;
  list_of<range> waiting_;  // marked, and still to be scanned
  list_of<std::uintptr_t> chunk_;
  block_count owned_;  // by the owner whose flood runs
};

}  // namespace gpa::detail
