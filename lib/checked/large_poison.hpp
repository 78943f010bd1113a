// Which bytes of a freed large block hold poison, where it stays accessible.
//
//    up to options::poison_bytes, and over a user's upstream    |#################################################|
//
//    else a line of 64 bytes a page, the first two, the last    |##|........|.#|.......|..#|......|...#|......|##|
//                                                               0     page 1     page 2     page 3      the block's end
//
// A page's line stands one further than that of the page before: lines exactly a page apart have one place in the
// first-level cache, and writes that are a power of two apart would all miss them. So a write after free of a whole page,
// or of 4 160 bytes in a row, is always seen, one of a few bytes once in 64 times. poison.hpp says why not every byte.
#pragma once

#include "checked/fill.hpp"
#include "os/pages.hpp"

#include <algorithm>
#include <cstddef>

namespace gpa::detail {

class large_poison {
 public:
  /// Blocks of up to `whole` bytes are poisoned whole; those of a page always are, as a large block may be one of few
  /// bytes that was greatly aligned, or was made smaller.
  explicit large_poison(std::size_t whole) noexcept : whole_(std::max(whole, page_size)) {}

  /// For a block of `bytes` at the start of a range of `range` bytes, accessible, `base` a multiple of 64 KiB.
  void write(std::byte* base, std::size_t bytes, std::size_t range) const noexcept;
  /// Whether what write() wrote still stands there.
  [[nodiscard]] bool stands(const std::byte* base, std::size_t bytes, std::size_t range) const noexcept;
  [[nodiscard]] damage find_damage(const std::byte* base, std::size_t bytes, std::size_t range) const noexcept;

 private:
  std::size_t whole_;
};

}  // namespace gpa::detail
