#include "checked/address_stock.hpp"

#include "base/bits.hpp"
#include "os/leak_roots.hpp"
#include "os/pages.hpp"

#include <algorithm>

namespace gpa::detail {

namespace {

constexpr std::size_t largest_reserve = std::size_t{4} << 30;

}  // namespace

std::byte* address_stock::take(std::size_t bytes) noexcept
{
  if (static_cast<std::size_t>(end_ - next_) < bytes) {
    auto* const fresh = static_cast<std::byte*>(reserve_pages(next_reserve_));
    if (fresh == nullptr) return nullptr;
    show_leak_sanitizer(fresh, next_reserve_);
    for (std::size_t swept = 0; swept != areas_counted; swept += areas_swept) sweep();
    release();
    next_ = fresh;
    end_ = next_ + next_reserve_;
    next_reserve_ = std::min(next_reserve_ * 2, largest_reserve);
    first_area_ = round_up(address(next_), area_bytes) / area_bytes;
    closed_ = {};
  }
  std::byte* const p = next_;
  next_ += bytes;
  while (address(next_) / area_bytes >= first_area_ + areas_counted) sweep();
  return p;
}

void address_stock::count(const std::byte* base, std::size_t bytes, bool closed) noexcept
{
  const std::size_t first = std::max(address(base), first_area_ * area_bytes);
  const std::size_t end = std::min(address(base) + bytes, (first_area_ + areas_counted) * area_bytes);
  for (std::size_t at = first; at < end;) {
    const std::size_t next = std::min(round_down(at, area_bytes) + area_bytes, end);
    const auto granules = static_cast<std::uint8_t>((next - at) / granule_size);
    std::uint8_t& n = closed_in(at / area_bytes);
    n = static_cast<std::uint8_t>(closed ? n + granules : n - granules);
    at = next;
  }
}

// The older half of the areas that are counted.
void address_stock::sweep() noexcept
{
  const std::size_t end = first_area_ + areas_swept;
  for (std::size_t i = first_area_; i != end;) {
    std::size_t behind = i;
    while (behind != end && closed_in(behind) == area_bytes / granule_size) ++behind;
    if (behind != i) close_pages(reinterpret_cast<void*>(i * area_bytes), (behind - i) * area_bytes);
    i = behind == end ? end : behind + 1;
  }
  for (std::size_t i = first_area_; i != end; ++i) closed_in(i) = 0;
  first_area_ = end;
}

void address_stock::release() noexcept
{
  if (next_ != end_) unmap_pages(next_, static_cast<std::size_t>(end_ - next_));
  next_ = end_ = nullptr;
}

}  // namespace gpa::detail
