#include "checked/judge.hpp"

#include "blocks/owner.hpp"
#include "checked/large_record.hpp"
#include "checked/slab.hpp"
#include "trace/format.hpp"
#include "trace/headline.hpp"
#include "trace/interned.hpp"

namespace gpa::detail {

namespace {

// Where in a block that has `bytes` of a slot, and whose state is `state`, an offset other than 0 lies.
pointer_place place_in(slot_state state, std::size_t offset, std::size_t bytes) noexcept
{
  if (state == slot_state::fresh) return pointer_place::never_handed_out;
  if (!is_live(state)) return pointer_place::inside_freed;
  if (offset < bytes) return pointer_place::inside;
  return offset == bytes ? pointer_place::past_end : pointer_place::behind;
}

// The block is known and the pointer is its start.
void compare(judgement& j, slot_state state, std::size_t bytes, std::size_t alignment, const owner* self) noexcept
{
  j.place = pointer_place::start;
  if (!is_live(state)) {
    j.kind = mistake::double_free;
  } else if (j.belongs_to != self) {
    j.kind = mistake::wrong_resource;
  } else if (bytes != j.bytes) {
    j.kind = mistake::size_mismatch;
  } else if (alignment != j.alignment) {
    j.kind = mistake::alignment_mismatch;
  } else {
    j.right = true;
  }
}

void judge_small(judgement& j, slab& s, const void* p, std::size_t bytes, std::size_t alignment,
                 const owner* self) noexcept
{
  const auto offset = static_cast<std::size_t>(static_cast<const std::byte*>(p) - s.base);
  const std::size_t index = s.slot_at(offset).index;
  if (index >= s.slot_count) {
    j.place = pointer_place::gap;
    return;
  }
  record& r = s.records[index];
  j.in_slab = &s;
  j.small = &r;
  j.block = s.slot(index);
  j.offset = offset - index * s.slot_bytes;
  j.word = r.word.load(std::memory_order_acquire);
  const tag t = tag_of(j.word);
  j.bytes = bytes_of(t);
  j.alignment = alignment_of(t);
  j.alloc_trace = r.alloc_trace.load(std::memory_order_relaxed);
  j.alloc_thread = r.alloc_thread.load(std::memory_order_relaxed);
  const slot_state state = state_of(t);
  if (!is_live(state)) {
    j.free_trace = free_trace_of(j.word);
    j.free_thread = r.free_thread.load(std::memory_order_relaxed);
  }
  const bool never = j.alignment == 0;  // no block ever had that: fresh, whatever verify() noted on it
  if (j.offset != 0 || never) {
    j.place = place_in(never ? slot_state::fresh : state, j.offset, j.bytes);
    return;
  }
  compare(j, state, bytes, alignment, self);
}

void judge_large(judgement& j, large_block& b, const void* p, std::size_t bytes, std::size_t alignment,
                 const owner* self) noexcept
{
  j.large = &b;
  j.block = b.base;
  j.offset = static_cast<std::size_t>(static_cast<const std::byte*>(p) - b.base);
  slot_state state = slot_state::fresh;
  do {  // so that the stacks are those of the block that the word is of, as far as a word tells
    j.word = b.word.load(std::memory_order_acquire);
    state = large_state(j.word);
    j.alloc_trace = b.alloc_trace.load(std::memory_order_relaxed);
    j.alloc_thread = b.alloc_thread.load(std::memory_order_relaxed);
    j.free_trace = is_live(state) ? 0 : b.free_trace.load(std::memory_order_relaxed);
    j.free_thread = is_live(state) ? std::uint16_t{0} : b.free_thread.load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
  } while (b.word.load(std::memory_order_relaxed) != j.word);
  j.bytes = large_bytes(j.word);
  j.alignment = large_alignment(j.word);
  if (j.offset != 0 || state == slot_state::fresh) {
    j.place = place_in(state, j.offset, j.bytes);
    return;
  }
  compare(j, state, bytes, alignment, self);
}

std::string_view reason_of(const judgement& j) noexcept
{
  switch (j.place) {
    case pointer_place::start: return {};
    case pointer_place::null: return "the null pointer";
    case pointer_place::foreign: return "not memory of any gpa::resource";
    case pointer_place::inside:
      return interned_format("inside a block, %d %s from its start", j.offset, bytes_word(j.offset));
    case pointer_place::past_end:
      return interned_format("one past the end of a block of %d %s", j.bytes, bytes_word(j.bytes));
    case pointer_place::behind:
      return interned_format("behind a block of %d %s, %d bytes from its start", j.bytes, bytes_word(j.bytes),
                             j.offset);
    case pointer_place::inside_freed:
      return interned_format("inside a freed block, %d %s from its start", j.offset, bytes_word(j.offset));
    case pointer_place::never_handed_out: return "in memory of a gpa::resource that was never handed out";
    case pointer_place::gap: return "in memory of a gpa::resource, behind its last block";
    case pointer_place::fast: return "a block of a resource without checks";
  }
  return {};
}

}  // namespace

judgement judge(const void* p, std::size_t bytes, std::size_t alignment, const owner* self) noexcept
{
  judgement j;
  if (p == nullptr) {
    j.place = pointer_place::null;
    return j;
  }
  region* const r = region_of(p);
  if (r == nullptr) return j;
  j.belongs_to = r->owner;
  switch (r->kind) {
    case region_kind::checked_slab: judge_small(j, static_cast<slab&>(*r), p, bytes, alignment, self); break;
    case region_kind::checked_large:
      judge_large(j, static_cast<large_block&>(*r), p, bytes, alignment, self);
      break;
    case region_kind::fast_slab:
    case region_kind::fast_large:
      // Nothing is remembered of single blocks there, so all that can be said is whose it is.
      j.place = pointer_place::fast;
      j.right = r->owner == self;
      j.kind = mistake::wrong_resource;
      j.bytes = bytes;
      j.alignment = alignment;
      break;
  }
  return j;
}

gpa::report report_of(const judgement& j, const owner& self, const void* p, std::size_t bytes,
                      std::size_t alignment) noexcept
{
  gpa::report r;
  r.kind = j.kind;
  r.resource = self.name();
  if (j.belongs_to != nullptr && j.belongs_to != &self) r.owner = j.belongs_to->name();
  r.reason = reason_of(j);
  r.address = p;
  r.bytes = j.bytes;
  r.alignment = j.alignment;
  r.given_bytes = bytes;
  r.given_alignment = alignment;
  r.total_bytes = j.bytes;
  r.offset = j.offset;
  r.allocated = gpa::stack_trace(j.alloc_trace, j.alloc_thread);
  r.freed = gpa::stack_trace(j.free_trace, j.free_thread);
  return r;
}

}  // namespace gpa::detail
