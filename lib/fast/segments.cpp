// The segments that spans are cut from: made of what the supply has, and given back to it.
#include "fast/span_cache.hpp"
#include "os/metadata.hpp"

#include <new>

namespace gpa::detail {

segment* span_cache::new_segment(std::size_t bytes, std::size_t alignment, bool single) noexcept
{
  void* const place = metadata_allocate(sizeof(segment));
  if (place == nullptr) return nullptr;
  auto& g = *new (place) segment;
  g.granules = bytes / granule_size;
  g.alignment = alignment;
  g.single = single;
  g.edges = static_cast<span**>(metadata_allocate(g.edges_bytes()));
  if (!single) g.dirty = static_cast<std::uint64_t*>(metadata_allocate(g.dirty_bytes()));
  if (g.edges != nullptr && (single || g.dirty != nullptr)) g.from = supply_.take_told(bytes, alignment);
  g.base = g.from.p;
  if (g.base != nullptr && have_page_map(g.base, bytes)) return &g;
  delete_segment(g);
  return nullptr;
}

// One that stands in no list any more.
void span_cache::delete_segment(segment& g) noexcept
{
  if (g.base != nullptr) supply_.give_back(g.base, g.granules * granule_size, g.alignment);
  forget_segment(g);
}

void span_cache::forget_segment(segment& g) noexcept
{
  if (g.edges != nullptr) metadata_free(g.edges, g.edges_bytes());
  if (g.dirty != nullptr) metadata_free(g.dirty, g.dirty_bytes());
  metadata_free(&g, sizeof g);
}

void span_cache::link(segment& g) noexcept
{
  g.next = segments_;
  if (segments_ != nullptr) segments_->previous = &g;
  segments_ = &g;
}

void span_cache::unlink(segment& g) noexcept
{
  (g.previous != nullptr ? g.previous->next : segments_) = g.next;
  if (g.next != nullptr) g.next->previous = g.previous;
}

}  // namespace gpa::detail
