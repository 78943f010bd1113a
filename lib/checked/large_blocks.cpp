#include "checked/large_blocks.hpp"

#include "base/bits.hpp"
#include "base/tools.hpp"
#include "checked/fill.hpp"
#include "os/metadata.hpp"
#include "os/pages.hpp"
#include "os/text.hpp"

#include <algorithm>
#include <new>

namespace gpa::detail {

namespace {

constexpr std::size_t most_freed = 65536;                      // blocks whose addresses are kept
constexpr std::size_t most_freed_bytes = std::size_t{1} << 43;  // of address space
constexpr std::size_t most_freed_sampled = std::size_t{1} << 30;  // of the range that all resources share
constexpr std::size_t most_spare_bytes = std::size_t{32} << 20;
constexpr std::size_t largest_spare = std::size_t{8} << 20;
constexpr std::size_t largest_reserve = std::size_t{4} << 30;
constexpr std::uint32_t most_closed = 65530 / 4;  // of the mappings a process may have

// Of this process, as the kernel counts.
constinit std::atomic<std::uint32_t> closed_ranges{0};
constinit std::atomic<bool> said_accessible{false};

bool is_told(std::uint64_t word) noexcept
{
  const slot_state s = large_state(word);
  return s == slot_state::live_inspected || s == slot_state::ignored_inspected || s == slot_state::poisoned_inspected;
}

void delete_record(large_block& b) noexcept { metadata_free(&b, sizeof b); }

}  // namespace

void large_blocks::block_list::add(large_block& b) noexcept
{
  b.previous = nullptr;
  b.next = first;
  if (first != nullptr) first->previous = &b;
  first = &b;
  if (last == nullptr) last = &b;
  ++count;
  bytes += b.bytes;
}

void large_blocks::block_list::insert_before(large_block& other, large_block& b) noexcept
{
  b.previous = other.previous;
  b.next = &other;
  (b.previous != nullptr ? b.previous->next : first) = &b;
  other.previous = &b;
  ++count;
  bytes += b.bytes;
}

void large_blocks::block_list::remove(large_block& b) noexcept
{
  (b.previous != nullptr ? b.previous->next : first) = b.next;
  (b.next != nullptr ? b.next->previous : last) = b.previous;
  --count;
  bytes -= b.bytes;
}

large_blocks::~large_blocks() { release(); }

void* large_blocks::allocate(std::size_t bytes, std::size_t alignment, std::uint32_t trace,
                             std::uint16_t thread) noexcept
{
  if (!encodable_large(bytes, alignment)) return nullptr;
  const std::size_t range = round_up(bytes + 1, granule_size);
  const std::size_t range_alignment = std::max(alignment, granule_size);
  void* const place = metadata_allocate(sizeof(large_block));
  if (place == nullptr) return nullptr;
  std::byte* base = take_range(range, range_alignment);
  if (base == nullptr && end_quarantine()) base = take_range(range, range_alignment);
  if (base == nullptr) {
    metadata_free(place, sizeof(large_block));
    return nullptr;
  }
  auto& b = *new (place) large_block;
  b.owner = &owner_;
  b.base = base;
  b.bytes = range;
  b.kind = region_kind::checked_large;
  b.range_alignment = range_alignment;
  b.alloc_trace.store(trace, std::memory_order_relaxed);
  b.alloc_thread.store(thread, std::memory_order_relaxed);
  write_redzone(base, bytes, range);
  tools_close(base, range);  // core opens what is the user's
  b.word.store(encode_large(slot_state::live, bytes, alignment), std::memory_order_release);
  if (!enter_region(b)) {
    supply_.give_back(base, range, range_alignment);
    delete_record(b);
    return nullptr;
  }
  held_.fetch_add(range, std::memory_order_relaxed);
  const mutex_guard guard(lock_);
  live_.add(b);
  return base;
}

bool large_blocks::free(large_block& b, std::uint64_t word, std::uint32_t trace, std::uint16_t thread) noexcept
{
  std::uint64_t expected = word;
  if (!b.word.compare_exchange_strong(expected, large_with_state(word, slot_state::freed), std::memory_order_acq_rel))
    return false;
  b.free_trace.store(trace, std::memory_order_relaxed);
  b.free_thread.store(thread, std::memory_order_relaxed);
  {
    const mutex_guard guard(lock_);  // verify() reads live blocks under it
    live_.remove(b);
  }
  const std::size_t bytes = large_bytes(word);
  const bool damaged = !is_told(word) && !redzone_intact(b.base, bytes, b.bytes);
  gpa::report r;
  if (damaged) r = overflow_report(b, word, gpa::stack_trace(trace, thread), "found when the block was freed");
  close(b);
  b.word.store(large_with_state(word, slot_state::poisoned), std::memory_order_release);
  {
    const mutex_guard guard(lock_);
    freed_.add(b);
  }
  limit_quarantine();
  if (damaged) owner_.tell(r);
  return true;
}

bool large_blocks::fits(const large_block& b, std::uint64_t word, std::size_t bytes) const noexcept
{
  return bytes < b.bytes && redzone_intact(b.base, large_bytes(word), b.bytes);
}

bool large_blocks::resize(large_block& b, std::uint64_t word, std::size_t new_bytes) noexcept
{
  const mutex_guard guard(lock_);  // against verify(), which would see the new size before its redzone
  std::uint64_t expected = word;
  const std::uint64_t resized = encode_large(large_state(word), new_bytes, large_alignment(word));
  if (!b.word.compare_exchange_strong(expected, resized, std::memory_order_acq_rel)) return false;
  tools_open(b.base, std::min(new_bytes + redzone_bytes, b.bytes));
  for (std::size_t i = new_bytes; i != std::min(new_bytes + redzone_bytes, b.bytes); ++i)
    b.base[i] = std::byte{redzone_byte};
  tools_close(b.base + new_bytes, b.bytes - new_bytes);
  return true;
}

std::byte* large_blocks::take_range(std::size_t bytes, std::size_t alignment) noexcept
{
  // Very large ones are asked for as accessible memory, so that the system can refuse what is more than there is.
  if (!supply_.from_system() || alignment > granule_size || bytes > largest_reserve)
    return supply_.take(bytes, alignment);
  if (std::byte* const base = take_spare(bytes); base != nullptr) return base;
  std::byte* const base = take_addresses(bytes);
  if (base == nullptr) return supply_.take(bytes, alignment);
  if (open_pages(base, bytes)) return base;
  supply_.give_back(base, bytes, granule_size);
  return nullptr;
}

std::byte* large_blocks::take_spare(std::size_t bytes) noexcept
{
  const mutex_guard guard(lock_);
  if (spare_bytes_ < bytes) return nullptr;
  for (spare& s : spares_) {
    if (s.bytes != bytes) continue;
    std::byte* const base = s.base;
    s = {};
    spare_bytes_ -= bytes;
    held_.fetch_sub(bytes, std::memory_order_relaxed);
    return base;
  }
  return nullptr;
}

// Reserved, inaccessible addresses. Null when the system refuses to reserve as many.
std::byte* large_blocks::take_addresses(std::size_t bytes) noexcept
{
  if (supply_.in_sampled_range()) return supply_.reserve(bytes);  // few blocks, many resources: no stock for each
  const mutex_guard guard(lock_);
  if (static_cast<std::size_t>(addresses_end_ - addresses_) < bytes) {
    if (bytes > next_reserve_ / 4) return supply_.reserve(bytes);
    std::byte* const fresh = supply_.reserve(next_reserve_);
    if (fresh == nullptr) return nullptr;
    if (addresses_ != addresses_end_) unmap_pages(addresses_, static_cast<std::size_t>(addresses_end_ - addresses_));
    addresses_ = fresh;
    addresses_end_ = addresses_ + next_reserve_;
    next_reserve_ = std::min(next_reserve_ * 2, largest_reserve);
  }
  std::byte* const p = addresses_;
  addresses_ += bytes;
  return p;
}

// Makes a claimed block inaccessible, or fills it where that cannot be done.
void large_blocks::close(large_block& b) noexcept
{
  if (!supply_.from_system()) {
    tools_open(b.base, b.bytes);
    fill_with_poison(b.base, b.bytes);
    tools_close(b.base, b.bytes);
    return;
  }
  tools_close(b.base, b.bytes);
  held_.fetch_sub(b.bytes, std::memory_order_relaxed);
  if (closed_ranges.load(std::memory_order_relaxed) >= most_closed) {
    discard_pages(b.base, b.bytes);
    if (!said_accessible.exchange(true, std::memory_order_relaxed)) {
      text note;
      note.append("gpa: note: resource \"");
      note.append(owner_.name());
      note.append("\": very many large blocks are in quarantine; from now on freed ones stay accessible (zeros)\n");
      note.write_to_stderr();
    }
    return;
  }
  closed_ranges.fetch_add(1, std::memory_order_relaxed);
  b.closed = true;
  if (b.bytes <= largest_spare && b.range_alignment == granule_size) {
    std::byte* const next = take_addresses(b.bytes);
    if (next != nullptr) {
      if (move_pages(b.base, next, b.bytes)) {
        keep_spare(next, b.bytes);
        return;
      }
      supply_.give_back(next, b.bytes, granule_size);
    }
  }
  if (!close_pages(b.base, b.bytes)) discard_pages(b.base, b.bytes);
}

void large_blocks::keep_spare(std::byte* base, std::size_t bytes) noexcept
{
  spare dropped{base, bytes};
  held_.fetch_add(bytes, std::memory_order_relaxed);
  {
    const mutex_guard guard(lock_);
    if (spare_bytes_ + bytes <= most_spare_bytes) {
      for (spare& s : spares_) {
        if (s.base != nullptr) continue;
        s = dropped;
        spare_bytes_ += bytes;
        return;
      }
    }
    // Full: another size is asked for now, so let go of one that nobody took.
    for (spare& s : spares_) {
      if (s.base == nullptr || s.bytes < bytes) continue;
      spare_bytes_ = spare_bytes_ - s.bytes + bytes;
      std::swap(s, dropped);
      break;
    }
  }
  held_.fetch_sub(dropped.bytes, std::memory_order_relaxed);
  supply_.give_back(dropped.base, dropped.bytes, granule_size);
}

// The oldest freed blocks are forgotten when there are too many of them.
void large_blocks::limit_quarantine() noexcept
{
  if (quarantine_bytes_ == static_cast<std::size_t>(-1)) return;  // an address is never reused
  const std::size_t most_bytes = !supply_.from_system()         ? quarantine_bytes_
                                 : supply_.in_sampled_range() ? most_freed_sampled
                                                              : most_freed_bytes;
  while (forget_oldest(most_freed, most_bytes)) {
  }
}

bool large_blocks::end_quarantine() noexcept
{
  if (quarantine_bytes_ == static_cast<std::size_t>(-1)) return false;
  bool any = false;
  while (forget_oldest(0, 0)) any = true;
  trim();
  return any;
}

// False: there are no more than that.
bool large_blocks::forget_oldest(std::size_t most_blocks, std::size_t most_bytes) noexcept
{
  large_block* oldest = nullptr;
  {
    const mutex_guard guard(lock_);
    if (freed_.last == nullptr || (freed_.count <= most_blocks && freed_.bytes <= most_bytes)) return false;
    oldest = freed_.last;
    freed_.remove(*oldest);
  }
  if (!supply_.from_system() && !is_poison(oldest->base, oldest->bytes))
    owner_.tell(write_after_free_report(*oldest, {}, "found when the block left its quarantine"));
  remove(*oldest);
  return true;
}

// A block that stands in no list any more loses its range and its record.
void large_blocks::remove(large_block& b) noexcept
{
  clear_region(b);
  if (b.closed) closed_ranges.fetch_sub(1, std::memory_order_relaxed);
  const bool held = !supply_.from_system() || is_live(large_state(b.word.load(std::memory_order_relaxed)));
  if (held) held_.fetch_sub(b.bytes, std::memory_order_relaxed);
  supply_.give_back(b.base, b.bytes, b.range_alignment);
  delete_record(b);
}

}  // namespace gpa::detail
