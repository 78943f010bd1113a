#include "blocks/page_map.hpp"

#include "os/pages.hpp"

namespace gpa::detail {

// Aligned to a page, tables stand in front of the small variables, and not between them.
alignas(page_size) constinit std::array<std::atomic<page_map_leaf*>, 32768> page_map_root{};

namespace {

// Of the first four GiB that anybody asks for: most programs need no others.
alignas(page_size) constinit page_map_leaf first_leaf{};
// Not zero, and so not between the tables: a page of its own to touch.
constinit std::atomic<bool> first_leaf_free{true};

void* new_leaf() noexcept
{
  return first_leaf_free.exchange(false, std::memory_order_relaxed) ? &first_leaf : map_pages(sizeof(page_map_leaf));
}

void delete_leaf(void* p) noexcept
{
  if (p == &first_leaf) {
    first_leaf_free.store(true, std::memory_order_relaxed);
  } else {
    unmap_pages(p, sizeof(page_map_leaf));
  }
}

std::atomic<region*>& entry(std::uintptr_t granule) noexcept
{
  return page_map_root[granule >> 16].load(std::memory_order_acquire)->regions[granule & 0xFFFF];
}

bool have_leaf(std::uintptr_t root_index) noexcept
{
  std::atomic<page_map_leaf*>& place = page_map_root[root_index];
  page_map_leaf* known = nullptr;
  // Changes nothing. But a page that is read before it is written to is asked for twice.
  if (!place.compare_exchange_strong(known, nullptr, std::memory_order_acquire)) return true;
  void* const fresh = new_leaf();
  if (fresh == nullptr) return false;
  page_map_leaf* expected = nullptr;
  // Zero pages are valid null atomics: nothing is constructed, so nothing is touched.
  if (!place.compare_exchange_strong(expected, static_cast<page_map_leaf*>(fresh), std::memory_order_acq_rel))
    delete_leaf(fresh);
  return true;
}

// Granules first .. end - 1 of `r` are no longer its.
void clear_granules(const region& r, std::uintptr_t first, std::uintptr_t end) noexcept
{
  for (std::uintptr_t i = first; i != end; ++i) {
    region* found = entry(i).load(std::memory_order_relaxed);
    if (found == &r) {
      entry(i).store(r.under, std::memory_order_release);
      continue;
    }
    // The block went before what stands on it: a mistake of the user's, and no reason to keep a dead region.
    for (; found != nullptr; found = found->under)
      if (found->under == &r) found->under = r.under;
  }
}

std::uintptr_t first_granule(const region& r) noexcept
{
  return reinterpret_cast<std::uintptr_t>(r.base) / granule_size;
}

}  // namespace

bool have_page_map(const std::byte* base, std::size_t bytes) noexcept
{
  const std::uintptr_t first = reinterpret_cast<std::uintptr_t>(base) / granule_size;
  const std::uintptr_t last = first + bytes / granule_size - 1;
  if (last >> 16 >= page_map_root.size()) return false;  // an upstream's, from 2^47 on
  for (std::uintptr_t root = first >> 16; root <= last >> 16; ++root)
    if (!have_leaf(root)) return false;
  return true;
}

bool enter_region(region& r) noexcept
{
  if (!have_page_map(r.base, r.bytes)) return false;
  const std::uintptr_t first = first_granule(r);
  r.under = entry(first).exchange(&r, std::memory_order_acq_rel);
  for (std::uintptr_t i = first; i != first + r.bytes / granule_size; ++i)
    entry(i).store(&r, std::memory_order_release);
  return true;
}

void grow_region(region& r, std::size_t bytes) noexcept
{
  const std::uintptr_t first = first_granule(r);
  for (std::uintptr_t i = first + r.bytes / granule_size; i != first + bytes / granule_size; ++i)
    entry(i).store(&r, std::memory_order_release);
  r.bytes = bytes;
}

void shrink_region(region& r, std::size_t bytes) noexcept
{
  const std::uintptr_t first = first_granule(r);
  clear_granules(r, first + bytes / granule_size, first + r.bytes / granule_size);
  r.bytes = bytes;
}

void clear_region(const region& r) noexcept
{
  const std::uintptr_t first = first_granule(r);
  clear_granules(r, first, first + r.bytes / granule_size);
}

}  // namespace gpa::detail
