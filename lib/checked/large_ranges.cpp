// Where the ranges of large blocks come from, and how a freed one is closed and its pages handed on.
//
// Mappings of a process, which the kernel counts: of reserved addresses, what is closed is one mapping with its closed
// neighbours, so there are at most as many closed mappings as open ones between them (and one more), and at most as many
// as were closed. A range that was a mapping of its own before may stay one.
#include "checked/large_blocks.hpp"

#include "base/bits.hpp"
#include "base/tools.hpp"
#include "blocks/sampled_range.hpp"
#include "os/metadata.hpp"
#include "os/pages.hpp"
#include "os/text.hpp"

#include <algorithm>
#include <new>

namespace gpa::detail {

namespace {

constexpr std::size_t most_spare_bytes = std::size_t{32} << 20;
constexpr std::size_t largest_spare = std::size_t{8} << 20;
constexpr std::size_t largest_reserve = std::size_t{4} << 30;
// Linux on x86 takes up to 33 pages out of the CPU's address tables one by one, 150 ns each, and more of them all at
// once: moving 32 pages takes 9 microseconds, 48 take 3. The addresses cost nothing.
constexpr std::size_t least_range = 3 * granule_size;
// Each that is closed may cost four of the 65 530 mappings that the kernel allows: it parts open neighbours, and its pages,
// moved to the next block, part others. So half of them stay the program's, and the open ranges' own.
constexpr std::uint32_t most_closed = 65530 / 8;
// With more ranges than this pages move no more, as what they moved into is a mapping of its own; and nothing is unmapped
// alone that would part two of them.
constexpr std::uint32_t many_open = 65530 / 8;

// Of this process: accessible ranges among reserved addresses, inaccessible ones there, and inaccessible ones elsewhere.
constinit std::atomic<std::uint32_t> open_ranges{0};
constinit std::atomic<std::uint32_t> closed_ranges{0};
constinit std::atomic<std::uint32_t> lone_ranges{0};
constinit std::atomic<bool> said_accessible{false};

void add(std::atomic<std::uint32_t>& n) noexcept { n.fetch_add(1, std::memory_order_relaxed); }
void subtract(std::atomic<std::uint32_t>& n) noexcept { n.fetch_sub(1, std::memory_order_relaxed); }

// With what lies free between those of the sampled range.
std::size_t count_open() noexcept
{
  return open_ranges.load(std::memory_order_relaxed) + open_runs_of_sampled_range();
}
std::size_t count_closed() noexcept
{
  return closed_ranges.load(std::memory_order_relaxed) + closed_runs_of_sampled_range();
}

bool may_close(bool merges) noexcept
{
  const std::size_t merged = std::min(count_open(), count_closed());
  const std::uint32_t lone = lone_ranges.load(std::memory_order_relaxed);
  return lone + merged < most_closed && (merges || lone < most_closed / 2);
}

void note_closed(large_block& b) noexcept
{
  b.closed = true;
  if (b.merges) subtract(open_ranges);
  add(b.merges ? closed_ranges : lone_ranges);
}

}  // namespace

bool large_blocks::are_many_open() noexcept { return count_open() > many_open; }

void large_blocks::note_gone(const large_block& b) noexcept
{
  if (b.closed) subtract(b.merges ? closed_ranges : lone_ranges);
  if (!b.closed && b.merges) subtract(open_ranges);
}

std::size_t large_blocks::range_size(std::size_t bytes) const noexcept
{
  const std::size_t size = round_up(bytes + 1, granule_size);
  return supply_.from_system() && !supply_.in_sampled_range() ? std::max(size, least_range) : size;
}

bool large_blocks::take_range(large_block& b) noexcept
{
  b.merges = false;
  // Very large ones are asked for as accessible memory, so that the system can refuse what is more than there is.
  if (!supply_.from_system() || b.range_alignment > granule_size || b.bytes > largest_reserve) {
    b.base = supply_.take(b.bytes, b.range_alignment);
    return b.base != nullptr;
  }
  b.base = take_spare(b.bytes);
  b.merges = b.base != nullptr;
  if (b.merges) return true;
  b.base = take_addresses(b.bytes, b.merges);
  if (b.base == nullptr) {
    b.merges = false;
    b.base = supply_.take(b.bytes, b.range_alignment);
    return b.base != nullptr;
  }
  if (open_pages(b.base, b.bytes)) {
    if (b.merges) add(open_ranges);
    return true;
  }
  supply_.give_back(b.base, b.bytes, granule_size, given_back::untouched);
  return false;
}

void large_blocks::give_range_back(const large_block& b) noexcept
{
  note_gone(b);
  supply_.give_back(b.base, b.bytes, b.range_alignment);
}

std::byte* large_blocks::take_addresses(std::size_t bytes, bool& merges) noexcept
{
  merges = true;
  if (supply_.in_sampled_range()) return supply_.reserve(bytes);  // few blocks, many resources: no stock for each
  {
    const mutex_guard guard(lock_);
    if (bytes <= stock_.largest()) return stock_.take(bytes);
  }
  merges = false;
  return supply_.reserve(bytes);
}

// Makes a freed block inaccessible; its pages move to where the next one will be, or go. Where it cannot be closed, it is
// zeros from now on. False: it has a mapping of its own, and must go, or there would be one more with each block.
bool large_blocks::close(large_block& b, bool keeps_pages) noexcept
{
  tools_close(b.base, b.bytes);
  held_.fetch_sub(b.bytes, std::memory_order_relaxed);
  if (!may_close(b.merges)) {
    if (!b.merges) return false;
    discard_pages(b.base, b.bytes);
    if (!said_accessible.exchange(true, std::memory_order_relaxed)) {
      text note;
      note.append("gpa: note: resource \"");
      note.append(owner_.name());
      note.append("\": very many large blocks are in quarantine; from now on freed ones stay accessible (zeros)\n");
      note.write_to_stderr();
    }
    return true;
  }
  if ((keeps_pages && !are_many_open() && move_out(b)) || close_pages(b.base, b.bytes))
    note_closed(b);
  else
    discard_pages(b.base, b.bytes);
  return true;
}

// The other way: what was closed, or is zeros, has no page and is accessible. False when refused.
bool large_blocks::reopen(large_block& b) noexcept
{
  if (b.closed && !open_pages(b.base, b.bytes)) return false;
  b.touched = false;
  if (b.closed) {
    note_gone(b);
    b.closed = false;
    if (b.merges) add(open_ranges);
  }
  held_.fetch_add(b.bytes, std::memory_order_relaxed);
  return true;
}

// ---- spares ----

// The pages of a freed block move to where the next one of that size will be. False: they did not.
bool large_blocks::move_out(large_block& b) noexcept
{
  if (b.bytes > largest_spare || b.range_alignment != granule_size || !have_room_for_spare(b.bytes)) return false;
  bool merges = false;
  std::byte* const next = take_addresses(b.bytes, merges);
  const bool moved = merges && next != nullptr && move_pages(b.base, next, b.bytes);
  if (!moved && next != nullptr) supply_.give_back(next, b.bytes, granule_size, given_back::untouched);
  if (moved) {
    tools_close(next, b.bytes);  // what the block held is there now
    add(open_ranges);
    held_.fetch_add(b.bytes, std::memory_order_relaxed);
  }
  const mutex_guard guard(lock_);
  if (!moved) {
    spare_bytes_ -= b.bytes;
    --spare_count_;
    return false;
  }
  for (spare& s : spares_) {
    if (s.base != nullptr) continue;
    s = {next, b.bytes};
    break;
  }
  return true;
}

// Sets room aside. When there is none, another size is asked for now than those that wait: the one that comes next in
// turn is let go. False: as large ones wait already, and nothing was set aside.
bool large_blocks::have_room_for_spare(std::size_t bytes) noexcept
{
  for (;;) {
    spare dropped;
    {
      const mutex_guard guard(lock_);
      if (spare_count_ < most_spares && spare_bytes_ + bytes <= most_spare_bytes) {
        ++spare_count_;
        spare_bytes_ += bytes;
        return true;
      }
      for (std::size_t i = 0; i != most_spares; ++i) {
        spare& s = spares_[(next_dropped_ + i) % most_spares];
        if (s.base == nullptr) continue;
        if (s.bytes == bytes) return false;
        if (dropped.base == nullptr) dropped = s;
      }
      if (dropped.base == nullptr) return false;  // others are moving theirs in
      take_out(dropped);
    }
    drop_spare(dropped);
  }
}

// Of the list; the range itself is the caller's from now on.
void large_blocks::take_out(spare taken) noexcept
{
  for (spare& s : spares_) {
    if (s.base != taken.base) continue;
    next_dropped_ = static_cast<std::size_t>(&s - spares_.data()) + 1;
    s = {};
    spare_bytes_ -= taken.bytes;
    --spare_count_;
    held_.fetch_sub(taken.bytes, std::memory_order_relaxed);
    return;
  }
}

std::byte* large_blocks::take_spare(std::size_t bytes) noexcept
{
  const mutex_guard guard(lock_);
  if (spare_bytes_ < bytes) return nullptr;
  for (const spare& s : spares_) {
    if (s.bytes != bytes) continue;
    std::byte* const base = s.base;
    take_out(s);
    return base;
  }
  return nullptr;
}

// Its pages go. Its addresses stay as those of a freed block, which nobody was ever given: unmapped alone they would part
// two closed neighbours, one mapping more each time.
void large_blocks::drop_spare(const spare& s) noexcept
{
  large_block dropped;
  dropped.base = s.base;
  dropped.bytes = s.bytes;
  dropped.range_alignment = granule_size;
  dropped.merges = true;
  void* const place = supply_.in_sampled_range() ? nullptr : metadata_allocate(sizeof(large_block));
  if (place == nullptr || !close_pages(s.base, s.bytes)) {
    if (place != nullptr) metadata_free(place, sizeof(large_block));
    give_range_back(dropped);
    return;
  }
  auto& b = *new (place) large_block;
  b.owner = &owner_;
  b.base = s.base;
  b.bytes = s.bytes;
  b.kind = region_kind::checked_large;
  b.range_alignment = granule_size;
  b.merges = true;
  b.word.store(encode_large(slot_state::poisoned, 0, 1), std::memory_order_relaxed);
  note_closed(b);
  const mutex_guard guard(lock_);
  keep_freed(b);
}

void large_blocks::trim() noexcept
{
  drop_spares();
  if (!supply_.from_system()) return;
  std::size_t count = 0;  // others may free faster than this goes
  {
    const mutex_guard guard(lock_);
    count = filled_.count + spare_count_;
  }
  while (count-- != 0 && protect_oldest(0)) {
  }
}

void large_blocks::drop_spares() noexcept
{
  for (std::size_t i = 0; i != most_spares; ++i) {
    spare dropped;
    {
      const mutex_guard guard(lock_);
      if (spare_count_ == 0) return;
      dropped = spares_[i];
      if (dropped.base != nullptr) take_out(dropped);
    }
    if (dropped.base != nullptr) drop_spare(dropped);
  }
}

void large_blocks::become_child() noexcept
{
  const mutex_guard guard(lock_);
  spare_count_ = 0;
  spare_bytes_ = 0;
  for (const spare& s : spares_) {
    if (s.base == nullptr) continue;
    ++spare_count_;
    spare_bytes_ += s.bytes;
  }
}

}  // namespace gpa::detail
