// What becomes of a freed large block, and when it is forgotten.
#include "checked/large_blocks.hpp"

#include "base/bits.hpp"
#include "base/tools.hpp"
#include "os/page_cost.hpp"
#include "os/pages.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <span>
#include <string_view>

namespace gpa::detail {

namespace {

// Of closed ones: how many addresses are kept.
constexpr std::size_t most_freed = 65536;
constexpr std::size_t most_freed_where_many_are_open = 4 * most_freed;  // of each the kernel may keep page tables
constexpr std::size_t most_freed_bytes = std::size_t{1} << 43;
constexpr std::size_t most_freed_sampled = std::size_t{1} << 30;  // of the range that all resources share
constexpr std::size_t most_forgotten_at_once = 64;
constexpr unsigned most_forgotten_a_time = 8;  // of these at once: a free adds one, but the limit may have fallen
constexpr std::size_t most_looked_at = 256;

// Of those that stay accessible.
constexpr std::size_t largest_filled = std::size_t{8} << 20;
constexpr std::size_t always_filled = 3 * granule_size;  // a range as large at most: touched or not
constexpr std::size_t longest_quarantine = std::size_t{64} << 20;
constexpr std::size_t most_waiting_bytes = std::size_t{24} << 20;  // whose quarantine is over, with spares
constexpr std::size_t always_protected = std::size_t{2} << 20;  // of a process, with protect_large::automatic

constexpr std::string_view found_at_end = "found when the block left its quarantine";

constinit std::atomic<std::size_t> freed_automatically{0};  // bytes in this process, as long as it matters

// The first blocks of a process are protected wherever it runs, so that a small program's mistake faults at once; when
// there are many, the machine decides.
bool decide_to_protect(std::size_t bytes) noexcept
{
  if (freed_automatically.load(std::memory_order_relaxed) < always_protected) {
    freed_automatically.fetch_add(bytes, std::memory_order_relaxed);
    return true;
  }
  return !moving_pages_is_dear();
}

}  // namespace

bool large_blocks::protects_all() const noexcept
{
  return supply_.in_sampled_range() || protect_ == gpa::protect_large::always || quarantine_bytes_ > longest_quarantine;
}

// Whether a block that is being freed becomes inaccessible. One that was hardly touched does: poison would touch it.
bool large_blocks::protects(const large_block& b, std::size_t bytes) const noexcept
{
  if (!supply_.from_system()) return false;
  if (protects_all() || bytes > largest_filled || b.range_alignment != granule_size) return true;
  if (protect_ == gpa::protect_large::automatic && decide_to_protect(bytes)) return true;
  return !b.touched && b.bytes > always_filled && !mostly_resident(b.base, bytes);
}

void large_blocks::fill(large_block& b, std::size_t bytes) noexcept
{
  tools_open(b.base, b.bytes);
  poison_.write(b.base, bytes, b.bytes);
  tools_close(b.base, b.bytes);
  if (bytes >= b.bytes / 2) b.touched = true;
}

void large_blocks::keep_freed(large_block& b) noexcept
{
  if (b.filled) return filled_.add(b);
  freed_.add(b);
  if (b.closed && b.merges) stock_.note_closed(b.base, b.bytes);
}

void large_blocks::keep_or_forget(large_block& b, bool stays) noexcept
{
  {
    const mutex_guard guard(lock_);
    if (stays) return keep_freed(b);
    leave_map(b);
  }
  std::array gone{&b};
  remove(gone);
}

void large_blocks::leave_freed(large_block& b) noexcept
{
  if (b.filled) return filled_.remove(b);
  freed_.remove(b);
  if (b.closed && b.merges) stock_.note_forgotten(b.base, b.bytes);
}

// A range that was filled, as large as wanted or a quarter larger, whose quarantine is over: the oldest one. It stands in
// no list any more, and is still entered as a freed block.
large_block* large_blocks::take_waiting(std::size_t bytes, std::size_t alignment) noexcept
{
  if (!fills_.load(std::memory_order_relaxed) || alignment != granule_size) return nullptr;
  const mutex_guard guard(lock_);
  std::size_t younger = filled_.bytes;
  for (large_block* b = filled_.last; b != nullptr; b = b->previous) {
    younger -= b->bytes;
    if (younger < quarantine_bytes_) break;
    if (b->bytes < bytes || b->bytes > bytes + bytes / 4) continue;
    leave_freed(*b);
    return b;
  }
  return nullptr;
}

// Where many ranges are open, one that is forgotten would part two of them for good. So more freed ones are kept, and of the
// oldest one is used again by a block that needs as much or a little less.
large_block* large_blocks::take_old(std::size_t bytes, std::size_t alignment) noexcept
{
  if (!are_many_open() || alignment != granule_size || quarantine_bytes_ == static_cast<std::size_t>(-1)) return nullptr;
  large_block* old = nullptr;
  {
    const mutex_guard guard(lock_);
    const std::size_t too_many = freed_.count - std::min(freed_.count, most_freed);
    large_block* b = freed_.last;
    for (std::size_t n = std::min(too_many, most_looked_at); n != 0 && old == nullptr; --n, b = b->previous)
      if (b->entered && b->merges && b->bytes >= bytes && b->bytes <= bytes + bytes / 4) old = b;
    if (old != nullptr) leave_freed(*old);
  }
  if (old == nullptr || reopen(*old)) return old;
  const mutex_guard guard(lock_);
  keep_freed(*old);
  return nullptr;
}

bool large_blocks::is_written(const large_block& b) const noexcept
{
  return b.filled && !poison_.stands(b.base, large_bytes(b.word.load(std::memory_order_relaxed)), b.bytes);
}

// ---- the end of a quarantine ----

// The oldest freed blocks are forgotten when there are too many of them; those that wait for a next block, closed.
void large_blocks::limit_quarantine() noexcept
{
  if (quarantine_bytes_ == static_cast<std::size_t>(-1)) return;  // an address is never reused
  if (!supply_.from_system()) {
    while (forget_oldest(kept::filled, ~std::size_t{0}, quarantine_bytes_)) {
    }
    return;
  }
  while (fills_.load(std::memory_order_relaxed) && protect_oldest(quarantine_bytes_ + most_waiting_bytes)) {
  }
  const std::size_t most_bytes = supply_.in_sampled_range() ? most_freed_sampled : most_freed_bytes;
  const std::size_t most_blocks = are_many_open() ? most_freed_where_many_are_open : most_freed;
  for (unsigned i = 0; i != most_forgotten_a_time && forget_oldest(kept::freed, most_blocks, most_bytes); ++i) {
  }
}

// Beside what is free, of which nobody knows how much there is: but a request that is a thousand times as large, as no
// machine may be able to meet it, costs no freed block its record.
bool large_blocks::could_make_room(std::size_t bytes) const noexcept
{
  const mutex_guard guard(lock_);
  return bytes / 1024 <= freed_.bytes + filled_.bytes + spare_bytes_;
}

bool large_blocks::end_quarantine() noexcept
{
  if (quarantine_bytes_ == static_cast<std::size_t>(-1)) return false;
  trim();
  bool any = false;
  while (forget_oldest(supply_.from_system() ? kept::freed : kept::filled, 0, 0)) any = true;
  return any;
}

// Of what waits over the system: a spare is let go, if there is one, or a block that was filled is closed, and stays a
// freed block. False: there is no more than that.
bool large_blocks::protect_oldest(std::size_t most_bytes) noexcept
{
  large_block* b = nullptr;
  spare dropped;
  {
    const mutex_guard guard(lock_);
    if (filled_.last == nullptr || filled_.bytes + spare_bytes_ <= most_bytes) return false;
    for (const spare& s : spares_)
      if (s.base != nullptr) dropped = s;
    if (dropped.base != nullptr) {
      take_out(dropped);
    } else {
      b = filled_.last;
      leave_freed(*b);
    }
  }
  if (b == nullptr) {
    drop_spare(dropped);
    return true;
  }
  gpa::report r;
  const bool written = is_written(*b);
  if (written) r = write_after_free_report(*b, {}, found_at_end);
  b->filled = false;
  keep_or_forget(*b, close(*b, false));
  if (written) owner_.tell(r);
  return true;
}

// Some of them at once: those that lie side by side are unmapped by one call. False: there are no more than that.
bool large_blocks::forget_oldest(kept as, std::size_t most_blocks, std::size_t most_bytes) noexcept
{
  std::array<large_block*, most_forgotten_at_once> oldest;
  const std::size_t most = supply_.from_system() ? oldest.size() : 1;
  std::size_t count = 0;
  {
    const mutex_guard guard(lock_);
    const block_list& blocks = blocks_of(as);
    if (blocks.last == nullptr || (blocks.count <= most_blocks && blocks.bytes <= most_bytes)) return false;
    for (; count != most && blocks.last != nullptr; ++count) {
      if (count != 0 && blocks.bytes <= most_bytes && blocks.count <= most_blocks / 2) break;
      large_block& b = *blocks.last;
      oldest[count] = &b;
      leave_freed(b);
      leave_map(b);
    }
  }
  for (std::size_t i = 0; i != count; ++i)
    if (is_written(*oldest[i])) owner_.tell(write_after_free_report(*oldest[i], {}, found_at_end));
  remove({oldest.data(), count});
  return true;
}

// Together with the list that it stood in, so that whoever has the lock finds no record that is about to go.
void large_blocks::leave_map(large_block& b) noexcept
{
  if (b.entered) clear_region(b);
  b.entered = false;
}

// Blocks that stand in no list any more, nor in the page map, lose their ranges and their records.
void large_blocks::remove(std::span<large_block*> gone) noexcept
{
  std::ranges::sort(gone, {}, [](const large_block* b) { return address(b->base); });
  for (std::size_t i = 0; i != gone.size();) {
    std::byte* const base = gone[i]->base;
    const std::size_t alignment = gone[i]->range_alignment;
    const bool closed = gone[i]->closed;
    std::size_t bytes = 0;
    do {
      large_block& b = *gone[i++];
      note_gone(b);
      const bool held = b.filled || is_live(large_state(b.word.load(std::memory_order_relaxed)));
      if (held) held_.fetch_sub(b.bytes, std::memory_order_relaxed);
      bytes += b.bytes;
      delete_record(b);
    } while (supply_.from_system() && i != gone.size() && gone[i]->base == base + bytes &&
             gone[i]->closed == closed);
    supply_.give_back(base, bytes, alignment, closed ? given_back::closed : given_back::used);
  }
}

large_blocks::block_list& large_blocks::blocks_of(kept as) noexcept
{
  return as == kept::live ? live_ : as == kept::freed ? freed_ : filled_;
}

void large_blocks::remove_all(kept as) noexcept
{
  for (;;) {
    std::array<large_block*, most_forgotten_at_once> gone;
    std::size_t count = 0;
    {
      const mutex_guard guard(lock_);
      block_list& blocks = blocks_of(as);
      for (; count != gone.size() && blocks.first != nullptr; ++count) {
        large_block& b = *blocks.first;
        gone[count] = &b;
        if (as == kept::live) {
          blocks.remove(b);
        } else {
          leave_freed(b);
        }
        leave_map(b);
      }
    }
    if (count == 0) return;
    remove({gone.data(), count});
  }
}

void large_blocks::bury() noexcept
{
  drop_spares();
  remove_all(kept::filled);
  remove_all(kept::freed);
  if (!supply_.from_system()) remove_all(kept::live);
  const mutex_guard guard(lock_);
  stock_.release();
}

}  // namespace gpa::detail
