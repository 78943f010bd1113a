// Whose any address is, in O(1), without touching it: one table for the whole process.
//
//    address  47          32 31          16 15            0
//             +-------------+--------------+---------------+
//             |    root     |     leaf     |  in a granule |      granule = 64 KiB
//             +-------------+--------------+---------------+
//
// The root is 256 KiB of zero pages, a leaf 512 KiB (the first one static, others reserved when the first region enters
// them); only touched pages cost memory. Leaves are never given back. Entries are set and cleared on slow paths only.
//
// A resource may stand on another: its regions then lie inside the other's blocks. The innermost is the one found; when
// it is cleared, the one under it is found again.
//
// Thread-safe: readers take no lock. A region's header lives in metadata memory, which stays readable, so a reader
// that loses a race against clear_region() reads old words, never unmapped ones.
#pragma once

#include "base/attributes.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace gpa::detail {

class owner;

enum class region_kind : std::uint8_t { checked_slab, fast_slab, checked_large, fast_large };

/// A range of granules with one owner and one purpose: the common head of slabs and large blocks.
struct region {
  detail::owner* owner = nullptr;
  // Of a checked slab: the only cache that frees here (checked/claim.hpp). Of a fast one: the cache it was made for.
  std::atomic<const void*> sole{nullptr};
  std::byte* base = nullptr;
  std::size_t bytes = 0;  // a multiple of 64 KiB
  region_kind kind{};
  std::uint8_t size_class = 0;    // of a slab; else 0
  std::uint32_t slot_bytes = 0;   // of a slab
  region* under = nullptr;  // of another resource: the block that this range was cut from
};

/// Those of 4 GiB.
struct page_map_leaf {
  std::array<std::atomic<region*>, 65536> regions;

  /// `p` is one of their addresses.
  [[nodiscard]] region* at(const void* p) const noexcept
  {
    return regions[(reinterpret_cast<std::uintptr_t>(p) >> 16) & 0xFFFF].load(std::memory_order_acquire);
  }
};
extern constinit std::array<std::atomic<page_map_leaf*>, 32768> page_map_root;

/// Null where no region ever was. Any value is allowed: `p` is never followed.
[[nodiscard]] inline const page_map_leaf* leaf_of(const void* p) noexcept
{
  const std::size_t branch = reinterpret_cast<std::uintptr_t>(p) >> 32;
  if (branch >= page_map_root.size()) [[unlikely]] return nullptr;
  return page_map_root[branch].load(std::memory_order_acquire);
}

/// The region `p` lies in, or null. As leaf_of().
[[nodiscard]] inline region* region_of(const void* p) noexcept
{
  const page_map_leaf* const leaf = leaf_of(p);
  if (leaf == nullptr) [[unlikely]] return nullptr;
  return leaf->at(p);
}

/// What the head of a region said that may be cleared, and its memory used for something else, while it is read.
struct region_head {
  const owner* holder;
  region_kind kind;
  const std::byte* base;
};
GPA_NO_SANITIZE inline region_head head_of(const region& r) noexcept
{
  return {.holder = *static_cast<owner* const volatile*>(&r.owner),
          .kind = *static_cast<const volatile region_kind*>(&r.kind),
          .base = *static_cast<std::byte* const volatile*>(&r.base)};
}

/// Enters every granule of `r`. False, and nothing entered, when memory for a leaf is refused.
[[nodiscard]] bool enter_region(region& r) noexcept;
/// Makes sure that enter_region() and grow_region() cannot fail for that range. False: memory was refused.
[[nodiscard]] bool have_page_map(const std::byte* base, std::size_t bytes) noexcept;
/// Changes how many of its granules a region that stands in the map has. Growing asks for have_page_map() before.
void grow_region(region& r, std::size_t bytes) noexcept;
void shrink_region(region& r, std::size_t bytes) noexcept;
/// Takes every granule of `r` out again. What lies under it comes back.
void clear_region(const region& r) noexcept;

}  // namespace gpa::detail
