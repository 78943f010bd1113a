#include "blocks/segment_stock.hpp"

#include "base/assert.hpp"
#include "base/tools.hpp"
#include "os/pages.hpp"

#include <array>
#include <atomic>

namespace gpa::detail {

namespace {

template <std::uint32_t Count>
class places {
 public:
  static constexpr std::uint32_t count = Count;

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
  std::byte* take_newest() noexcept
  {
    for (std::uint32_t age = 0; age != count; ++age)
      if (std::byte* const segment = take(age); segment != nullptr) return segment;
    return nullptr;
  }

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

constinit places<4> open_ones;
constinit places<2> open_doubles;
constinit places<1> open_quadruples;
constinit places<4> closed_ones;

template <class Places>
void empty(Places& all, std::size_t bytes) noexcept
{
  while (std::byte* const segment = all.take_newest()) unmap_pages(segment, bytes);
}

}  // namespace

bool has_place_for(stock which, std::size_t bytes) noexcept
{
  return bytes == stock_segment || (which == stock::open && (bytes == 2 * stock_segment || bytes == 4 * stock_segment));
}

std::byte* take_from(stock which, std::size_t bytes) noexcept
{
  if (!has_place_for(which, bytes)) return nullptr;
  if (which == stock::open) {
    if (bytes == stock_segment) return open_ones.take_newest();
    return bytes == 2 * stock_segment ? open_doubles.take_newest() : open_quadruples.take_newest();
  }
  for (std::uint32_t age = closed_ones.count - 1; age != 0; --age) {
    std::byte* const segment = closed_ones.take(age);
    if (segment == nullptr) continue;
    if (open_pages(segment, stock_segment)) return segment;
    unmap_pages(segment, stock_segment);
  }
  return nullptr;
}

void put_into(stock which, std::byte* segment, std::size_t bytes) noexcept
{
  GPA_ASSERT(has_place_for(which, bytes));
  std::byte* gone = segment;
  if (which == stock::closed) {
    if (hide_pages(segment, bytes)) gone = closed_ones.put(segment);
  } else if (bytes == stock_segment) {
    gone = open_ones.put(segment);
  } else {
    gone = bytes == 2 * stock_segment ? open_doubles.put(segment) : open_quadruples.put(segment);
  }
  if (gone != nullptr) unmap_pages(gone, bytes);
}

void empty_stocks() noexcept
{
  empty(open_ones, stock_segment);
  empty(open_doubles, 2 * stock_segment);
  empty(open_quadruples, 4 * stock_segment);
  empty(closed_ones, stock_segment);
}

}  // namespace gpa::detail
