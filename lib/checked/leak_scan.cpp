#include "checked/leak_scan.hpp"

#include "blocks/owner.hpp"
#include "checked/large_blocks.hpp"
#include "checked/large_record.hpp"
#include "checked/peek.hpp"
#include "os/pages.hpp"
#include "os/static_storage.hpp"
#include "os/threads.hpp"

#include <algorithm>
#include <bit>
#include <span>

namespace gpa::detail {

namespace {

constexpr std::size_t word_bytes = sizeof(std::uintptr_t);

// Users may close whole pages of their own blocks.
bool has_a_page(const std::byte* begin, std::size_t bytes) noexcept
{
  const auto offset = reinterpret_cast<std::uintptr_t>(begin) % page_size;
  return bytes >= page_size + (offset == 0 ? 0 : page_size - offset);
}

}  // namespace

leak_scan::leak_scan(const owner& self, large_blocks& large, leak_groups& groups) noexcept
    : self_(self), large_(large), groups_(groups), first_thread_(first_number_of_this_process())
{
}

void leak_scan::add(slab& s)
{
  const std::size_t carved = s.carved.load(std::memory_order_acquire);
  areas_.push_back({.of = &s, .base = s.base, .small = true, .first = marks_, .slots = carved});
  s.scan_number = static_cast<std::uint32_t>(areas_.size());
  marks_ += (carved + 63) / 64 * 64;
  lowest_ = std::min(lowest_, reinterpret_cast<std::uintptr_t>(s.base));
  highest_ = std::max(highest_, reinterpret_cast<std::uintptr_t>(s.base) + s.bytes);
}

void leak_scan::add(large_block& b)
{
  areas_.push_back({.of = &b, .base = b.base, .small = false, .first = marks_, .slots = 1});
  b.scan_number.store(static_cast<std::uint32_t>(areas_.size()), std::memory_order_relaxed);
  marks_ += 64;
  lowest_ = std::min(lowest_, reinterpret_cast<std::uintptr_t>(b.base));
  highest_ = std::max(highest_, reinterpret_cast<std::uintptr_t>(b.base) + b.bytes);
}

bool read_live(const slab& s, std::size_t index, live_block& b) noexcept
{
  const record& r = s.records[index];
  const std::uint64_t word = r.word.load(std::memory_order_acquire);
  const slot_state state = state_of(tag_of(word));
  if (!is_live(state)) return false;
  b = {.address = s.slot(index),
       .bytes = bytes_of(tag_of(word)),
       .alignment = alignment_of(tag_of(word)),
       .trace = r.alloc_trace.load(std::memory_order_relaxed),
       .thread = r.alloc_thread.load(std::memory_order_relaxed),
       .ignored = is_ignored(state)};
  return r.word.load(std::memory_order_acquire) == word;  // its stack is this block's only if it is still the same
}

// False also for a block that was made before a fork.
bool leak_scan::read(const area& a, std::size_t mark, live_block& b) const noexcept
{
  const bool is_there = a.small ? read_live(static_cast<const slab&>(*a.of), mark - a.first, b)
                                : large_.read_live(a.base, b);
  return is_there && b.thread >= first_thread_;
}

// The slot that a word points into, whether it holds a block or not: its record is asked only where the word points
// behind the slot's start, as one past the end of a block is not in it.
bool leak_scan::find(std::uintptr_t word, place& p) const noexcept
{
  if (word - lowest_ >= highest_ - lowest_) return false;
  const region* const r = region_of(reinterpret_cast<const void*>(word));
  if (r == nullptr || r->owner != &self_) return false;
  const bool small = r->kind == region_kind::checked_slab;
  if (!small && r->kind != region_kind::checked_large) return false;
  const std::size_t number = small ? static_cast<const slab*>(r)->scan_number
                                   : static_cast<const large_block*>(r)->scan_number.load(std::memory_order_relaxed);
  if (number - 1 >= areas_.size() || areas_[number - 1].of != r) return false;  // younger than this scan
  const area& a = areas_[number - 1];
  const std::size_t offset = word - reinterpret_cast<std::uintptr_t>(a.base);
  const quotient slot = small ? static_cast<const slab*>(r)->slot_at(offset) : quotient{0, offset == 0};
  if (slot.index >= a.slots) return false;
  p = {.in = &a, .mark = a.first + slot.index, .at_start = slot.exact};
  if (!counted_.test(p.mark)) return false;
  if (slot.exact) return true;
  live_block b;
  return read(a, p.mark, b) && word - reinterpret_cast<std::uintptr_t>(b.address) < b.bytes;
}

template <class Visit>
GPA_NO_SANITIZE void leak_scan::scan(const range& r, Visit visit) noexcept
{
  const region* const in = region_of(r.begin);
  if (in != nullptr && in->kind == region_kind::checked_large) {
    // Its pages go when it is freed: copied under the lock that holds this up, a piece at a time.
    for (std::size_t offset = 0; offset < r.bytes; offset += chunk_bytes) {
      const std::size_t copied = large_.copy_live(r.begin, offset, std::as_writable_bytes(std::span(chunk_)));
      for (std::size_t i = 0; i != copied / word_bytes; ++i) visit(chunk_[i]);
    }
    return;
  }
  if (in != nullptr && has_a_page(r.begin, r.bytes) && !is_readable(r.begin, r.bytes)) return;
  for (std::size_t i = 0; i + word_bytes <= r.bytes; i += word_bytes) visit(word_at(r.begin + i));
}

void leak_scan::reach(std::uintptr_t word, slot_marks& marks, reason why) noexcept
{
  place p;
  if (!find(word, p) || done_.test(p.mark) || marks.test(p.mark)) return;
  marks.set(p.mark);
  live_block b;
  if (!read(*p.in, p.mark, b)) return;
  switch (why) {
    case reason::ignored:
    case reason::only_marked: break;
    case reason::reachable: groups_.add_reachable(b); break;
    case reason::owned:
      groups_.add_owned(b);
      owned_.add(b.bytes);
      break;
  }
  if (b.bytes < word_bytes) return;
  if (waiting_.size() != waiting_.capacity()) {
    waiting_.push_back({b.address, b.bytes});
  } else if (!pending_.test(p.mark)) {
    pending_.set(p.mark);
    ++pending_count_;
  }
}

// Marks what can be reached from a range, and from what is pending.
void leak_scan::flood(const range& from, slot_marks& marks, reason why) noexcept
{
  const auto visit = [&](std::uintptr_t word) { reach(word, marks, why); };
  scan(from, visit);
  for (;;) {
    while (!waiting_.empty()) {
      const range next = waiting_.back();
      waiting_.pop_back();
      scan(next, visit);
    }
    if (pending_count_ == 0) return;
    for_each_mark([&](std::size_t w) { return pending_.word(w); },
                  [&](const area& a, std::size_t mark) {
                    pending_.reset(mark);
                    --pending_count_;
                    if (live_block b; read(a, mark, b)) scan({b.address, b.bytes}, visit);
                  });
  }
}

// Calls `visit` for each mark of a word that `want` gives. Marks of later words may change meanwhile.
template <class Want, class Visit>
void leak_scan::for_each_mark(Want want, Visit visit)
{
  for (const area& a : areas_) {
    for (std::size_t w = a.first / 64; w * 64 < a.first + a.slots; ++w)
      for (std::uint64_t bits = want(w); bits != 0; bits &= bits - 1)
        visit(a, w * 64 + static_cast<std::size_t>(std::countr_zero(bits)));
  }
}

template <class Want, class Visit>
void leak_scan::for_each_mark_backwards(Want want, Visit visit)
{
  for (auto a = areas_.rbegin(); a != areas_.rend(); ++a) {
    for (std::size_t w = (a->first + a->slots + 63) / 64; w-- > a->first / 64;)
      for (std::uint64_t bits = want(w); bits != 0; bits &= ~(std::uint64_t{1} << (std::bit_width(bits) - 1)))
        visit(*a, w * 64 + static_cast<std::size_t>(std::bit_width(bits)) - 1);
  }
}

void leak_scan::prepare()
{
  for (slot_marks* const m : {&counted_, &pointed_, &started_, &done_, &seen_, &roots_, &pending_}) m->resize(marks_);
  waiting_.reserve(most_waiting);
  chunk_.resize(chunk_bytes / word_bytes);
  for (const area& a : areas_) {
    for (std::size_t i = 0; i != a.slots; ++i) {
      live_block b;
      if (!read(a, a.first + i, b)) continue;
      if (!b.ignored) {
        counted_.set(a.first + i);
      } else {
        pending_.set(a.first + i);
        ++pending_count_;
      }
    }
  }
}

void leak_scan::scan_static()
{
  list_of<range> ranges;
  for_each_static_range([&](const std::byte* begin, std::size_t bytes) { ranges.push_back({begin, bytes}); });
  for (const range& r : ranges) flood(r, done_, reason::reachable);
}

void leak_scan::note_pointers()
{
  for_each_mark([&](std::size_t w) { return counted_.word(w) & ~done_.word(w); },
                [&](const area& a, std::size_t mark) {
                  live_block b;
                  if (!read(a, mark, b)) return;
                  scan({b.address, b.bytes}, [&](std::uintptr_t word) {
                    place p;
                    if (!find(word, p) || p.mark == mark) return;
                    pointed_.set(p.mark);
                    if (p.at_start) started_.set(p.mark);
                  });
                });
}

void leak_scan::own_from(const area& a, std::size_t mark) noexcept
{
  if (done_.test(mark)) return;
  done_.set(mark);
  live_block b;
  if (!read(a, mark, b)) return;
  groups_.add_owner(b);
  owned_ = {};
  flood({b.address, b.bytes}, done_, reason::owned);
  if (owned_.blocks != 0) groups_.add_to_owner(b, owned_);
}

void leak_scan::find_owners()
{
  for_each_mark([&](std::size_t w) { return counted_.word(w) & ~done_.word(w) & ~pointed_.word(w); },
                [&](const area& a, std::size_t mark) { own_from(a, mark); });
}

void leak_scan::find_cycles()
{
  const auto left = [&](std::size_t w) { return counted_.word(w) & ~done_.word(w); };
  const auto seek_root = [&](const area& a, std::size_t mark) {
    if (seen_.test(mark)) return;
    seen_.set(mark);
    roots_.set(mark);
    if (live_block b; read(a, mark, b)) flood({b.address, b.bytes}, seen_, reason::only_marked);
  };
  for_each_mark([&](std::size_t w) { return left(w) & ~started_.word(w); }, seek_root);
  for_each_mark([&](std::size_t w) { return left(w) & started_.word(w); }, seek_root);

  const auto own = [&](const area& a, std::size_t mark) { own_from(a, mark); };
  for_each_mark_backwards([&](std::size_t w) { return roots_.word(w) & started_.word(w); }, own);
  for_each_mark_backwards([&](std::size_t w) { return roots_.word(w) & ~started_.word(w); }, own);
  for_each_mark(left, own);  // none, unless other threads changed pointers between the floods
}

void leak_scan::run(bool static_too)
{
  prepare();
  flood({}, done_, reason::ignored);
  if (static_too) scan_static();
  note_pointers();
  find_owners();
  find_cycles();
}

}  // namespace gpa::detail
