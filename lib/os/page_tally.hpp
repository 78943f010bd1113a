// Counts something by the page it lies on: a table of pages, open addressing, in a mapping of its own that goes with it.
//
// Not thread-safe.
#pragma once

#include "base/bits.hpp"
#include "os/pages.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>

namespace gpa::detail {

/// Bytes counted by page.
class page_tally {
 public:
  struct row {
    std::byte* page;
    std::size_t bytes;
  };

  explicit page_tally(std::size_t most_pages) noexcept
      : rows_(static_cast<row*>(map_pages(bytes_for(most_pages), page_size))),
        count_(rows_ == nullptr ? 0 : bytes_for(most_pages) / sizeof(row))
  {
  }
  ~page_tally()
  {
    if (rows_ != nullptr) unmap_pages(rows_, count_ * sizeof(row));
  }
  page_tally(const page_tally&) = delete;
  page_tally& operator=(const page_tally&) = delete;

  /// False: it was refused, and nothing may be counted.
  [[nodiscard]] bool has_memory() const noexcept { return rows_ != nullptr; }
  /// Of the page that `place` lies on: at most as many different ones as were announced.
  [[nodiscard]] row& of(void* place) noexcept
  {
    auto* const page = static_cast<std::byte*>(place) - address(place) % page_size;
    for (std::size_t i = (address(page) / page_size) * 0x9E3779B97F4A7C15U;; ++i) {
      row& r = rows_[i & (count_ - 1)];
      if (r.page == nullptr) r.page = page;
      if (r.page == page) return r;
    }
  }
  [[nodiscard]] row* begin() const noexcept { return rows_; }
  [[nodiscard]] row* end() const noexcept { return rows_ + count_; }

 private:
  static std::size_t bytes_for(std::size_t pages) noexcept
  {
    return std::max(page_size, std::bit_ceil(pages * 2) * sizeof(row));
  }

  row* const rows_;
  const std::size_t count_;  // a power of two, at least half of them unused
};

}  // namespace gpa::detail
