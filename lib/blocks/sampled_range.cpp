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
  std::uint64_t* open GPA_GUARDED_BY(lock) = nullptr;  // of those that are free: accessible
  std::size_t next GPA_GUARDED_BY(lock) = 0;           // where the next search begins
  bool refused GPA_GUARDED_BY(lock) = false;
};
constinit range all;
constinit std::atomic<std::size_t> open_runs{0};  // of free granules side by side: accessible
constinit std::atomic<std::size_t> closed_runs{0};  // inaccessible

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
  all.open = used + bits / bits_of_word;
  all.refused = false;
  closed_runs.store(1, std::memory_order_relaxed);
  return true;
}

bool is_marked(const std::uint64_t* bits, std::size_t i) noexcept
{
  return (bits[i / bits_of_word] >> i % bits_of_word & 1) != 0;
}

void set(std::uint64_t* bits, std::size_t first, std::size_t count, bool value) noexcept
{
  for (std::size_t i = first; i != first + count; ++i) {
    const std::uint64_t bit = std::uint64_t{1} << i % bits_of_word;
    std::uint64_t& word = bits[i / bits_of_word];
    word = value ? word | bit : word & ~bit;
  }
}

enum class granule : std::uint8_t { used, open, closed };

granule state_of(std::size_t i) noexcept GPA_REQUIRES(all.lock)
{
  if (is_marked(all.used, i)) return granule::used;
  return is_marked(all.open, i) ? granule::open : granule::closed;
}

bool has_open(std::size_t begin, std::size_t end) noexcept GPA_REQUIRES(all.lock)
{
  for (std::size_t i = begin; i != end; ++i)
    if (state_of(i) == granule::open) return true;
  return false;
}

// Runs of a state that begin in [first, last].
std::size_t count_runs(granule state, std::size_t first, std::size_t last) noexcept GPA_REQUIRES(all.lock)
{
  std::size_t runs = 0;
  bool before = first != 0 && state_of(first - 1) == state;
  for (std::size_t i = first; i <= last && i != all.granules; ++i) {
    const bool now = state_of(i) == state;
    if (now && !before) ++runs;
    before = now;
  }
  return runs;
}

void turn(std::size_t first, std::size_t count, granule to) noexcept GPA_REQUIRES(all.lock)
{
  const std::size_t last = first + count;  // whether one begins there depends on the granule before
  open_runs.fetch_sub(count_runs(granule::open, first, last), std::memory_order_relaxed);
  closed_runs.fetch_sub(count_runs(granule::closed, first, last), std::memory_order_relaxed);
  set(all.used, first, count, to == granule::used);
  set(all.open, first, count, to == granule::open);
  open_runs.fetch_add(count_runs(granule::open, first, last), std::memory_order_relaxed);
  closed_runs.fetch_add(count_runs(granule::closed, first, last), std::memory_order_relaxed);
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
  turn(first, count, granule::used);
  all.next = first + count;
  return all.start + first * granule_size;
}

void give_back_sampled_range(std::byte* p, std::size_t bytes, given_back as) noexcept
{
  if (as == given_back::used) discard_pages(p, bytes);
  const mutex_guard guard(all.lock);
  const std::size_t first = static_cast<std::size_t>(p - all.start) / granule_size;
  const std::size_t count = bytes / granule_size;
  turn(first, count, as == given_back::closed ? granule::closed : granule::open);
  // Free ones on either side, no further than where they were enough without these.
  std::size_t begin = first;
  std::size_t end = first + count;
  while (begin != 0 && first - begin != worth_closing && state_of(begin - 1) != granule::used) --begin;
  while (end != all.granules && end - (first + count) != worth_closing && state_of(end) != granule::used) ++end;
  if (end - begin < worth_closing || !has_open(begin, end)) return;
  // Under the lock: nobody may take them meanwhile. If the system has too many mappings to close them, they stay as they are.
  if (close_pages(all.start + begin * granule_size, (end - begin) * granule_size)) turn(begin, end - begin, granule::closed);
}

std::size_t open_runs_of_sampled_range() noexcept { return open_runs.load(std::memory_order_relaxed); }
std::size_t closed_runs_of_sampled_range() noexcept { return closed_runs.load(std::memory_order_relaxed); }

void sampled_range_lock() noexcept GPA_ACQUIRE(all.lock) { all.lock.lock(); }

void sampled_range_unlock() noexcept GPA_RELEASE(all.lock) { all.lock.unlock(); }

}  // namespace gpa::detail
