// What a resource knows of its call sites: notes at each call where they are wanted, snapshots, the origin of a block.
#include "core.hpp"

#include "checked/live_scan.hpp"
#include "os/threads.hpp"
#include "profile/site_counts.hpp"
#include "trace/depot.hpp"

#include <gpa/snapshot.hpp>

namespace gpa::detail {

// The block is ours alone yet.
void core::note_allocation(const void* p, std::size_t bytes) noexcept
{
  const block_notes notes = checked_.notes_of(p, profile_.has_value());
  if (notes.alloc_trace == nullptr) return;  // a block that is not checked
  std::uint32_t trace = notes.alloc_trace->load(std::memory_order_relaxed);
  if (my_thread.tag != 0) {
    trace = depot_intern(depot_frames(trace), my_thread.tag);
    notes.alloc_trace->store(trace, std::memory_order_relaxed);
  }
  if (notes.life != nullptr)
    notes.life->store(profile_->allocated(p, bytes, trace, this_thread_serial()), std::memory_order_relaxed);
}

// Read before the free: afterwards the slot may be another block's.
std::uint64_t core::life_of(const void* p) const noexcept
{
  if (!profile_.has_value()) return 0;
  const block_notes notes = checked_.notes_of(p, true);
  return notes.life == nullptr ? 0 : notes.life->load(std::memory_order_relaxed);
}

// After deinit() too; frees that came later are not in it.
list_of<site_counts> core::history()
{
  list_of<site_counts> list = sites_of(*profile_);
  if (is_sampled()) scale(list, options_.checks.interval());
  return list;
}

list_of<site_counts> core::sites()
{
  list_of<site_counts> list;
  if (life_.load(std::memory_order_relaxed) != life::alive) return list;
  if (profile_.has_value()) return history();
  if (!options_.checks.is_never()) {
    struct counting final : live_visitor {
      live_counter counter = {};
      void visit(const live_block& b) noexcept override { counter.add(b.trace, b.bytes); }
    } visitor;
    checked_.visit_live(visitor);
    list = visitor.counter.sites();
  }
  if (is_sampled()) scale(list, options_.checks.interval());
  return list;
}

snapshot core::take_snapshot()
{
  return snapshot_maker::make(sites(), is_sampled(), profile_.has_value());
}

traced_memory core::traced() noexcept
{
  const statistics s = stats();
  return {.current = s.live_bytes, .peak = s.peak_bytes};
}

void core::reset_peak() noexcept
{
  if (profile_.has_value()) profile_->reset_peaks();
  {
    const mutex_guard guard(lock_);
    for (cache_header* k = caches_; k != nullptr; k = k->next)
      for (cache_header* part = k; part != nullptr; part = part->partner)
        part->forget_peak();
  }
  // In this order: what others allocate from here on raises it.
  peak_blocks_.store(0, std::memory_order_relaxed);
  peak_bytes_.store(0, std::memory_order_relaxed);
  note_peak(sum());
}

gpa::stack_trace core::origin(const void* p) const noexcept
{
  const live_block b = checked_.find_live(p);
  return gpa::stack_trace(b.trace, b.thread);
}

}  // namespace gpa::detail
