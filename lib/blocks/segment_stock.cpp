#include "blocks/segment_stock.hpp"

#include "base/tools.hpp"
#include "os/pages.hpp"

#include <array>
#include <atomic>

namespace gpa::detail {

namespace {

constinit std::array<std::atomic<std::byte*>, 4> places{};

std::byte* take_from(std::atomic<std::byte*>& place) noexcept
{
  if (place.load(std::memory_order_relaxed) == nullptr) return nullptr;
  std::byte* const segment = place.exchange(nullptr, std::memory_order_acquire);
  if (segment != nullptr) tools_acquired(segment);
  return segment;
}

}  // namespace

std::byte* take_from_stock() noexcept
{
  for (std::size_t i = places.size(); i != 0; --i)
    if (std::byte* const segment = take_from(places[i - 1]); segment != nullptr) return segment;
  return nullptr;
}

bool put_into_stock(std::byte* segment) noexcept
{
  tools_release(segment);
  for (std::atomic<std::byte*>& place : places) {
    std::byte* none = nullptr;
    if (place.compare_exchange_strong(none, segment, std::memory_order_release, std::memory_order_relaxed)) return true;
  }
  return false;
}

void empty_stock() noexcept
{
  for (std::atomic<std::byte*>& place : places)
    if (std::byte* const segment = take_from(place); segment != nullptr) unmap_pages(segment, stock_segment);
}

}  // namespace gpa::detail
