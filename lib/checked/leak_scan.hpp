// What is live, gathered by call stack: the matter of a leak report.
//
// A pass over all records; no list of blocks is kept for it, so allocating and freeing pay nothing. Blocks from before
// a fork, ignored blocks and, at exit, blocks that static storage still points at are counted apart.
//
// Not thread-safe: its maker owns it. The scans that fill it are.
#pragma once

#include "os/containers.hpp"

#include <cstddef>
#include <cstdint>

namespace gpa::detail {

class owner;

struct live_block {
  const std::byte* address = nullptr;
  std::size_t bytes = 0;
  std::size_t alignment = 0;
  std::uint32_t trace = 0;
  std::uint16_t thread = 0;
  bool ignored = false;
};

struct leak_group {
  live_block first;  // the one at the lowest address
  std::size_t blocks = 0;
  std::size_t bytes = 0;
};

class leak_groups {
 public:
  /// `reachable`: blocks that count as reachable from static storage; null where nobody asked.
  explicit leak_groups(const hash_set<const std::byte*>* reachable = nullptr) noexcept;

  void add(const live_block& b) noexcept;

  /// Most bytes first; equal ones by their lowest address. Throws std::bad_alloc.
  [[nodiscard]] list_of<leak_group> sorted() const;

  [[nodiscard]] std::size_t blocks() const noexcept { return blocks_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::size_t reachable_blocks() const noexcept { return reachable_blocks_; }
  [[nodiscard]] std::size_t reachable_bytes() const noexcept { return reachable_bytes_; }

 private:
  const hash_set<const std::byte*>* reachable_;
  hash_map<std::uint32_t, leak_group> groups_;
  std::uint32_t first_thread_;  // of this process
  std::size_t blocks_ = 0;
  std::size_t bytes_ = 0;
  std::size_t reachable_blocks_ = 0;
  std::size_t reachable_bytes_ = 0;
};

/// Marks every live checked block of `self` that static storage of any loaded module points at, directly or through
/// other such blocks. Conservative: any aligned word that could be a pointer into a block counts.
/// Throws std::bad_alloc. No other thread may be inside.
void find_reachable(const owner& self, hash_set<const std::byte*>& reachable);

}  // namespace gpa::detail
