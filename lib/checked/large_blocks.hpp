// Blocks too large for a slab, checked: each a range of its own, inaccessible once it is freed.
//
//    live      | the user's bytes | redzone | rest of the 64 KiB granule |        accessible
//    freed     | ................................................... |            every access faults
//
// A freed block keeps its addresses and its record, so that a second free long after is still a double free: its
// quarantine is counted in address space and in number (65 536), not in memory. The physical pages move on: to the
// address where the next block of that size will be (mremap with MREMAP_DONTUNMAP, then PROT_NONE over the old range:
// two system calls a free, none an allocation in steady state, and no page fault). At most 32 MiB of such ranges wait, and
// when there is no room for another as large as one that waits, pages go back to the system: one call (large_ranges.cpp).
//
// The kernel allows 65 530 mappings. What is closed is one mapping with its closed neighbours, so it is live blocks
// that cost some, not freed ones (large_ranges.cpp). Past an eighth of that many a freed block stays accessible and reads
// as zeros; that is said once. Where more than as many ranges are accessible, pages move no more, and the ranges of the
// oldest freed blocks are used again instead of unmapped: with 200 000 live ones it stays at 16 000 mappings.
//
// With protect_large::never, and with automatic where moving a page takes microseconds (os/page_cost.hpp), a freed
// block of at most 8 MiB stays accessible instead and holds poison (large_poison.hpp). Once options::quarantine_bytes
// of ranges were freed after it, it waits to become the next block of its size, record and all; what waits in excess of
// 24 MiB, spares included, is closed after all. Not with a quarantine of more than 64 MiB.
//
// Over a user's upstream, whose memory cannot be protected or moved, a freed block is filled with poison and waits in
// a quarantine of bytes as small ones do, verified when it leaves (large_quarantine.cpp).
//
// Thread-safe: one lock, held for list operations, and while live and poisoned blocks are looked at.
#pragma once

#include <gpa/options.hpp>

#include "base/mutex.hpp"
#include "blocks/owner.hpp"
#include "blocks/supply.hpp"
#include "checked/address_stock.hpp"
#include "checked/large_poison.hpp"
#include "checked/large_record.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace gpa::detail {

class leak_groups;
class leak_scan;
class live_visitor;
struct live_block;
class tally;

/// A look for damage: by whom, and what reports say of it.
struct inspection {
  gpa::stack_trace here;
  std::string_view words;  // "found by verify()"; good for ever
};

class large_blocks {
 public:
  large_blocks(owner& o, supply& s, std::size_t quarantine_bytes, std::size_t poison_bytes,
               gpa::protect_large p) noexcept
      : owner_(o),
        supply_(s),
        quarantine_bytes_(quarantine_bytes),
        poison_(s.from_system() ? poison_bytes : ~std::size_t{0}),
        protect_(p)
  {
  }
  ~large_blocks();
  large_blocks(const large_blocks&) = delete;
  large_blocks& operator=(const large_blocks&) = delete;

  /// Null when refused, nothing changed.
  [[nodiscard]] void* allocate(std::size_t bytes, std::size_t alignment, std::uint32_t trace,
                               std::uint16_t thread) noexcept;
  /// Claims the block at `p`, whose word was judged right as `word`. False: it changed meanwhile, or is gone.
  [[nodiscard]] bool free(large_block& b, const void* p, std::uint64_t word, std::uint32_t trace, std::uint16_t thread,
                          tally& counts) noexcept;
  enum class resized : std::uint8_t { yes, no, judge_again };
  /// Calls it that large where it stands. No, where it has no room, or its redzone was written to, which the free must
  /// still see.
  [[nodiscard]] resized resize(large_block& b, const void* p, std::uint64_t word, std::size_t new_bytes) noexcept;

  [[nodiscard]] std::size_t verify(const inspection& why) noexcept;
  /// All live blocks as owners of nothing.
  void collect_live(leak_groups& groups) noexcept;
  /// All live blocks. Throws std::bad_alloc.
  void add_live(leak_scan& scan);
  /// The live block that starts at `base`. False when there is none.
  [[nodiscard]] bool read_live(const std::byte* base, live_block& b) const noexcept;
  /// The same is meant to stay. False when there is none.
  [[nodiscard]] bool ignore(const std::byte* base) noexcept;
  /// The same of a block that is known, whose word was `word`. False: it is not live any more.
  [[nodiscard]] static bool ignore(large_block& b, std::uint64_t word) noexcept;
  /// Copies what the live block holds at `offset`, as far as it goes and can be read; returns how much. A freed block's
  /// pages go under the lock that is held meanwhile.
  [[nodiscard]] std::size_t copy_live(const std::byte* base, std::size_t offset, std::span<std::byte> to) noexcept;
  void visit_live(live_visitor& v) noexcept;
  /// Memory was refused: forgets the freed blocks, whose addresses may be what is missing. False when there were none, or
  /// when no address may be used twice.
  bool end_quarantine() noexcept;
  /// Gives back the pages of ranges that wait for a next block.
  void trim() noexcept;
  /// Gives back everything that is not live; over a user's upstream, everything.
  void bury() noexcept;
  [[nodiscard]] bool free_buried(large_block& b, const void* p, std::uint64_t word) noexcept;
  void release() noexcept;

  [[nodiscard]] std::size_t held_bytes() const noexcept { return held_.load(std::memory_order_relaxed); }
  void lock_for_fork() noexcept GPA_ACQUIRE(lock_) { lock_.lock(); }
  void unlock_after_fork() noexcept GPA_RELEASE(lock_) { lock_.unlock(); }
  /// In the child: threads that had set room aside for a spare are not there.
  void become_child() noexcept;

 private:
  /// Whether the record, which was found with no lock held, is still that of this resource's block at `p`: since then the
  /// block may have been freed and forgotten, and the record be anybody's.
  [[nodiscard]] bool is_block_at(const void* p, const large_block& b) const noexcept GPA_REQUIRES(lock_);
  /// The live block that starts at `base`, or null.
  [[nodiscard]] large_block* live_at(const std::byte* base) const noexcept GPA_REQUIRES(lock_);
  struct block_list {
    large_block* first = nullptr;  // newest
    large_block* last = nullptr;   // oldest
    std::size_t count = 0;
    std::size_t bytes = 0;
    void add(large_block& b) noexcept;
    void insert_before(large_block& other, large_block& b) noexcept;
    void remove(large_block& b) noexcept;
  };
  /// An accessible range that waits for a block: the pages of a freed one.
  struct spare {
    std::byte* base = nullptr;
    std::size_t bytes = 0;
  };
  static constexpr std::size_t most_spares = 64;

  [[nodiscard]] std::size_t range_size(std::size_t bytes) const noexcept;
  [[nodiscard]] bool could_make_room(std::size_t bytes) const noexcept;
  /// Sets the base of `b`. False when refused, nothing changed.
  [[nodiscard]] bool take_range(large_block& b) noexcept;
  /// The other way, of a range that no list knows.
  void give_range_back(const large_block& b) noexcept;
  [[nodiscard]] std::byte* take_spare(std::size_t bytes) noexcept;
  /// Reserved, inaccessible addresses; into `merges`, whether they are one mapping with what is closed beside them.
  [[nodiscard]] std::byte* take_addresses(std::size_t bytes, bool& merges) noexcept;
  [[nodiscard]] void* hand_out_again(large_block& b, std::size_t bytes, std::size_t alignment, std::uint32_t trace,
                                     std::uint16_t thread) noexcept;
  [[nodiscard]] void* hand_out(large_block& b, std::size_t bytes, std::size_t alignment, std::uint32_t trace,
                               std::uint16_t thread) noexcept;
  [[nodiscard]] bool protects_all() const noexcept;
  [[nodiscard]] bool protects(const large_block& b, std::size_t bytes) const noexcept;
  void fill(large_block& b, std::size_t bytes) noexcept;
  [[nodiscard]] bool close(large_block& b, bool keeps_pages) noexcept;
  /// It becomes a freed block, if it `stays`; else it is forgotten.
  void keep_or_forget(large_block& b, bool stays) noexcept;
  [[nodiscard]] bool reopen(large_block& b) noexcept;
  /// In this process, of such resources.
  [[nodiscard]] static bool are_many_open() noexcept;
  static void note_gone(const large_block& b) noexcept;
  [[nodiscard]] bool move_out(large_block& b) noexcept;
  [[nodiscard]] bool have_room_for_spare(std::size_t bytes) noexcept;
  void take_out(spare taken) noexcept GPA_REQUIRES(lock_);
  void drop_spare(const spare& s) noexcept;
  void drop_spares() noexcept;
  [[nodiscard]] large_block* take_waiting(std::size_t bytes, std::size_t alignment) noexcept;
  [[nodiscard]] large_block* take_old(std::size_t bytes, std::size_t alignment) noexcept;
  [[nodiscard]] bool is_written(const large_block& b) const noexcept;
  void keep_freed(large_block& b) noexcept GPA_REQUIRES(lock_);
  void leave_freed(large_block& b) noexcept GPA_REQUIRES(lock_);
  void leave_map(large_block& b) noexcept GPA_REQUIRES(lock_);
  void limit_quarantine() noexcept;
  [[nodiscard]] bool protect_oldest(std::size_t most_bytes) noexcept;
  enum class kept : std::uint8_t { live, freed, filled };
  [[nodiscard]] block_list& blocks_of(kept as) noexcept GPA_REQUIRES(lock_);
  [[nodiscard]] bool forget_oldest(kept as, std::size_t most_blocks, std::size_t most_bytes) noexcept;
  void remove(std::span<large_block*> gone) noexcept;
  static void delete_record(large_block& b) noexcept;
  [[nodiscard]] gpa::report overflow_report(const large_block& b, std::uint64_t word, gpa::stack_trace here,
                                            std::string_view reason) const noexcept;
  [[nodiscard]] gpa::report write_after_free_report(const large_block& b, gpa::stack_trace here,
                                                    std::string_view reason) const noexcept;
  void remove_all(kept as) noexcept;

  owner& owner_;
  supply& supply_;
  const std::size_t quarantine_bytes_;
  const large_poison poison_;
  const gpa::protect_large protect_;
  std::atomic<std::size_t> held_{0};
  std::atomic<bool> fills_{false};  // blocks of the system's were filled

  mutable mutex lock_;
  block_list live_ GPA_GUARDED_BY(lock_);
  block_list freed_ GPA_GUARDED_BY(lock_);   // closed, or zeros
  block_list filled_ GPA_GUARDED_BY(lock_);  // with poison
  std::array<spare, most_spares> spares_ GPA_GUARDED_BY(lock_){};
  std::size_t spare_bytes_ GPA_GUARDED_BY(lock_) = 0;  // with those on their way in, as the number
  std::size_t spare_count_ GPA_GUARDED_BY(lock_) = 0;
  std::size_t next_dropped_ GPA_GUARDED_BY(lock_) = 0;
  address_stock stock_ GPA_GUARDED_BY(lock_);
};

}  // namespace gpa::detail
