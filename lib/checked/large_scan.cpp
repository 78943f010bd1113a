// Large blocks looked at as a whole: for damage, for leaks, and when everything ends.
#include "checked/large_blocks.hpp"

#include "checked/evidence.hpp"
#include "checked/fill.hpp"
#include "checked/live_scan.hpp"
#include "checked/peek.hpp"
#include "os/containers.hpp"
#include "os/pages.hpp"
#include "os/threads.hpp"

#include <algorithm>
#include <new>

namespace gpa::detail {

namespace {

gpa::report report_about(const large_block& b, std::uint64_t word, const owner& o, gpa::stack_trace here,
                         std::string_view reason, const damage& d) noexcept
{
  gpa::report r;
  r.resource = o.name();
  r.reason = reason;
  r.address = b.base;
  r.bytes = r.total_bytes = large_bytes(word);
  r.alignment = large_alignment(word);
  r.offset = d.first;
  r.damaged = d.count;
  r.memory = excerpt_around(b.base, b.bytes, d);
  r.allocated = gpa::stack_trace(b.alloc_trace.load(std::memory_order_relaxed),
                                 b.alloc_thread.load(std::memory_order_relaxed));
  r.here = here;
  return r;
}

}  // namespace

gpa::report large_blocks::overflow_report(const large_block& b, std::uint64_t word, gpa::stack_trace here,
                                          std::string_view reason) const noexcept
{
  const std::size_t bytes = large_bytes(word);
  const damage d = find_damage_behind(b.base, bytes, std::min(bytes + redzone_bytes, b.bytes), poison_rule::everywhere());
  gpa::report r = report_about(b, word, owner_, here, reason, d);
  r.kind = mistake::overflow;
  r.damaged_to_the_end = d.to_the_end;
  return r;
}

gpa::report large_blocks::write_after_free_report(const large_block& b, gpa::stack_trace here,
                                                  std::string_view reason) const noexcept
{
  const std::uint64_t word = b.word.load(std::memory_order_relaxed);
  gpa::report r = report_about(b, word, owner_, here, reason, poison_.find_damage(b.base, large_bytes(word), b.bytes));
  r.kind = mistake::write_after_free;
  r.freed = gpa::stack_trace(b.free_trace.load(std::memory_order_relaxed),
                             b.free_thread.load(std::memory_order_relaxed));
  return r;
}

std::size_t large_blocks::verify(const inspection& why) noexcept
{
  list_of<gpa::report> found;
  try {
    const mutex_guard guard(lock_);  // a block leaves its list before its pages go
    for (large_block* b = live_.first; b != nullptr; b = b->next) {
      std::uint64_t word = b->word.load(std::memory_order_acquire);
      const slot_state state = large_state(word);
      if ((state != slot_state::live && state != slot_state::live_ignored) ||
          redzone_intact(b->base, large_bytes(word), b->bytes))
        continue;
      // Told once: the flag stays. Whoever frees the block now loses or wins this exchange, so one of us tells.
      const slot_state told = state == slot_state::live ? slot_state::live_inspected : slot_state::ignored_inspected;
      if (!b->word.compare_exchange_strong(word, large_with_state(word, told), std::memory_order_acq_rel)) continue;
      found.push_back(overflow_report(*b, word, why.here, why.words));
    }
    for (large_block* b = filled_.first; b != nullptr; b = b->next) {
      const std::size_t bytes = large_bytes(b->word.load(std::memory_order_relaxed));
      if (poison_.stands(b->base, bytes, b->bytes)) continue;
      found.push_back(write_after_free_report(*b, why.here, why.words));
      fill(*b, bytes);
    }
  } catch (const std::bad_alloc&) {
    // What was found so far is told; the rest is found by the next call.
  }
  for (const gpa::report& r : found) owner_.tell(r);
  return found.size();
}

void large_blocks::collect_live(leak_groups& groups) noexcept
{
  const std::uint32_t first_thread = first_number_of_this_process();
  const mutex_guard guard(lock_);
  for (const large_block* place = live_.first; place != nullptr; place = place->next) {
    const std::uint64_t word = place->word.load(std::memory_order_acquire);
    const live_block b = live_block_of(*place, word);
    if (is_live(large_state(word)) && !b.ignored && b.thread >= first_thread) groups.add_owner(b);
  }
}

void large_blocks::add_live(leak_scan& scan)
{
  const mutex_guard guard(lock_);
  for (large_block* b = live_.first; b != nullptr; b = b->next) scan.add(*b);
}

// A block leaves the list of live ones under the lock, and its pages go after that.
// Another resource may have cut regions of its own from the block, and then theirs are found first. Nothing keeps those
// while we look, so that what lies under them is searched for in our own list.
large_block* large_blocks::live_at(const std::byte* base) const noexcept
{
  region* const r = region_of(base);
  if (r == nullptr) return nullptr;
  const region_head head = head_of(*r);
  large_block* b = nullptr;
  if (head.holder != &owner_) {
    b = live_.first;
    while (b != nullptr && b->base != base) b = b->next;
  } else if (head.kind == region_kind::checked_large && head.base == base) {
    b = static_cast<large_block*>(r);
  }
  return b != nullptr && is_live(large_state(b->word.load(std::memory_order_acquire))) ? b : nullptr;
}

bool large_blocks::read_live(const std::byte* base, live_block& b) const noexcept
{
  const mutex_guard guard(lock_);
  const large_block* const place = live_at(base);
  if (place != nullptr) b = live_block_of(*place, place->word.load(std::memory_order_acquire));
  return place != nullptr;
}

bool large_blocks::ignore(const std::byte* base) noexcept
{
  const mutex_guard guard(lock_);
  large_block* const b = live_at(base);
  return b != nullptr && ignore(*b, b->word.load(std::memory_order_acquire));
}

bool large_blocks::ignore(large_block& b, std::uint64_t word) noexcept
{
  for (;;) {
    const slot_state state = large_state(word);
    if (!is_live(state)) return false;
    if (is_ignored(state)) return true;
    const slot_state ignored = state == slot_state::live ? slot_state::live_ignored : slot_state::ignored_inspected;
    if (b.word.compare_exchange_strong(word, large_with_state(word, ignored))) return true;
  }
}

std::size_t large_blocks::copy_live(const std::byte* base, std::size_t offset, std::span<std::byte> to) noexcept
{
  const mutex_guard guard(lock_);
  const large_block* const place = live_at(base);
  if (place == nullptr) return 0;
  const std::uint64_t word = place->word.load(std::memory_order_acquire);
  if (offset >= large_bytes(word)) return 0;
  const std::size_t bytes = std::min(to.size(), large_bytes(word) - offset);
  if (!is_readable(base + offset, bytes)) return 0;  // closed by the user
  copy_bytes(to.data(), base + offset, bytes);
  return bytes;
}

bool large_blocks::free_buried(large_block& b, const void* p, std::uint64_t word) noexcept
{
  {
    const mutex_guard guard(lock_);
    if (!is_block_at(p, b) ||
        !b.word.compare_exchange_strong(word, large_with_state(word, slot_state::freed), std::memory_order_acq_rel))
      return false;
    live_.remove(b);
    leave_map(b);
  }
  held_.fetch_sub(b.bytes, std::memory_order_relaxed);  // remove() counts live blocks only
  std::array gone{&b};
  remove(gone);
  return true;
}

void large_blocks::release() noexcept
{
  bury();
  remove_all(kept::live);
}

}  // namespace gpa::detail
