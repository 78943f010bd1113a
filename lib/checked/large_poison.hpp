// Which bytes of a freed large block hold poison, where it stays accessible.
//
//    up to options::poison_bytes, and over a user's upstream    |#################################################|
//
//    else a line of 64 bytes a page, the first two, the last    |##|........|.#|.......|..#|......|...#|......|##|
//                                                               0     page 1     page 2     page 3      the block's end
//
// A page's line stands one further than that of the page before: lines exactly a page apart have one place in the
// first-level cache, and writes that are a power of two apart would all miss them. So a write after free of 4 KiB or more
// in a row is always seen, one of a few bytes once in 64 times. poison.hpp says why not every byte.
#pragma once

#include "checked/fill.hpp"
#include "os/pages.hpp"

#include <cstddef>

namespace gpa::detail {

class large_poison {
 public:
  large_poison(poison_rule rule, bool of_upstream) noexcept : whole_(of_upstream || !rule.sparse(small_limit + 1)) {}

  /// For a block of `bytes` at the start of a range of `range` bytes, accessible, `base` a multiple of 64 KiB.
  void write(std::byte* base, std::size_t bytes, std::size_t range) const noexcept;
  /// Whether what write() wrote still stands there.
  [[nodiscard]] bool stands(const std::byte* base, std::size_t bytes, std::size_t range) const noexcept;
  [[nodiscard]] damage find_damage(const std::byte* base, std::size_t bytes, std::size_t range) const noexcept;

 private:
  // A large block may be one of few bytes that was greatly aligned, or was made smaller.
  [[nodiscard]] bool is_whole(std::size_t bytes) const noexcept { return whole_ || bytes <= page_size; }

  bool whole_;
};

}  // namespace gpa::detail
