#include "checked/large_blocks.hpp"

#include "base/tools.hpp"
#include "blocks/tally.hpp"
#include "checked/fill.hpp"
#include "os/metadata.hpp"
#include "os/pages.hpp"

#include <algorithm>
#include <new>

namespace gpa::detail {

namespace {

bool is_told(std::uint64_t word) noexcept
{
  const slot_state s = large_state(word);
  return s == slot_state::live_inspected || s == slot_state::ignored_inspected || s == slot_state::poisoned_inspected;
}

}  // namespace

void large_blocks::block_list::add(large_block& b) noexcept
{
  b.previous = nullptr;
  b.next = first;
  if (first != nullptr) first->previous = &b;
  first = &b;
  if (last == nullptr) last = &b;
  ++count;
  bytes += b.bytes;
}

void large_blocks::block_list::insert_before(large_block& other, large_block& b) noexcept
{
  b.previous = other.previous;
  b.next = &other;
  (b.previous != nullptr ? b.previous->next : first) = &b;
  other.previous = &b;
  ++count;
  bytes += b.bytes;
}

void large_blocks::block_list::remove(large_block& b) noexcept
{
  (b.previous != nullptr ? b.previous->next : first) = b.next;
  (b.next != nullptr ? b.next->previous : last) = b.previous;
  --count;
  bytes -= b.bytes;
}

large_blocks::~large_blocks() { release(); }

void large_blocks::delete_record(large_block& b) noexcept { metadata_free(&b, sizeof b); }

void* large_blocks::allocate(std::size_t bytes, std::size_t alignment, std::uint32_t trace,
                             std::uint16_t thread) noexcept
{
  if (!encodable_large(bytes, alignment)) return nullptr;
  const std::size_t range = range_size(bytes);
  const std::size_t range_alignment = std::max(alignment, granule_size);
  for (const auto take : {&large_blocks::take_waiting, &large_blocks::take_old})
    if (large_block* const b = (this->*take)(range, range_alignment); b != nullptr)
      return hand_out_again(*b, bytes, alignment, trace, thread);
  void* const place = metadata_allocate(sizeof(large_block));
  if (place == nullptr) return nullptr;
  auto& b = *new (place) large_block;
  b.owner = &owner_;
  b.bytes = range;
  b.kind = region_kind::checked_large;
  b.range_alignment = range_alignment;
  if (!take_range(b) && !(could_make_room(range) && end_quarantine() && take_range(b))) {
    delete_record(b);
    return nullptr;
  }
  b.entered = enter_region(b);
  if (!b.entered) {
    give_range_back(b);
    delete_record(b);
    return nullptr;
  }
  held_.fetch_add(range, std::memory_order_relaxed);
  return hand_out(b, bytes, alignment, trace, thread);
}

void* large_blocks::hand_out_again(large_block& b, std::size_t bytes, std::size_t alignment, std::uint32_t trace,
                                   std::uint16_t thread) noexcept
{
  gpa::report r;
  const bool written = is_written(b);
  if (written) r = write_after_free_report(b, {trace, thread}, "found when the block was about to be handed out again");
  b.filled = false;
  b.life.store(0, std::memory_order_relaxed);
  b.free_trace.store(0, std::memory_order_relaxed);
  b.free_thread.store(0, std::memory_order_relaxed);
  void* const p = hand_out(b, bytes, alignment, trace, thread);
  if (written) owner_.tell(r);
  return p;
}

void* large_blocks::hand_out(large_block& b, std::size_t bytes, std::size_t alignment, std::uint32_t trace,
                             std::uint16_t thread) noexcept
{
  std::byte* const base = b.base;  // once it is live a wrong free may take it away
  b.alloc_trace.store(trace, std::memory_order_relaxed);
  b.alloc_thread.store(thread, std::memory_order_relaxed);
  tools_open(base, b.bytes);
  write_redzone(base, bytes, b.bytes);
  tools_close(base, b.bytes);  // core opens what is the user's
  const mutex_guard guard(lock_);  // a wrong free by whoever has an old pointer finds it live and in the list, or neither
  b.word.store(encode_large(slot_state::live, bytes, alignment), std::memory_order_release);
  live_.add(b);
  return base;
}

// A record goes after it left the page map under the lock; what it is used for then begins with other words.
GPA_NO_SANITIZE bool large_blocks::is_block_at(const void* p, const large_block& b) const noexcept
{
  const region_head head = head_of(b);
  return head.holder == &owner_ && head.kind == region_kind::checked_large && head.base == p && b.entered;
}

bool large_blocks::free(large_block& b, const void* p, std::uint64_t word, std::uint32_t trace, std::uint16_t thread,
                        tally& counts) noexcept
{
  {
    const mutex_guard guard(lock_);  // verify() reads live blocks under it
    std::uint64_t expected = word;
    if (!is_block_at(p, b) || !b.word.compare_exchange_strong(expected, large_with_state(word, slot_state::freed),
                                                              std::memory_order_acq_rel))
      return false;
    live_.remove(b);
  }
  b.free_trace.store(trace, std::memory_order_relaxed);
  b.free_thread.store(thread, std::memory_order_relaxed);
  const std::size_t bytes = large_bytes(word);
  const bool damaged = !is_told(word) && !redzone_intact(b.base, bytes, b.bytes);
  gpa::report r;
  if (damaged) r = overflow_report(b, word, gpa::stack_trace(trace, thread), "found when the block was freed");
  b.filled = !protects(b, bytes);
  bool stays = true;
  if (b.filled) {
    fill(b, bytes);
    if (supply_.from_system()) fills_.store(true, std::memory_order_relaxed);
  } else {
    stays = close(b, !fills_.load(std::memory_order_relaxed));
  }
  b.word.store(large_with_state(word, slot_state::poisoned), std::memory_order_release);
  keep_or_forget(b, stays);
  counts.count_free(bytes);  // a handler and an upstream may look
  counts.settle();
  if (damaged) owner_.tell(r);
  limit_quarantine();
  return true;
}

large_blocks::resized large_blocks::resize(large_block& b, const void* p, std::uint64_t word,
                                           std::size_t new_bytes) noexcept
{
  const mutex_guard guard(lock_);  // against verify(), which would see the new size before its redzone
  if (!is_block_at(p, b) || b.word.load(std::memory_order_acquire) != word) return resized::judge_again;
  if (new_bytes >= b.bytes || !redzone_intact(b.base, large_bytes(word), b.bytes)) return resized::no;
  std::uint64_t expected = word;
  const std::uint64_t smaller = encode_large(large_state(word), new_bytes, large_alignment(word));
  if (!b.word.compare_exchange_strong(expected, smaller, std::memory_order_acq_rel)) return resized::judge_again;
  tools_open(b.base, std::min(new_bytes + redzone_bytes, b.bytes));
  for (std::size_t i = new_bytes; i != std::min(new_bytes + redzone_bytes, b.bytes); ++i)
    b.base[i] = std::byte{redzone_byte};
  tools_close(b.base + new_bytes, b.bytes - new_bytes);
  return resized::yes;
}

}  // namespace gpa::detail
