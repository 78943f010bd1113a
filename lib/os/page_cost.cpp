#include "os/page_cost.hpp"

#include "os/pages.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>

namespace gpa::detail {

namespace {

constexpr std::size_t moved_pages = 8;
constexpr std::size_t moved_bytes = moved_pages * page_size;
constexpr std::chrono::nanoseconds dear = std::chrono::microseconds(1);  // a page

void touch(std::byte* p) noexcept
{
  for (std::size_t i = 0; i != moved_bytes; i += page_size) static_cast<volatile std::byte*>(p)[i] = std::byte{1};
}

// The least of several: whatever else the machine does only adds to it. Timed is the touching alone, without a system
// call, for which other threads of the process may have us wait.
bool measure() noexcept
{
  constexpr int turns = 5;
  using clock = std::chrono::steady_clock;
  auto* const area = static_cast<std::byte*>(reserve_pages((turns + 1) * granule_size));
  if (area == nullptr) return false;
  auto least = std::chrono::nanoseconds::max();
  if (open_pages(area, moved_bytes)) {
    touch(area);
    for (int turn = 0; turn != turns; ++turn) {
      std::byte* const from = area + static_cast<std::size_t>(turn) * granule_size;
      if (!move_pages(from, from + granule_size, moved_bytes)) break;
      const clock::time_point begin = clock::now();
      touch(from + granule_size);
      least = std::min<std::chrono::nanoseconds>(least, clock::now() - begin);
    }
  }
  unmap_pages(area, (turns + 1) * granule_size);
  return least != std::chrono::nanoseconds::max() && least > dear * moved_pages;
}

}  // namespace

bool moving_pages_is_dear() noexcept
{
  enum class answer : unsigned char { unknown, no, yes };
  static constinit std::atomic<answer> known{answer::unknown};
  answer a = known.load(std::memory_order_relaxed);
  if (a == answer::unknown) {
    a = measure() ? answer::yes : answer::no;
    known.store(a, std::memory_order_relaxed);  // two threads may have measured: either answer will do
  }
  return a == answer::yes;
}

}  // namespace gpa::detail
