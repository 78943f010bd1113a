// Which pages of a slab something lies on, so that the others can be dropped.
#pragma once

#include "base/size_class.hpp"
#include "os/pages.hpp"

#include <algorithm>
#include <bitset>
#include <cstddef>

namespace gpa::detail {

class needed_pages {
 public:
  /// Those that slot `index` of `slot` bytes each lies on.
  void need_slot(std::size_t index, std::size_t slot) noexcept
  {
    for (std::size_t page = first_page(index, slot); page <= last_page(index, slot); ++page) pages_.set(page);
  }
  /// Whether it lies on such pages alone.
  [[nodiscard]] bool cover_slot(std::size_t index, std::size_t slot) const noexcept
  {
    for (std::size_t page = first_page(index, slot); page <= last_page(index, slot); ++page)
      if (!pages_.test(page)) return false;
    return true;
  }
  [[nodiscard]] std::size_t count() const noexcept { return pages_.count(); }

  /// The page that the slot ends on.
  [[nodiscard]] static constexpr std::size_t last_page(std::size_t index, std::size_t slot) noexcept
  {
    return ((index + 1) * slot - 1) / page_size;
  }

  /// Drops the others of a slab, neighbours by one call. Returns the bytes dropped. What lies behind the largest slab is
  /// no slot's, and stays: for want of memory for its header a span may not have been cut to measure.
  std::size_t drop_others(std::byte* base, std::size_t bytes) const noexcept
  {
    std::size_t dropped = 0;
    const std::size_t pages = std::min(bytes / page_size, pages_.size());
    for (std::size_t page = 0; page < pages; ++page) {
      const std::size_t begin = page;
      while (page != pages && !pages_.test(page)) ++page;
      if (page == begin) continue;
      discard_pages(base + begin * page_size, (page - begin) * page_size);
      dropped += (page - begin) * page_size;
    }
    return dropped;
  }

 private:
  static constexpr std::size_t first_page(std::size_t index, std::size_t slot) noexcept { return index * slot / page_size; }

  std::bitset<slab_size(class_count - 1) / page_size> pages_;
};

}  // namespace gpa::detail
