#include "blocks/segment_stock.hpp"

#include "base/tools.hpp"
#include "os/pages.hpp"

#include <array>
#include <atomic>

namespace gpa::detail {

namespace {

class places {
 public:
  /// What had the place of the oldest.
  std::byte* put(std::byte* segment) noexcept
  {
    tools_release(segment);
    std::atomic<std::byte*>& place = at(next_.fetch_add(1, std::memory_order_relaxed));
    return acquired(place.exchange(segment, std::memory_order_acq_rel));
  }
  /// Of that age: 0 is the newest, `count - 1` the oldest.
  std::byte* take(std::uint32_t age) noexcept
  {
    std::atomic<std::byte*>& place = at(next_.load(std::memory_order_relaxed) - 1 - age);
    if (place.load(std::memory_order_relaxed) == nullptr) return nullptr;
    return acquired(place.exchange(nullptr, std::memory_order_acquire));
  }

  static constexpr std::uint32_t count = 4;

 private:
  std::atomic<std::byte*>& at(std::uint32_t number) noexcept { return all_[number % count]; }
  static std::byte* acquired(std::byte* segment) noexcept
  {
    if (segment != nullptr) tools_acquired(segment);
    return segment;
  }

  std::array<std::atomic<std::byte*>, count> all_{};
  std::atomic<std::uint32_t> next_{0};
};

constinit places open_ones;
constinit places closed_ones;

}  // namespace

std::byte* take_from(stock which) noexcept
{
  if (which == stock::open) {
    for (std::uint32_t age = 0; age != places::count; ++age)
      if (std::byte* const segment = open_ones.take(age); segment != nullptr) return segment;
    return nullptr;
  }
  for (std::uint32_t age = places::count - 1; age != 0; --age) {
    std::byte* const segment = closed_ones.take(age);
    if (segment == nullptr) continue;
    if (open_pages(segment, stock_segment)) return segment;
    unmap_pages(segment, stock_segment);
  }
  return nullptr;
}

void put_into(stock which, std::byte* segment) noexcept
{
  std::byte* gone = segment;
  if (which == stock::open) {
    gone = open_ones.put(segment);
  } else if (hide_pages(segment, stock_segment)) {
    gone = closed_ones.put(segment);
  }
  if (gone != nullptr) unmap_pages(gone, stock_segment);
}

void empty_stocks() noexcept
{
  for (places* const each : {&open_ones, &closed_ones})
    for (std::uint32_t age = 0; age != places::count; ++age)
      if (std::byte* const segment = each->take(age); segment != nullptr) unmap_pages(segment, stock_segment);
}

}  // namespace gpa::detail
