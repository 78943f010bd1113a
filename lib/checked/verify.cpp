// Looking for what was written where nobody may write: overflows and writes after free.
//
// A wrong byte is believed only if the slot's tag did not move around the reading: the slot is marked inspected by a
// compare-exchange, looked at again, and the mark must still stand. Whoever frees the slot or hands it out meanwhile
// overwrites the mark. damage_lock_ makes the two who could tell the same damage take turns; what was told keeps its
// mark and is not told again. Reports are filled in under that lock, their `reason` too, and told without any.
#include "checked/checked_heap.hpp"

#include "base/assert.hpp"
#include "base/tools.hpp"
#include "blocks/owner.hpp"
#include "checked/evidence.hpp"
#include "trace/interned.hpp"

#include <algorithm>
#include <new>

namespace gpa::detail {

gpa::report checked_heap::overflow_report(const slab& s, std::size_t index, std::size_t bytes, const damage& d,
                                          std::string_view reason, gpa::stack_trace here) const noexcept
{
  const record& r = s.records[index];
  gpa::report told;
  told.kind = mistake::overflow;
  told.resource = owner_.name();
  told.reason = reason;
  told.address = s.slot(index);
  told.bytes = told.total_bytes = bytes;
  told.alignment = alignment_of(tag_of(r.word.load(std::memory_order_relaxed)));
  told.offset = d.first;
  told.damaged = d.count;
  told.memory = excerpt_around(s.slot(index), d.first < s.slot_bytes ? s.slot_bytes : s.slot_bytes * 2, d);
  told.allocated = gpa::stack_trace(r.alloc_trace.load(std::memory_order_relaxed),
                                    r.alloc_thread.load(std::memory_order_relaxed));
  told.here = here;
  // Nothing just behind the block changed, but the slot's last bytes did: they stand just in front of the next one.
  const bool is_in_front = d.first >= bytes + redzone_bytes || (d.first > bytes && d.last + 1 == s.slot_bytes);
  told.damaged_to_the_end = d.to_the_end && !is_in_front;
  if (is_in_front)
    told.reason = interned_format("in front of the block at %p; %s",
                                  static_cast<const void*>(s.slot(index) + s.slot_bytes), reason);
  return told;
}

gpa::report checked_heap::damage_report(const slab& s, std::size_t index, std::uint64_t word, const damage& d,
                                        std::string_view found, gpa::stack_trace here) const noexcept
{
  const tag t = tag_of(word);
  if (alignment_of(t) == 0 && index != 0) {  // never a block: it was reached from the slot in front of it
    const std::size_t before = index - 1;
    const tag neighbour = tag_of(s.records[before].word.load(std::memory_order_acquire));
    damage shifted = d;
    shifted.first += s.slot_bytes;
    shifted.last += s.slot_bytes;
    gpa::report told = overflow_report(s, before, bytes_of(neighbour), shifted, found, here);
    told.reason = interned_format("memory behind the block that was never handed out; %s", found);
    return told;
  }
  gpa::report told;
  const record& r = s.records[index];
  told.kind = mistake::write_after_free;
  told.resource = owner_.name();
  told.address = s.slot(index);
  told.bytes = told.total_bytes = bytes_of(t);
  told.alignment = alignment_of(t);
  told.offset = d.first;
  told.damaged = d.count;
  told.memory = excerpt_around(s.slot(index), s.slot_bytes, d);
  told.allocated = gpa::stack_trace(r.alloc_trace.load(std::memory_order_relaxed),
                                    r.alloc_thread.load(std::memory_order_relaxed));
  told.freed = gpa::stack_trace(free_trace_of(word), r.free_thread.load(std::memory_order_relaxed));
  told.here = here;
  told.reason = found;
  if (d.last + 1 == s.slot_bytes && d.first >= told.bytes)
    told.reason = interned_format("or in front of the block at %p; %s",
                                  static_cast<const void*>(s.slot(index) + s.slot_bytes), found);
  return told;
}

// Of a live block. A slot has room for a guard byte, but a damaged record may say anything.
static std::size_t bytes_within(const slab& s, std::uint64_t word) noexcept
{
  return std::min<std::size_t>(bytes_of(tag_of(word)), s.slot_bytes - 1);
}

void checked_heap::tell_damaged_slot(std::byte* slot, record& r, unsigned c, std::uint32_t trace,
                                     std::uint16_t thread) noexcept
{
  gpa::report told;
  {
    const mutex_guard guard(damage_lock_);
    const std::uint64_t word = r.word.load(std::memory_order_acquire);
    GPA_ASSERT(!is_live(state_of(tag_of(word))));  // else somebody else's block is about to be handed out
    const damage d = find_damage_of_poison(slot, slot_size(c), bytes_of(tag_of(word)), poison_);
    const bool known = state_of(tag_of(word)) == slot_state::poisoned_inspected;
    if (!known && d.count != 0) {
      const auto& s = static_cast<const slab&>(*region_of(slot));
      told = damage_report(s, s.index_of(slot), word, d,
                           "found when the slot was about to be handed out again", gpa::stack_trace(trace, thread));
    }
    tools_open(slot, slot_size(c));
    write_poison(slot, slot_size(c), bytes_of(tag_of(word)), poison_);
    tools_close(slot, slot_size(c));
  }
  if (told.address != nullptr) owner_.tell(told);
}

void checked_heap::complete_damaged_free(checked_cache& k, const slab& s, std::size_t index, std::size_t bytes,
                                         std::uint64_t freed_word) noexcept
{
  const damage d = find_damage_behind(s.slot(index), bytes, s.slot_bytes, poison_);
  const gpa::report told = overflow_report(s, index, bytes, d, "found when the block was freed",
                                           gpa::stack_trace(free_trace_of(freed_word), k.thread));
  complete_free(k, s, index, bytes, freed_word);
  owner_.tell(told);
}

void checked_heap::verify_poisoned(slab& s, std::size_t index, const inspection& why, list_of<gpa::report>& found)
{
  record& r = s.records[index];
  const mutex_guard guard(damage_lock_);
  std::uint64_t word = r.word.load(std::memory_order_acquire);
  const slot_state state = state_of(tag_of(word));
  if (state != slot_state::poisoned) return;
  const std::uint64_t marked = make_word(with_state(tag_of(word), slot_state::poisoned_inspected),
                                         free_trace_of(word));
  if (!r.word.compare_exchange_strong(word, marked, std::memory_order_acq_rel)) return;
  const damage d = find_damage_of_poison(s.slot(index), s.slot_bytes, bytes_of(tag_of(word)), poison_);
  if (d.count == 0) {
    std::uint64_t mine = marked;
    r.word.compare_exchange_strong(mine, word, std::memory_order_acq_rel);
    return;
  }
  const gpa::report told = damage_report(s, index, word, d, why.words, why.here);
  if (r.word.load(std::memory_order_acquire) == marked) found.push_back(told);
}

void checked_heap::verify_live(slab& s, std::size_t index, const inspection& why, list_of<gpa::report>& found)
{
  record& r = s.records[index];
  share(s);
  const mutex_guard guard(damage_lock_);
  std::uint64_t word = r.word.load(std::memory_order_acquire);
  const slot_state state = state_of(tag_of(word));
  if (state != slot_state::live && state != slot_state::live_ignored) return;
  const slot_state inspected = state == slot_state::live ? slot_state::live_inspected : slot_state::ignored_inspected;
  const std::uint64_t marked = make_word(with_state(tag_of(word), inspected), 0);
  if (!r.word.compare_exchange_strong(word, marked, std::memory_order_acq_rel)) return;
  const std::size_t bytes = bytes_within(s, word);
  const damage d = find_damage_behind(s.slot(index), bytes, s.slot_bytes, poison_);
  if (d.count == 0) {
    std::uint64_t mine = marked;
    r.word.compare_exchange_strong(mine, word, std::memory_order_acq_rel);
    return;
  }
  const gpa::report told = overflow_report(s, index, bytes, d, why.words, why.here);
  if (r.word.load(std::memory_order_acquire) == marked) found.push_back(told);
}

void checked_heap::verify_slab(slab& s, const inspection& why, list_of<gpa::report>& found)
{
  const std::size_t carved = s.carved.load(std::memory_order_acquire);
  for (std::size_t i = 0; i != carved; ++i) {
    const std::uint64_t word = s.records[i].word.load(std::memory_order_acquire);
    switch (state_of(tag_of(word))) {
      case slot_state::poisoned:
        if (!holds_poison(s.slot(i), s.slot_bytes, bytes_of(tag_of(word)), poison_))
          verify_poisoned(s, i, why, found);
        break;
      case slot_state::live:
      case slot_state::live_ignored:
        if (!behind_intact(s.slot(i), bytes_within(s, word), s.slot_bytes, poison_))
          verify_live(s, i, why, found);
        break;
      case slot_state::fresh:
      case slot_state::freed:
      case slot_state::live_inspected:
      case slot_state::ignored_inspected:
      case slot_state::poisoned_inspected: break;
    }
  }
}

std::size_t checked_heap::verify(const inspection& why) noexcept
{
  list_of<gpa::report> found;
  {
    const mutex_guard guard(scan_lock_);  // trim() must not take the pages away
    try {
      for (slab* s = slabs(); s != nullptr; s = s->next) verify_slab(*s, why, found);
    } catch (const std::bad_alloc&) {
      // What was found so far is told; the rest is found by the next call.
    }
  }
  for (const gpa::report& r : found) owner_.tell(r);
  return found.size() + large_.verify(why);
}

}  // namespace gpa::detail
