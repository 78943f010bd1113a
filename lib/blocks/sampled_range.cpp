#include "blocks/sampled_range.hpp"

#include "base/bits.hpp"
#include "base/mutex.hpp"
#include "os/leak_roots.hpp"
#include "os/pages.hpp"

#include <algorithm>
#include <atomic>
#include <bit>

namespace gpa::detail {

namespace {

// Above what a program that is not position-independent has at the bottom, below what others ask for by address.
constexpr std::uintptr_t wished_start = std::uintptr_t{64} << 30;
constexpr std::size_t most_bytes = std::size_t{16} << 30;
constexpr std::size_t bits_of_word = 64;
constexpr std::size_t worth_closing = 64;  // granules, that is 4 MiB

struct range {
  mutex lock;
  std::byte* start GPA_GUARDED_BY(lock) = nullptr;
  std::size_t granules GPA_GUARDED_BY(lock) = 0;
  std::uint64_t* used GPA_GUARDED_BY(lock) = nullptr;  // a bit a granule
  std::uint64_t* parting GPA_GUARDED_BY(lock) = nullptr;  // free, but not closed with its free neighbours: they are too few
  std::size_t next GPA_GUARDED_BY(lock) = 0;           // where the next search begins
  bool refused GPA_GUARDED_BY(lock) = false;
};
constinit range all;
constinit std::atomic<std::size_t> parting_granules{0};  // bits of `parting`

bool have_range() noexcept GPA_REQUIRES(all.lock)
{
  if (all.start != nullptr || all.refused) return all.start != nullptr;
  all.refused = true;
  constexpr std::size_t bits = most_bytes / granule_size;
  auto* const used = static_cast<std::uint64_t*>(map_pages(2 * bits / 8, page_size));
  if (used == nullptr) return false;
  const std::size_t bytes = std::min(most_bytes, round_down(most_addresses() / 64, granule_size));
  void* const start = reserve_pages(bytes, granule_size, reinterpret_cast<void*>(wished_start));
  if (start == nullptr) {
    unmap_pages(used, 2 * bits / 8);
    return false;
  }
  show_leak_sanitizer(start, bytes);
  all.start = static_cast<std::byte*>(start);
  all.granules = bytes / granule_size;
  all.used = used;
  all.parting = used + bits / bits_of_word;
  all.refused = false;
  return true;
}

bool is_marked(const std::uint64_t* bits, std::size_t i) noexcept
{
  return (bits[i / bits_of_word] >> i % bits_of_word & 1) != 0;
}

// Returns how many were not so before.
std::size_t mark(std::uint64_t* bits, std::size_t first, std::size_t count, bool value) noexcept
{
  std::size_t changed = 0;
  for (std::size_t i = first; i != first + count; ++i) {
    if (is_marked(bits, i) == value) continue;
    bits[i / bits_of_word] ^= std::uint64_t{1} << i % bits_of_word;
    ++changed;
  }
  return changed;
}

void mark_parting(std::size_t first, std::size_t count) noexcept GPA_REQUIRES(all.lock)
{
  parting_granules.fetch_add(mark(all.parting, first, count, true), std::memory_order_relaxed);
}
std::size_t mark_not_parting(std::size_t first, std::size_t count) noexcept GPA_REQUIRES(all.lock)
{
  const std::size_t changed = mark(all.parting, first, count, false);
  parting_granules.fetch_sub(changed, std::memory_order_relaxed);
  return changed;
}

// The first of `count` free granules in [begin, end), at a multiple of `step` of the address space; `end` if there are
// not as many.
std::size_t find(std::size_t begin, std::size_t end, std::size_t count, std::size_t step) noexcept
    GPA_REQUIRES(all.lock)
{
  const std::size_t before = address(all.start) / granule_size;
  const auto aligned = [before, step](std::size_t i) { return round_up(before + i, step) - before; };
  std::size_t first = aligned(begin);
  for (std::size_t i = first; first < end && count <= end - first;) {
    if (i == first + count) return first;
    const std::uint64_t word = all.used[i / bits_of_word] >> i % bits_of_word;
    const auto room = static_cast<std::size_t>(std::countr_zero(word));  // 64: none is used
    if (room == 0) {
      i = first = aligned(i + static_cast<std::size_t>(std::countr_one(word)));
    } else {
      i += room < bits_of_word - i % bits_of_word ? room : bits_of_word - i % bits_of_word;
      if (i > first + count) i = first + count;
    }
  }
  return end;
}

}  // namespace

std::uintptr_t sampled_range_end() noexcept
{
  const mutex_guard guard(all.lock);
  return have_range() ? address(all.start) + all.granules * granule_size : 0;
}

std::byte* take_sampled_range(std::size_t bytes, std::size_t alignment) noexcept
{
  const std::size_t count = bytes / granule_size;
  const std::size_t step = alignment / granule_size;
  const mutex_guard guard(all.lock);
  if (!have_range() || count > all.granules) return nullptr;
  std::size_t first = find(all.next, all.granules, count, step);
  if (first == all.granules) first = find(0, all.granules, count, step);
  if (first == all.granules) return nullptr;
  mark(all.used, first, count, true);
  mark_not_parting(first, count);
  all.next = first + count;
  return all.start + first * granule_size;
}

void give_back_sampled_range(std::byte* p, std::size_t bytes, bool closed) noexcept
{
  if (!closed) discard_pages(p, bytes);
  const mutex_guard guard(all.lock);
  const std::size_t first = static_cast<std::size_t>(p - all.start) / granule_size;
  const std::size_t count = bytes / granule_size;
  mark(all.used, first, count, false);
  mark_parting(first, count);
  // Free ones on either side, no further than where more of them than that were closed when they became as many.
  std::size_t begin = first;
  std::size_t end = first + count;
  while (begin != 0 && first - begin != worth_closing && !is_marked(all.used, begin - 1)) --begin;
  while (end != all.granules && end - (first + count) != worth_closing && !is_marked(all.used, end)) ++end;
  if (end - begin < worth_closing) return;
  // Under the lock: nobody may take them meanwhile. If the system has too many mappings to close them, they stay as they are.
  if (mark_not_parting(begin, end - begin) == count && closed) return;
  if (!close_pages(all.start + begin * granule_size, (end - begin) * granule_size)) mark_parting(begin, end - begin);
}

std::size_t parting_granules_of_sampled_range() noexcept { return parting_granules.load(std::memory_order_relaxed); }

void sampled_range_lock() noexcept GPA_ACQUIRE(all.lock) { all.lock.lock(); }

void sampled_range_unlock() noexcept GPA_RELEASE(all.lock) { all.lock.unlock(); }

}  // namespace gpa::detail
