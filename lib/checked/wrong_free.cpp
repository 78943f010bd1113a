// The free that was not simply right: a flag on the tag, a large block, or a mistake. A double free is detected here:
// the claim of checked_heap::deallocate() failed, judge() says why, and the user is told. And try_resize(), which is
// judged as a free is.
#include "checked/checked_heap.hpp"

#include "base/tools.hpp"
#include "blocks/owner.hpp"

namespace gpa::detail {

bool checked_heap::deallocate_slow(checked_cache& k, void* p, std::size_t bytes, std::size_t alignment,
                                   std::uint32_t trace, const void* caller) noexcept
{
  if (trace == 0 && k.free_frames != 0) trace = capture_stack(k.free_frames, caller);
  for (;;) {
    const judgement j = judge(p, bytes, alignment, &owner_);
    if (!j.right) {
      gpa::report r = report_of(j, owner_, p, bytes, alignment);
      if (trace == 0 && k.frames != 0) trace = capture_stack(k.frames, caller);
      r.here = gpa::stack_trace(trace, k.thread);
      owner_.tell(r);
      return false;
    }
    if (j.large != nullptr) {
      if (!large_.free(*j.large, p, j.word, trace, k.thread, k.counts)) continue;  // lost a race: judge again
      return true;
    }
    if (j.small == nullptr) return false;  // fast memory of a sampling resource: not this heap's
    bool damage_told = false;
    if (!claim_flagged(j, trace, damage_told)) continue;
    const std::uint64_t freed = make_word(encode(slot_state::freed, bytes, alignment), trace);
    const auto index = static_cast<std::size_t>(j.small - j.in_slab->records);
    if (damage_told || behind_intact(static_cast<std::byte*>(p), bytes, j.in_slab->slot_bytes, poison_)) {
      complete_free(k, *j.in_slab, index, bytes, freed);
    } else {
      complete_damaged_free(k, *j.in_slab, index, bytes, freed);
    }
    return true;
  }
}

// The block is live and the numbers are right, but its tag carries a flag (or did a moment ago).
bool checked_heap::claim_flagged(const judgement& j, std::uint32_t trace, bool& damage_told) noexcept
{
  share(*j.in_slab);
  // verify() holds this lock while it looks at a slot; what it leaves inspected, it has told.
  const mutex_guard guard(damage_lock_);
  std::uint64_t seen = j.small->word.load(std::memory_order_acquire);
  const slot_state state = state_of(tag_of(seen));
  if (!is_live(state) || with_state(tag_of(seen), slot_state::live) != with_state(tag_of(j.word), slot_state::live))
    return false;
  damage_told = state == slot_state::live_inspected || state == slot_state::ignored_inspected;
  return j.small->word.compare_exchange_strong(
      seen, make_word(with_state(tag_of(seen), slot_state::freed), trace), std::memory_order_acq_rel);
}

bool checked_heap::try_resize(checked_cache& k, void* p, std::size_t old_bytes, std::size_t new_bytes,
                              std::size_t alignment, const void* caller) noexcept
{
  for (;;) {
    const judgement j = judge(p, old_bytes, alignment, &owner_);
    const std::uint32_t trace = j.right || k.frames == 0 ? 0 : capture_stack(k.frames, caller);
    if (!j.right) {
      gpa::report r = report_of(j, owner_, p, old_bytes, alignment);
      r.here = gpa::stack_trace(trace, k.thread);
      owner_.tell(r);
      return false;
    }
    if (new_bytes == old_bytes) return true;
    if (j.large != nullptr) {
      const auto done = large_.resize(*j.large, p, j.word, new_bytes);
      if (done == large_blocks::resized::judge_again) continue;
      if (done == large_blocks::resized::no) return false;
    } else {
      if (j.small == nullptr || new_bytes >= j.in_slab->slot_bytes || new_bytes > small_limit) return false;
      const mutex_guard guard(damage_lock_);  // against verify(), which would see the new size before its redzone
      const damage d = find_damage_behind(static_cast<std::byte*>(p), old_bytes, j.in_slab->slot_bytes, poison_);
      if (j.small->word.load(std::memory_order_acquire) != j.word) continue;  // freed meanwhile: that is its poison
      if (d.count != 0) return false;  // leave the evidence for the free
      const tag resized = encode(state_of(tag_of(j.word)), new_bytes, alignment);
      if (!claim(k, *j.in_slab, j.small->word, j.word, make_word(resized, 0))) continue;
      auto* const slot = static_cast<std::byte*>(p);
      const std::size_t size = j.in_slab->slot_bytes;
      tools_open(slot, size);
      write_behind(slot, new_bytes, size, poison_);
      tools_close(slot + new_bytes, size - new_bytes);
    }
    k.counts.count_resize(old_bytes, new_bytes);
    return true;
  }
}

}  // namespace gpa::detail
