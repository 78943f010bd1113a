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
//    6  cycles           what is left can only be reached from a cycle of blocks
//
// One block of each cycle is its owner: one that nobody points at the start of, if there is one, as the nodes of a
// container point into the container that owns them. Found by two floods: in the first each block that was not reached
// yet is a root; in the second the last root goes first, so that it reaches every root that hangs on it. A single root
// needs no second flood.
//
// Each block is read once or twice, where cycles are three times; so the time is linear in the bytes of what leaked.
// What it costs: eight bits a slot, 3 MiB of stack (what does not fit is marked, and found by looking at all marks),
// 64 KiB for large blocks, 256 KiB for each 4 GiB of addresses in which there are slabs.
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
struct large_block;

/// What the scan knows of 64 slots, a bit each: one cache line.
struct scan_marks {
  std::uint64_t counted = 0;  // a block that counts
  std::uint64_t pointed = 0;  // another of them points at it
  std::uint64_t started = 0;  // and at its start
  std::uint64_t done = 0;     // it has its place in the groups, or is no leak
  std::uint64_t seen = 0;     // step 6, first flood
  std::uint64_t root = 0;     // step 6
  std::uint64_t pending = 0;  // reached, and still to be scanned: the stack was full
  std::uint64_t unused = 0;
};
static_assert(sizeof(scan_marks) == 64);

/// The block in a slot as its record says at this moment. False: there is none, or it is another by now.
[[nodiscard]] bool read_live(const record& r, const std::byte* slot, live_block& b) noexcept;

class leak_scan {
 public:
  leak_scan(large_blocks& large, leak_groups& groups) noexcept;

  /// All slabs and live large blocks of a heap, before run(). Throws std::bad_alloc.
  void add(const slab& s);
  void add(const large_block& b);

  /// Throws std::bad_alloc, and then nothing was added to the groups. `static_too`: step 3.
  void run(bool static_too);

 private:
  static constexpr std::size_t most_waiting = std::size_t{128} << 10;
  static constexpr std::size_t chunk_bytes = std::size_t{64} << 10;

  using mark_kind = std::uint64_t scan_marks::*;
  // A slab, or a large block. What the scan wants of a slab stands here side by side, in half a line of the cache: slabs
  // lie apart, and to come by 10 000 of them in no order would cost more than the blocks themselves.
  struct alignas(32) area {
    const std::byte* base;
    const record* records;  // null: a large block
    std::uint32_t first_word;  // of marks: where those of its slots begin
    std::uint32_t slot_bytes;
    std::uint16_t slots;
    std::uint16_t used;  // of these, from the first on, were ever taken
    std::uint8_t size_class;

    [[nodiscard]] std::size_t first() const noexcept { return std::size_t{first_word} * 64; }
  };
  static_assert(sizeof(area) == 32 && slab_size(1) / slot_size(1) <= 0xFFFF);
  enum class memory : std::uint8_t { slot, large_block, static_storage };
  struct range {
    const std::byte* begin = nullptr;
    std::size_t bytes = 0;
    memory kind = memory::slot;
  };
  struct place {
    const area* in = nullptr;
    std::size_t index = 0;  // of the slot
    std::size_t mark = 0;
    std::uintptr_t word = 0;  // the pointer
    bool at_start = false;
  };
  enum class reason : std::uint8_t { ignored, reachable, owned, only_marked };

  void prepare();
  template <class Visit>
  void scan_static_range(const range& r, Visit visit) noexcept;
  void scan_static();
  void note_pointers();
  void find_owners();
  void find_cycles();

  [[nodiscard]] bool has(std::size_t mark, mark_kind kind) const noexcept;
  void set(std::size_t mark, mark_kind kind) noexcept;
  void add_area(const area& a, std::size_t bytes);
  [[nodiscard]] const area* area_at(std::uintptr_t word) const noexcept;
  [[nodiscard]] const area* large_area_at(std::uintptr_t word) const noexcept;
  [[nodiscard]] bool is_near(std::uintptr_t word) const noexcept { return word - lowest_ < highest_ - lowest_; }
  [[nodiscard]] bool locate(std::uintptr_t word, place& p) const noexcept;
  [[nodiscard]] bool counts(const place& p) const noexcept;
  [[nodiscard]] bool read(const area& a, std::size_t index, live_block& b) const noexcept;
  [[nodiscard]] static range range_of(const area& a, const live_block& b) noexcept;
  void own_the_rest() noexcept;
  void own_from(const area& a, std::size_t mark) noexcept;
  void reach(std::uintptr_t word, mark_kind kind, reason why) noexcept;
  void flood(const range& from, mark_kind kind, reason why) noexcept;
  template <class Visit>
  void scan(const range& r, Visit visit) noexcept;
  template <class Want, class Visit>
  void for_each_mark(Want want, Visit visit);
  template <class Want, class Visit>
  void for_each_mark_backwards(Want want, Visit visit);

  large_blocks& large_;
  leak_groups& groups_;
  std::uint32_t first_thread_;  // of this process
  list_of<area> areas_;
  struct large_area {
    std::uintptr_t begin, end;
    std::size_t number;  // in areas_
  };
  list_of<large_area> large_areas_;  // by address
  std::uintptr_t lowest_ = 0;  // of all areas; nothing is between these while there is none
  std::uintptr_t highest_ = 0;
  list_of<list_of<std::uint32_t>>
      numbers_;            // of slabs' areas from 1, by 4 GiB from the lowest, and by granule in those
  std::size_t slots_ = 0;  // rounded up to 64 in each area

  list_of<scan_marks> marks_;
  std::size_t pending_count_ = 0;
  list_of<range> waiting_;  // marked, and still to be scanned
  list_of<std::uintptr_t> chunk_;
  block_count owned_;  // by the owner whose flood runs
};

}  // namespace gpa::detail
