#include "fast/span_cache.hpp"

#include "base/bits.hpp"
#include "os/metadata.hpp"

#include <algorithm>
#include <bit>
#include <new>

namespace gpa::detail {

namespace {

constexpr std::size_t exact_lists = 64;
constexpr unsigned most_looked_at = 8;  // entries of the list in which some are too small
constexpr std::size_t least_for_huge_pages = std::size_t{256} << 10;  // a block of that is used as a whole, mostly
constexpr std::size_t most_at_once = std::size_t{4} << 20;  // given back beyond what must be, to come back later

// The list of spans of `granules` (1 to 1 024) granules.
constexpr std::size_t list_of(std::size_t granules) noexcept
{
  if (granules <= exact_lists) return granules - 1;
  const unsigned power = log2_down(granules);
  return exact_lists + (power - 6) * 8 + ((granules - (std::size_t{1} << power)) >> (power - 3));
}
// The first list in which every span has that many granules.
constexpr std::size_t list_of_all(std::size_t granules) noexcept
{
  if (granules <= exact_lists) return granules - 1;
  return list_of(granules + (std::size_t{1} << (log2_down(granules) - 3)) - 1);
}
static_assert(list_of(64) == 63 && list_of(65) == 64 && list_of(1024) == 96 && list_of_all(1024) == 96);

// Of one word of a bitmap, the bits of [first, last).
constexpr std::uint64_t word_mask(std::size_t word, std::size_t first, std::size_t last) noexcept
{
  const std::size_t from = std::max(first, word * 64) - word * 64;
  const std::size_t to = std::min(last, word * 64 + 64) - word * 64;
  return (to == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << to) - 1) & (~std::uint64_t{0} << from);
}

struct granule_range {
  std::size_t first;
  std::size_t last;  // one past it
};
granule_range range_of(const span& s) noexcept
{
  const std::size_t first = static_cast<std::size_t>(s.base - s.home->base) / granule_size;
  return {first, first + s.bytes / granule_size};
}

}  // namespace

void set_dirty(const span& s, bool dirty) noexcept
{
  const granule_range r = range_of(s);
  for (std::size_t w = r.first / 64; w * 64 < r.last; ++w) {
    const std::uint64_t mask = word_mask(w, r.first, r.last);
    s.home->dirty[w] = dirty ? s.home->dirty[w] | mask : s.home->dirty[w] & ~mask;
  }
}
std::uint32_t count_dirty(const span& s) noexcept
{
  const granule_range r = range_of(s);
  int count = 0;
  for (std::size_t w = r.first / 64; w * 64 < r.last; ++w)
    count += std::popcount(s.home->dirty[w] & word_mask(w, r.first, r.last));
  return static_cast<std::uint32_t>(count);
}

// ---- spans of one segment ----

span* span_cache::new_span(segment& g, std::byte* base, std::size_t bytes) noexcept
{
  void* place = spare_headers_;
  if (place != nullptr) {
    spare_headers_ = spare_headers_->next;
  } else {
    place = metadata_allocate(sizeof(span));
    if (place == nullptr) return nullptr;
  }
  auto& s = *new (place) span;
  s.owner = &owner_;
  s.base = base;
  s.bytes = bytes;
  s.home = &g;
  return &s;
}

void span_cache::delete_span(span& s) noexcept
{
  s.next = spare_headers_;
  spare_headers_ = &s;
}

void span_cache::set_edges(span& s) noexcept
{
  const granule_range r = range_of(s);
  s.home->edges[r.first] = s.home->edges[r.last - 1] = &s;
}

span* span_cache::find(std::size_t granules) noexcept
{
  unsigned looked_at = 0;
  for (span* s = lists_[list_of(granules)]; s != nullptr && looked_at != most_looked_at; s = s->next, ++looked_at)
    if (s->bytes >= granules * granule_size) return s;
  std::size_t list = list_of_all(granules);
  for (std::size_t w = list / 64; w != lists_with_any_.size(); ++w, list = w * 64) {
    const std::uint64_t any = lists_with_any_[w] >> list % 64 << list % 64;
    if (any != 0) return lists_[w * 64 + static_cast<std::size_t>(std::countr_zero(any))];
  }
  return nullptr;
}

void span_cache::insert(span& s) noexcept
{
  s.free = true;
  set_edges(s);
  const std::size_t list = list_of(s.bytes / granule_size);
  s.previous = nullptr;
  s.next = lists_[list];
  if (s.next != nullptr) s.next->previous = &s;
  lists_[list] = &s;
  lists_with_any_[list / 64] |= std::uint64_t{1} << list % 64;
  if (s.dirty == 0) return;
  free_dirty_ += s.dirty * granule_size;
  s.newer = nullptr;
  s.older = newest_;
  (newest_ != nullptr ? newest_->newer : oldest_) = &s;
  newest_ = &s;
}

void span_cache::remove(span& s) noexcept
{
  s.free = false;
  const std::size_t list = list_of(s.bytes / granule_size);
  (s.previous != nullptr ? s.previous->next : lists_[list]) = s.next;
  if (s.next != nullptr) s.next->previous = s.previous;
  if (lists_[list] == nullptr) lists_with_any_[list / 64] &= ~(std::uint64_t{1} << list % 64);
  s.next = s.previous = nullptr;
  if (s.dirty == 0) return;
  free_dirty_ -= s.dirty * granule_size;
  (s.older != nullptr ? s.older->newer : oldest_) = s.newer;
  (s.newer != nullptr ? s.newer->older : newest_) = s.older;
  s.older = s.newer = nullptr;
}

span* span_cache::split(span& s, std::size_t bytes) noexcept
{
  span* const rest = new_span(*s.home, s.base + bytes, s.bytes - bytes);
  if (rest == nullptr) return nullptr;
  s.bytes = bytes;
  set_edges(s);
  set_edges(*rest);
  rest->dirty = count_dirty(*rest);
  s.dirty -= rest->dirty;
  return rest;
}

void span_cache::cut(span& s, std::size_t bytes) noexcept
{
  if (s.bytes == bytes) return;
  if (span* const rest = split(s, bytes); rest != nullptr) insert(*rest);
}

void span_cache::make_used(span& s) noexcept
{
  set_edges(s);
  if (s.dirty * granule_size != s.bytes) tolerance_.note_need(s.bytes - s.dirty * granule_size, free_dirty_);
  tolerance_.note_less(free_dirty_);
  s.dirty = 0;
  add_used(s.bytes);
}

void span_cache::add_used(std::size_t bytes) noexcept
{
  used_ += bytes;
  if (used_ <= most_used_) return;
  most_used_ = used_;
  news_.store(true, std::memory_order_relaxed);
}

// Melts a span that stands in no list with its free neighbours; `dirty` is known.
void span_cache::make_free(span& s) noexcept
{
  const granule_range r = range_of(s);
  segment& g = *s.home;
  if (span* const before = r.first != 0 ? g.edges[r.first - 1] : nullptr; before != nullptr && before->free) {
    remove(*before);
    s.base = before->base;
    s.bytes += before->bytes;
    s.dirty += before->dirty;
    delete_span(*before);
  }
  if (span* const behind = r.last != g.granules ? g.edges[r.last] : nullptr; behind != nullptr && behind->free) {
    remove(*behind);
    s.bytes += behind->bytes;
    s.dirty += behind->dirty;
    delete_span(*behind);
  }
  insert(s);
}

// ---- taking and putting ----

span* span_cache::take(std::size_t bytes, std::size_t alignment, region_kind kind) noexcept
{
  const bool single = bytes > largest_kept || alignment > granule_size;
  span* const s = single ? take_single(bytes, alignment) : take_part(bytes);
  if (s == nullptr) return nullptr;
  s->kind = kind;
  static_cast<void>(enter_region(*s));  // cannot fail: new_segment() saw to it
  if (news_.load(std::memory_order_relaxed) && news_.exchange(false, std::memory_order_relaxed)) owner_.heartbeat();
  return s;
}

span* span_cache::take_kept(std::size_t bytes) noexcept
{
  span* const s = find(bytes / granule_size);
  if (s == nullptr) return nullptr;
  remove(*s);
  cut(*s, bytes);
  make_used(*s);
  publish_held();
  return s;
}

span* span_cache::take_part(std::size_t bytes) noexcept
{
  std::size_t wanted = bytes;
  {
    const mutex_guard guard(lock_);
    if (span* const kept = take_kept(bytes); kept != nullptr) return kept;
    if (supply_.from_system()) wanted = std::max(next_segment_, bytes);
  }
  segment* g = new_segment(wanted, granule_size, false);
  if (g == nullptr && wanted != bytes) g = new_segment(bytes, granule_size, false);
  if (g == nullptr && shed(0)) g = new_segment(bytes, granule_size, false);  // what we kept may be what was missing
  if (g == nullptr) {  // another thread's may have come
    const mutex_guard guard(lock_);
    return take_kept(bytes);
  }
  if (bytes >= least_for_huge_pages && g->granules * granule_size >= huge_page_size && supply_.from_system()) {
    prefer_huge_pages(g->base, g->granules * granule_size);
    g->from.huge = true;
  }
  span* s = nullptr;
  {
    const mutex_guard guard(lock_);
    // Threads that found nothing at the same moment come with a segment each: the first one's is for all.
    if (supply_.from_system()) {
      next_segment_ = std::min(next_segment_ * 2, largest_segment);  // of each that came, as the supply counts them
      s = take_kept(bytes);
    }
    if (s == nullptr && (s = new_span(*g, g->base, g->granules * granule_size)) != nullptr) {
      link(*g);
      if (g->from.may_be_resident) {
        set_dirty(*s, true);
        s->dirty = static_cast<std::uint32_t>(g->granules);
      }
      cut(*s, bytes);
      make_used(*s);
      publish_held();
    }
  }
  if (s == nullptr || s->home != g) delete_segment(*g);
  return s;
}

span* span_cache::take_single(std::size_t bytes, std::size_t alignment) noexcept
{
  segment* g = new_segment(bytes, alignment, true);
  // As in take_part(), unless what is kept is next to nothing beside it.
  if (g == nullptr && bytes / 1024 < held_bytes() && shed(0)) g = new_segment(bytes, alignment, true);
  if (g == nullptr) return nullptr;
  span* s = nullptr;
  {
    const mutex_guard guard(lock_);
    s = new_span(*g, g->base, bytes);
    if (s != nullptr) {
      g->edges[0] = s;
      link(*g);
      add_used(bytes);
      publish_held();
    }
  }
  if (s == nullptr) delete_segment(*g);
  return s;
}

void span_cache::put(span& s) noexcept
{
  clear_region(s);
  segment* gone = nullptr;
  std::size_t keep = 0;
  bool much = false;
  {
    const mutex_guard guard(lock_);
    used_ -= s.bytes;
    if (s.home->single) {
      gone = s.home;
      unlink(*gone);
      delete_span(s);
    } else {
      set_dirty(s, true);
      s.dirty = static_cast<std::uint32_t>(s.bytes / granule_size);
      s.size_class = 0;
      make_free(s);
      keep = allowed();
      much = free_dirty_ > keep;
    }
    publish_held();
  }
  if (gone != nullptr) delete_segment(*gone);
  if (much) shed(keep - std::min(keep / 8, most_at_once));
}

bool span_cache::resize(span& s, std::size_t bytes) noexcept
{
  if (bytes == s.bytes) return true;
  const mutex_guard guard(lock_);
  if (s.home->single) return false;
  if (bytes < s.bytes) {
    span* const rest = new_span(*s.home, s.base + bytes, s.bytes - bytes);
    if (rest == nullptr) return false;
    shrink_region(s, bytes);
    set_edges(s);
    set_dirty(*rest, true);
    rest->dirty = static_cast<std::uint32_t>(rest->bytes / granule_size);
    used_ -= rest->bytes;
    make_free(*rest);
  } else {
    const granule_range r = range_of(s);
    span* const behind = r.last != s.home->granules ? s.home->edges[r.last] : nullptr;
    const std::size_t more = bytes - s.bytes;
    if (behind == nullptr || !behind->free || behind->bytes < more) return false;
    remove(*behind);
    cut(*behind, more);
    const std::size_t got = behind->bytes;
    delete_span(*behind);
    grow_region(s, s.bytes + got);
    set_edges(s);
    add_used(got);
  }
  publish_held();
  return true;
}

void span_cache::publish_held() noexcept
{
  held_.store(used_ + free_dirty_, std::memory_order_relaxed);
}

}  // namespace gpa::detail
