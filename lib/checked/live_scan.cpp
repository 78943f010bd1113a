// Live blocks, all of them or one: what snapshots and profiles ask of the checked heap.
#include "checked/live_scan.hpp"

#include "checked/checked_heap.hpp"
#include "os/metadata.hpp"

#include <array>
#include <new>

namespace gpa::detail {

namespace {

// How many large blocks are looked at under one hold of their lock. Some 20 microseconds: nobody waits longer.
constexpr std::size_t large_batch = 256;

// Of a slab's slots; made when the first is asked for. Null without memory for them.
std::atomic<std::uint64_t>* lives_of(slab& s) noexcept
{
  std::atomic<std::uint64_t>* known = s.lives.load(std::memory_order_acquire);
  if (known != nullptr) return known;
  const std::size_t bytes = s.slot_count * sizeof(std::uint64_t);
  auto* const fresh = static_cast<std::atomic<std::uint64_t>*>(metadata_allocate(bytes));
  if (fresh == nullptr || s.lives.compare_exchange_strong(known, fresh, std::memory_order_acq_rel)) return fresh;
  metadata_free(fresh, bytes);
  return known;
}

}  // namespace

live_block live_block_of(const large_block& b, std::uint64_t word) noexcept
{
  return {.address = b.base,
          .bytes = large_bytes(word),
          .alignment = large_alignment(word),
          .trace = b.alloc_trace.load(std::memory_order_relaxed),
          .thread = b.alloc_thread.load(std::memory_order_relaxed),
          .ignored = is_ignored(large_state(word))};
}

void checked_heap::visit_live(live_visitor& v) noexcept
{
  const mutex_guard guard(scan_lock_);  // trim() must not take slabs away
  for (const slab* s = slabs(); s != nullptr; s = s->next) {
    const std::size_t carved = s->carved.load(std::memory_order_acquire);
    for (std::size_t i = 0; i != carved; ++i)
      if (live_block b; read_live(s->records[i], s->slot(i), b)) v.visit(b);
  }
  large_.visit_live(v);
}

// A bookmark stands in the list where the next batch goes on: a block like any other, but never live. Forks wait for
// the scan, so none is ever left behind.
void large_blocks::visit_live(live_visitor& v) noexcept
{
  void* const place = metadata_allocate(sizeof(large_block));
  if (place == nullptr) return;  // not counted: as good as not allocated yet
  large_block& bookmark = *new (place) large_block;
  std::array<live_block, large_batch> batch;
  for (bool begun = false, more = true; more;) {
    std::size_t count = 0;
    {
      const mutex_guard guard(lock_);
      large_block* b = begun ? bookmark.next : live_.first;
      if (begun) live_.remove(bookmark);
      begun = true;
      for (std::size_t seen = 0; b != nullptr && seen != large_batch; b = b->next, ++seen) {
        const std::uint64_t word = b->word.load(std::memory_order_acquire);
        if (is_live(large_state(word))) batch[count++] = live_block_of(*b, word);
      }
      more = b != nullptr;
      if (more) live_.insert_before(*b, bookmark);
    }
    for (std::size_t i = 0; i != count; ++i) v.visit(batch[i]);
  }
  metadata_free(place, sizeof(large_block));
}

live_block checked_heap::find_live(const void* p) const noexcept
{
  live_block b;
  const auto* const place = static_cast<const std::byte*>(p);
  const mutex_guard guard(scan_lock_);
  const region* const found = region_of(place);
  if (found == nullptr) return {};
  if (!is_slab_here(found, place)) return large_.read_live(place, b) ? b : live_block{};
  const auto& s = static_cast<const slab&>(*found);
  const auto [index, exact] = s.slot_at(static_cast<std::size_t>(place - s.base));
  return exact && read_live(s.records[index], s.slot(index), b) ? b : live_block{};
}

block_notes checked_heap::notes_of(const void* p, bool with_life) const noexcept
{
  region* const found = region_of(p);
  if (found == nullptr || found->owner != &owner_) return {};
  if (found->kind == region_kind::checked_large) {
    auto& large = static_cast<large_block&>(*found);
    return p == large.base ? block_notes{&large.alloc_trace, with_life ? &large.life : nullptr} : block_notes{};
  }
  if (found->kind != region_kind::checked_slab) return {};
  auto& s = static_cast<slab&>(*found);
  const auto [index, exact] = s.slot_at(static_cast<std::size_t>(static_cast<const std::byte*>(p) - s.base));
  if (!exact || index >= s.slot_count) return {};
  std::atomic<std::uint64_t>* const lives = with_life ? lives_of(s) : nullptr;
  return {&s.records[index].alloc_trace, lives == nullptr ? nullptr : lives + index};
}

}  // namespace gpa::detail
