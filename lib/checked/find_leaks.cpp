// The checked heap looked at for leaks: its part of a leak scan, and what a report shows of a leaked block.
#include "checked/checked_heap.hpp"

#include "checked/leak_scan.hpp"
#include "checked/peek.hpp"
#include "os/threads.hpp"

#include <algorithm>
#include <new>

namespace gpa::detail {

void checked_heap::find_leaks(leak_groups& groups, bool static_too) noexcept
{
  try {
    const mutex_guard guard(scan_lock_);  // trim() must not take slabs away
    leak_scan scan(large_, groups);
    for (slab* s = slabs(); s != nullptr; s = s->next) scan.add(*s);
    large_.add_live(scan);
    scan.run(static_too);
  } catch (const std::bad_alloc&) {
    collect_live(groups);  // without memory for a scan every block stands for itself
  }
}

void checked_heap::collect_live(leak_groups& groups) noexcept
{
  const std::uint32_t first_thread = first_number_of_this_process();
  const mutex_guard guard(scan_lock_);
  for (slab* s = slabs(); s != nullptr; s = s->next) {
    const std::size_t carved = s->carved.load(std::memory_order_acquire);
    for (std::size_t i = 0; i != carved; ++i) {
      live_block b;
      if (read_live(s->records[i], s->slot(i), b) && !b.ignored && b.thread >= first_thread) groups.add_owner(b);
    }
  }
  large_.collect_live(groups);
}

std::size_t checked_heap::copy_live(const void* block, std::span<std::byte> to) noexcept
{
  const auto* const place = static_cast<const std::byte*>(block);
  const mutex_guard guard(scan_lock_);
  const region* const r = region_of(place);
  if (r == nullptr) return 0;
  if (!is_slab_here(r, place)) return large_.copy_live(place, 0, to);
  const auto& s = static_cast<const slab&>(*r);
  const quotient slot = s.slot_at(static_cast<std::size_t>(place - s.base));
  live_block b;
  if (!slot.exact || slot.index >= s.slot_count || !read_live(s.records[slot.index], place, b)) return 0;
  const std::size_t bytes = std::min(to.size(), b.bytes);
  if (may_be_closed(place, b.bytes) && !is_readable(place, bytes)) return 0;
  copy_bytes(to.data(), place, bytes);
  live_block after;
  const bool same = read_live(s.records[slot.index], place, after) && after.bytes == b.bytes && after.trace == b.trace;
  return same ? bytes : 0;  // else it was freed while we looked
}

}  // namespace gpa::detail
