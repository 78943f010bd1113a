#include "blocks/sampled_range.hpp"

#include "base/bits.hpp"
#include "base/mutex.hpp"
#include "os/leak_roots.hpp"
#include "os/pages.hpp"

#include <algorithm>
#include <bit>

namespace gpa::detail {

namespace {

// Above what a program that is not position-independent has at the bottom, below what others ask for by address.
constexpr std::uintptr_t wished_start = std::uintptr_t{64} << 30;
constexpr std::size_t most_bytes = std::size_t{16} << 30;
constexpr std::size_t bits_of_word = 64;

struct range {
  mutex lock;
  std::byte* start GPA_GUARDED_BY(lock) = nullptr;
  std::size_t granules GPA_GUARDED_BY(lock) = 0;
  std::uint64_t* used GPA_GUARDED_BY(lock) = nullptr;  // a bit a granule
  std::size_t next GPA_GUARDED_BY(lock) = 0;           // where the next search begins
  bool refused GPA_GUARDED_BY(lock) = false;
};
constinit range all;

bool have_range() noexcept GPA_REQUIRES(all.lock)
{
  if (all.start != nullptr || all.refused) return all.start != nullptr;
  all.refused = true;
  auto* const used = static_cast<std::uint64_t*>(map_pages(most_bytes / granule_size / 8, page_size));
  if (used == nullptr) return false;
  const std::size_t bytes = std::min(most_bytes, round_down(most_addresses() / 64, granule_size));
  void* const start = reserve_pages(bytes, granule_size, reinterpret_cast<void*>(wished_start));
  if (start == nullptr) {
    unmap_pages(used, most_bytes / granule_size / 8);
    return false;
  }
  show_leak_sanitizer(start, bytes);
  all.start = static_cast<std::byte*>(start);
  all.granules = bytes / granule_size;
  all.used = used;
  all.refused = false;
  return true;
}

void mark(std::size_t first, std::size_t count, bool used) noexcept GPA_REQUIRES(all.lock)
{
  for (std::size_t i = first; i != first + count; ++i) {
    const std::uint64_t bit = std::uint64_t{1} << i % bits_of_word;
    std::uint64_t& word = all.used[i / bits_of_word];
    word = used ? word | bit : word & ~bit;
  }
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
  mark(first, count, true);
  all.next = first + count;
  return all.start + first * granule_size;
}

void give_back_sampled_range(std::byte* p, std::size_t bytes) noexcept
{
  // The addresses stay ours. If the system has too many mappings to close them, the memory goes all the same, unless it
  // had too many to open them.
  if (!close_pages(p, bytes) && is_readable(p, 1)) discard_pages(p, bytes);
  const mutex_guard guard(all.lock);
  mark(static_cast<std::size_t>(p - all.start) / granule_size, bytes / granule_size, false);
}

void sampled_range_lock() noexcept GPA_ACQUIRE(all.lock) { all.lock.lock(); }

void sampled_range_unlock() noexcept GPA_RELEASE(all.lock) { all.lock.unlock(); }

}  // namespace gpa::detail
