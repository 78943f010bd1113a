// What one thread keeps of the fast heap: for each size class an array of free slots, used as a stack.
//
//    bin     base                 top                 end
//             | slot | slot | slot |                   |        each an address; the hottest is on top
//
// No link runs through the blocks: a free touches nothing of the block, a batch is taken from or given to a slab
// without walking through cold memory, a slot stays closed to ASan and Valgrind while it is free, and a write after
// free can damage nobody but the block's next user. The price is eight bytes for each slot that is kept.
//
// When a burst of blocks is freed, slots kept here would keep many slabs from being given back. So while much memory
// lies free in slabs, arrays are emptied, and hold eight slots at most (four of 8 KiB, one of 32), as many for all threads
// together, but one each, and one for 64 that are in use; until they are refilled.
//
// An array starts with as many slots as fit 8 KiB (2 to 64). When it overflows and was refilled since it last did, it
// doubles, up to 2 MiB of slots, while all arrays of the cache together are for less than 4 MiB, or, up to 512 KiB, for
// less than 8 while those of all threads are for less than 16: a thread that frees what others allocate keeps little.
// When it may not, arrays that were neither full nor empty for a while become smaller by half: what a program does
// changes, and its next part has other sizes.
//
// Large blocks of up to 256 KiB are kept as well, 512 KiB together: freed and allocated again they cost no lock and no
// write to the page map. When they would be more, all go back to the span cache.
//
// Not thread-safe: its cache's thread owns it.
#pragma once

#include "base/size_class.hpp"
#include "blocks/thread_caches.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace gpa::detail {

/// Slots that move between a thread and the heap under one hold of their class's lock.
inline constexpr std::uint32_t most_in_batch = 64;

struct alignas(32) fast_bin {  // a size that needs no multiplication
  void** top = nullptr;        // the next free place; class 0 does not exist: its bin is empty and full at once
  void** base = nullptr;
  void** end = nullptr;
  std::uint32_t capacity = 0;  // end - base, but where few are kept while much memory lies free in slabs
  bool refilled = false;       // since it last overflowed: this thread allocates what it frees
  bool scarce = false;         // it was refilled, or was full, since arrays were last made smaller
  bool has_its_own = false;    // a slab was made for it since its thread began

  [[nodiscard]] std::uint32_t room() const noexcept { return static_cast<std::uint32_t>(end - base); }
  [[nodiscard]] std::uint32_t count() const noexcept { return static_cast<std::uint32_t>(top - base); }
};
static_assert(sizeof(fast_bin) == 32);

constexpr std::uint32_t slots_in(std::size_t bytes, std::size_t slot, std::uint32_t least, std::uint32_t most) noexcept
{
  return static_cast<std::uint32_t>(std::clamp<std::size_t>(bytes / slot, least, most));
}
constexpr std::uint32_t first_capacity(std::size_t slot) noexcept
{
  return slots_in(std::size_t{8} << 10, slot, 2, most_in_batch);
}
constexpr std::uint32_t most_capacity(std::size_t slot) noexcept
{
  return slots_in(std::size_t{2} << 20, slot, 2, 8192);
}

/// What an array holds while much memory lies free in slabs: a slot kept here keeps the whole slab it is in, so those of
/// half a MiB of slabs, and eight at most, but one each, in the arrays of all threads together. (Those of a MiB: 8 KiB blocks 6 to 10 %
/// faster after many were freed, and a burst of all sizes keeps 3 MiB more than it may.)
constexpr std::uint32_t least_capacity(std::size_t slab, std::uint32_t threads) noexcept
{
  return slots_in((std::size_t{512} << 10) / threads, slab, 1, std::max(8 / threads, 1U));
}

struct span;

struct fast_cache : cache_header {
  static constexpr std::size_t most_kept = std::size_t{4} << 20;
  static constexpr std::size_t most_kept_by_few = std::size_t{8} << 20;  // threads
  static constexpr std::size_t large_array = std::size_t{512} << 10;
  static constexpr std::size_t most_kept_large = std::size_t{512} << 10;
  static constexpr std::size_t kept_granules = 4;
  static constexpr unsigned most_refused = 256;

  fast_cache() noexcept { counts.set_due(tally::never); }

  std::size_t could_keep = 0;  // bytes of slots that the arrays have room for
  unsigned refused = 0;        // times that an array could not become larger, since others were last made smaller
  std::size_t kept_large = 0;  // bytes of the spans below
  bool frugal = false;         // the arrays were emptied because much memory lies free in slabs
  std::array<fast_bin, class_count> bins;
  std::array<span*, kept_granules> large{};  // freed last, by granules, linked by `next`
};

}  // namespace gpa::detail
