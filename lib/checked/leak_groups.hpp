// What a leak scan found, by call stack: the matter of a leak report.
//
// An owner is a leaked block that no other leaked block points at; what can be reached from it is owned. Groups are
// those of the owners; each counts beside its own blocks what those own. A block that two owners point at is counted
// once, with the first of them that was looked at.
//
// Not thread-safe: its maker owns it.
#pragma once

#include "os/containers.hpp"

#include <cstddef>
#include <cstdint>

namespace gpa::detail {

struct live_block {
  const std::byte* address = nullptr;
  std::size_t bytes = 0;
  std::size_t alignment = 0;
  std::uint32_t trace = 0;
  std::uint16_t thread = 0;
  bool ignored = false;
};

struct block_count {
  std::size_t blocks = 0;
  std::size_t bytes = 0;

  void add(std::size_t block_bytes) noexcept
  {
    ++blocks;
    bytes += block_bytes;
  }
};

struct leak_group {
  live_block first;                 // the one at the lowest address
  const std::byte* last = nullptr;  // at the highest
  block_count own;
  block_count owned;      // what these own
  bool is_owned = false;  // a group of owned blocks, where those were asked for
};

/// Owners first; of each kind the one that holds most first, equal ones by their lowest address.
void sort_groups(list_of<leak_group>& list) noexcept;

class leak_groups {
 public:
  /// `owned_too`: owned blocks get groups of their own, by their own stacks, after those of the owners.
  explicit leak_groups(bool owned_too = false) noexcept : owned_too_(owned_too) {}

  void add_owner(const live_block& b) noexcept;
  /// Counted with its owner only when add_to_owner() says so.
  void add_owned(const live_block& b) noexcept;
  void add_to_owner(const live_block& owner, const block_count& owned) noexcept;
  void add_reachable(const live_block& b) noexcept { reachable_.add(b.bytes); }

  /// As sort_groups() sorts. Throws std::bad_alloc.
  [[nodiscard]] list_of<leak_group> sorted() const;

  /// All that leaked, whoever owns it. Right even when there was no memory for all groups.
  [[nodiscard]] const block_count& leaked() const noexcept { return leaked_; }
  /// Static storage still points at them, directly or through others.
  [[nodiscard]] const block_count& reachable() const noexcept { return reachable_; }

 private:
  void add(const live_block& b, bool is_owned) noexcept;

  bool owned_too_;
  hash_map<std::uint64_t, leak_group> groups_;  // by trace, and whether they are owned
  block_count leaked_;
  block_count reachable_;
};

}  // namespace gpa::detail
