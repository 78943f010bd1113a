#include "checked/leak_scan.hpp"

#include "blocks/owner.hpp"
#include "checked/large_blocks.hpp"
#include "checked/large_record.hpp"
#include "checked/peek.hpp"
#include "os/metadata.hpp"
#include "os/pages.hpp"
#include "os/static_storage.hpp"
#include "os/threads.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <span>

namespace gpa::detail {

namespace {

constexpr std::size_t word_bytes = sizeof(std::uintptr_t);

// Of the slots of each class: in less room than each slab's own.
constexpr auto reciprocals = [] {
  std::array<std::uint64_t, class_count> all{};
  for (unsigned c = 1; c != class_count; ++c) all[c] = reciprocal(slot_size(c));
  return all;
}();

}  // namespace

leak_scan::leak_scan(large_blocks& large, leak_groups& groups) noexcept
    : large_(large), groups_(groups), first_thread_(first_number_of_this_process())
{}

void leak_scan::add_area(const area& a, std::size_t bytes)
{
  const auto begin = reinterpret_cast<std::uintptr_t>(a.base);
  lowest_ = areas_.empty() ? begin : std::min(lowest_, begin);
  areas_.push_back(a);
  slots_ += (a.slots + std::size_t{63}) / 64 * 64;
  highest_ = std::max(highest_, begin + bytes);
}

void leak_scan::add(const slab& s)
{
  add_area({.base = s.base,
            .records = s.records,
            .first_word = static_cast<std::uint32_t>(slots_ / 64),
            .slot_bytes = s.slot_bytes,
            .slots = static_cast<std::uint16_t>(s.slot_count),
            .used = static_cast<std::uint16_t>(s.carved.load(std::memory_order_acquire)),
            .size_class = s.size_class},
           s.bytes);
}

void leak_scan::add(const large_block& b)
{
  add_area({.base = b.base,
            .records = nullptr,
            .first_word = static_cast<std::uint32_t>(slots_ / 64),
            .slot_bytes = 0,
            .slots = 1,
            .used = 1,
            .size_class = 0},
           b.bytes);
  const auto begin = reinterpret_cast<std::uintptr_t>(b.base);
  large_areas_.push_back({begin, begin + b.bytes, areas_.size() - 1});
}

inline bool leak_scan::has(std::size_t mark, mark_kind kind) const noexcept
{
  return (marks_[mark / 64].*kind >> (mark % 64) & 1) != 0;
}

inline void leak_scan::set(std::size_t mark, mark_kind kind) noexcept
{
  marks_[mark / 64].*kind |= std::uint64_t{1} << (mark % 64);
}

bool read_live(const record& r, const std::byte* slot, live_block& b) noexcept
{
  const std::uint64_t word = r.word.load(std::memory_order_acquire);
  const slot_state state = state_of(tag_of(word));
  if (!is_live(state)) return false;
  b = {.address = slot,
       .bytes = bytes_of(tag_of(word)),
       .alignment = alignment_of(tag_of(word)),
       .trace = r.alloc_trace.load(std::memory_order_relaxed),
       .thread = r.alloc_thread.load(std::memory_order_relaxed),
       .ignored = is_ignored(state)};
  return r.word.load(std::memory_order_acquire) == word;  // its stack is this block's only if it is still the same
}

inline bool leak_scan::read(const area& a, std::size_t index, live_block& b) const noexcept
{
  if (a.records == nullptr) return large_.read_live(a.base, b) && b.thread >= first_thread_;
  if (!read_live(a.records[index], a.base + index * a.slot_bytes, b)) return false;
  b.bytes = std::min<std::size_t>(b.bytes, a.slot_bytes);  // its record may be damaged
  return b.thread >= first_thread_;                        // others were made before a fork
}

inline leak_scan::range leak_scan::range_of(const area& a, const live_block& b) noexcept
{
  return {b.address, b.bytes, a.records != nullptr ? memory::slot : memory::large_block};
}

inline const leak_scan::area* leak_scan::area_at(std::uintptr_t word) const noexcept
{
  if (!is_near(word)) return nullptr;
  const auto& numbers = numbers_[(word >> 32) - (lowest_ >> 32)];
  if (!numbers.empty())
    if (const std::uint32_t number = numbers[(word >> 16) & 0xFFFF]; number != 0) return &areas_[number - 1];
  return large_area_at(word);  // without the page map: there another resource's region may stand before it
}

const leak_scan::area* leak_scan::large_area_at(std::uintptr_t word) const noexcept
{
  const auto behind = std::upper_bound(large_areas_.begin(), large_areas_.end(), word,
                                       [](std::uintptr_t at, const large_area& a) { return at < a.begin; });
  if (behind == large_areas_.begin()) return nullptr;
  const large_area& a = *std::prev(behind);
  return word < a.end ? &areas_[a.number] : nullptr;
}

// The slot that a word points into.
inline bool leak_scan::locate(std::uintptr_t word, place& p) const noexcept
{
  const area* const a = area_at(word);
  if (a == nullptr) return false;
  const std::size_t offset = word - reinterpret_cast<std::uintptr_t>(a->base);
  quotient slot{0, offset == 0};
  if (a->records != nullptr) {
    slot = divide(offset, reciprocals[a->size_class]);
    if (slot.index >= a->slots) return false;
  }
  p = {.in = a, .index = slot.index, .mark = a->first() + slot.index, .word = word, .at_start = slot.exact};
  return true;
}

// Whether a block that counts is there. Its record is asked only where the word points behind the slot's start, as one
// past the end of a block is not in it.
inline bool leak_scan::counts(const place& p) const noexcept
{
  if (!has(p.mark, &scan_marks::counted)) return false;
  if (p.at_start) return true;
  live_block b;
  return read(*p.in, p.index, b) && p.word - reinterpret_cast<std::uintptr_t>(b.address) < b.bytes;
}

template <class Visit>
GPA_NO_SANITIZE void leak_scan::scan(const range& r, Visit visit) noexcept
{
  if (r.kind == memory::large_block) {
    // Its pages go when it is freed: copied under the lock that holds this up, a piece at a time.
    for (std::size_t offset = 0; offset < r.bytes; offset += chunk_bytes) {
      const std::size_t copied = large_.copy_live(r.begin, offset, std::as_writable_bytes(std::span(chunk_)));
      for (std::size_t i = 0; i != copied / word_bytes; ++i) visit(chunk_[i]);
    }
    return;
  }
  if (r.kind == memory::static_storage) return scan_static_range(r, visit);
  if (r.kind == memory::slot && may_be_closed(r.begin, r.bytes) && !is_readable(r.begin, r.bytes)) return;
  for (std::size_t i = 0; i + word_bytes <= r.bytes; i += word_bytes) visit(word_at(r.begin + i));
}

// What the loader lists as writable the program may have closed in part; and a library may be unloaded by now.
template <class Visit>
void leak_scan::scan_static_range(const range& r, Visit visit) noexcept
{
  const auto scan_piece = [&](std::size_t offset, std::size_t bytes) {
    if (!copy_if_readable(chunk_.data(), r.begin + offset, bytes)) return false;
    for (std::size_t i = 0; i != bytes / word_bytes; ++i)
      if (!is_static_metadata(r.begin + offset + i * word_bytes)) visit(chunk_[i]);  // our records name every block
    return true;
  };
  for (std::size_t offset = 0; offset != r.bytes;) {
    const std::size_t to_page_end = page_size - reinterpret_cast<std::uintptr_t>(r.begin + offset) % page_size;
    const std::size_t piece = std::min(r.bytes - offset, to_page_end + chunk_bytes - page_size);
    if (scan_piece(offset, piece)) {
      offset += piece;
      continue;
    }
    const std::size_t page = std::min(r.bytes - offset, to_page_end);
    static_cast<void>(scan_piece(offset, page));
    offset += page;
  }
}

void leak_scan::reach(std::uintptr_t word, mark_kind kind, reason why) noexcept
{
  // What is wanted soon is asked for as soon as its address is known: all that lies far away comes at once.
  if (!is_near(word)) return;
  __builtin_prefetch(reinterpret_cast<const void*>(word));
  place p;
  if (!locate(word, p)) return;
  if (p.in->records != nullptr) __builtin_prefetch(&p.in->records[p.index]);
  if (!counts(p) || has(p.mark, &scan_marks::done) || has(p.mark, kind)) return;
  set(p.mark, kind);
  live_block b;
  if (!read(*p.in, p.index, b)) return;
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
    waiting_.push_back(range_of(*p.in, b));
  } else if (!has(p.mark, &scan_marks::pending)) {
    set(p.mark, &scan_marks::pending);
    ++pending_count_;
  }
}

// Marks what can be reached from a range, and from what is pending.
void leak_scan::flood(const range& from, mark_kind kind, reason why) noexcept
{
  const auto visit = [&](std::uintptr_t word) { reach(word, kind, why); };
  scan(from, visit);
  for (;;) {
    while (!waiting_.empty()) {
      const range next = waiting_.back();
      waiting_.pop_back();
      scan(next, visit);
    }
    if (pending_count_ == 0) return;
    pending_count_ = 0;  // all are come to now; what is added meanwhile is counted anew
    for_each_mark([](const scan_marks& m) { return m.pending; },
                  [&](const area& a, std::size_t mark) {
                    marks_[mark / 64].pending &= ~(std::uint64_t{1} << (mark % 64));
                    if (live_block b; read(a, mark - a.first(), b)) scan(range_of(a, b), visit);
                  });
  }
}

// Calls `visit` for each of the marks that `want` gives of 64 slots, as they are when it comes to those.
template <class Want, class Visit>
void leak_scan::for_each_mark(Want want, Visit visit)
{
  for (const area& a : areas_) {
    for (std::size_t w = a.first_word; w * 64 < a.first() + a.slots; ++w)
      for (std::uint64_t bits = want(marks_[w]); bits != 0; bits &= bits - 1)
        visit(a, w * 64 + static_cast<std::size_t>(std::countr_zero(bits)));
  }
}

template <class Want, class Visit>
void leak_scan::for_each_mark_backwards(Want want, Visit visit)
{
  for (auto a = areas_.rbegin(); a != areas_.rend(); ++a) {
    for (std::size_t w = (a->first() + a->slots + 63) / 64; w-- > a->first_word;)
      for (std::uint64_t bits = want(marks_[w]); bits != 0; bits &= ~(std::uint64_t{1} << (std::bit_width(bits) - 1)))
        visit(*a, w * 64 + static_cast<std::size_t>(std::bit_width(bits)) - 1);
  }
}

void leak_scan::prepare()
{
  std::sort(large_areas_.begin(), large_areas_.end(),
            [](const large_area& a, const large_area& b) { return a.begin < b.begin; });
  if (!areas_.empty()) numbers_.resize((highest_ >> 32) - (lowest_ >> 32) + 1);
  for (std::size_t i = 0; i != areas_.size(); ++i) {
    if (areas_[i].records == nullptr) continue;
    const auto begin = reinterpret_cast<std::uintptr_t>(areas_[i].base);
    for (std::uintptr_t at = begin; at < begin + std::size_t{areas_[i].slots} * areas_[i].slot_bytes;
         at += granule_size) {
      auto& numbers = numbers_[(at >> 32) - (lowest_ >> 32)];
      if (numbers.empty()) numbers.resize(std::size_t{1} << 16);
      numbers[(at >> 16) & 0xFFFF] = static_cast<std::uint32_t>(i) + 1;
    }
  }
  marks_.resize(slots_ / 64);
  waiting_.reserve(most_waiting);
  chunk_.resize(chunk_bytes / word_bytes);
  for (const area& a : areas_) {
    for (std::size_t i = 0; i != a.used; ++i) {
      live_block b;
      if (!read(a, i, b)) continue;
      set(a.first() + i, b.ignored ? &scan_marks::pending : &scan_marks::counted);
      if (b.ignored) ++pending_count_;
    }
  }
}

void leak_scan::scan_static()
{
  list_of<range> ranges;
  for_each_static_range([&](const std::byte* begin, std::size_t bytes) {
    ranges.push_back({begin, bytes, memory::static_storage});
  });
  for (const range& r : ranges) flood(r, &scan_marks::done, reason::reachable);
}

// The marks of what is pointed at lie anywhere: they are asked for when a pointer is found, and touched some pointers later.
void leak_scan::note_pointers()
{
  constexpr std::size_t later = 16;
  std::array<place, later> found;
  std::size_t count = 0;
  const auto note = [&](const place& p) {
    if (!counts(p)) return;
    set(p.mark, &scan_marks::pointed);
    if (p.at_start) set(p.mark, &scan_marks::started);
  };
  for_each_mark([](const scan_marks& m) { return m.counted & ~m.done; },
                [&](const area& a, std::size_t mark) {
                  live_block b;
                  if (!read(a, mark - a.first(), b)) return;
                  scan(range_of(a, b), [&](std::uintptr_t word) {
                    place p;
                    if (!locate(word, p) || p.mark == mark) return;
                    __builtin_prefetch(&marks_[p.mark / 64], 1);
                    place& oldest = found[count % later];
                    if (count++ >= later) note(oldest);
                    oldest = p;
                  });
                });
  for (std::size_t i = 0; i != std::min(count, later); ++i) note(found[i]);
}

void leak_scan::own_from(const area& a, std::size_t mark) noexcept
{
  if (has(mark, &scan_marks::done)) return;
  set(mark, &scan_marks::done);
  live_block b;
  if (!read(a, mark - a.first(), b)) return;
  groups_.add_owner(b);
  owned_ = {};
  flood(range_of(a, b), &scan_marks::done, reason::owned);
  if (owned_.blocks != 0) groups_.add_to_owner(b, owned_);
}

void leak_scan::find_owners()
{
  for_each_mark([](const scan_marks& m) { return m.counted & ~m.done & ~m.pointed; },
                [&](const area& a, std::size_t mark) { own_from(a, mark); });
}

// What is left can be reached from the one root there is: no need to go the same ways again, in an order that the CPU
// cannot foresee.
void leak_scan::own_the_rest() noexcept
{
  live_block owner;
  for_each_mark([](const scan_marks& m) { return m.root; },
                [&](const area& a, std::size_t mark) {
                  set(mark, &scan_marks::done);
                  if (read(a, mark - a.first(), owner)) groups_.add_owner(owner);
                });
  owned_ = {};
  for_each_mark([](const scan_marks& m) { return m.counted & ~m.done; },
                [&](const area& a, std::size_t mark) {
                  live_block b;
                  if (!read(a, mark - a.first(), b)) return;
                  groups_.add_owned(b);
                  owned_.add(b.bytes);
                });
  groups_.add_to_owner(owner, owned_);
}

void leak_scan::find_cycles()
{
  std::size_t roots = 0;
  const auto seek_root = [&](const area& a, std::size_t mark) {
    if (has(mark, &scan_marks::seen)) return;
    ++roots;
    set(mark, &scan_marks::seen);
    set(mark, &scan_marks::root);
    if (live_block b; read(a, mark - a.first(), b)) flood(range_of(a, b), &scan_marks::seen, reason::only_marked);
  };
  for_each_mark([](const scan_marks& m) { return m.counted & ~m.done & ~m.started; }, seek_root);
  for_each_mark([](const scan_marks& m) { return m.counted & ~m.done & m.started; }, seek_root);

  if (roots == 1) {
    own_the_rest();
    return;
  }
  const auto own = [&](const area& a, std::size_t mark) { own_from(a, mark); };
  for_each_mark_backwards([](const scan_marks& m) { return m.root & m.started; }, own);
  for_each_mark_backwards([](const scan_marks& m) { return m.root & ~m.started; }, own);
  // None, unless other threads changed pointers between the floods.
  for_each_mark([](const scan_marks& m) { return m.counted & ~m.done; }, own);
}

void leak_scan::run(bool static_too)
{
  prepare();
  flood({}, &scan_marks::done, reason::ignored);
  if (static_too && !areas_.empty()) scan_static();
  note_pointers();
  find_owners();
  find_cycles();
}

}  // namespace gpa::detail
