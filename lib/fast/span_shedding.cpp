// How much free memory the span cache keeps, and how the rest goes back. See span_cache.hpp, "How much stays".
#include "base/assert.hpp"
#include "base/bits.hpp"
#include "fast/span_cache.hpp"
#include "os/metadata.hpp"

#include <algorithm>
#include <utility>

namespace gpa::detail {

namespace {

constexpr std::size_t least_allowance = std::size_t{14} << 20;
constexpr std::size_t least_allowance_of_upstream = std::size_t{1} << 20;  // others may want it
constexpr unsigned most_passed_over = 8;

bool is_whole(const span& s) noexcept
{
  return s.bytes == s.home->granules * granule_size;
}

}  // namespace

std::size_t span_cache::allowed() noexcept
{
  if (!keeps_) return 0;
  const std::size_t least = supply_.from_system() ? least_allowance : least_allowance_of_upstream;
  return tolerance_.allowed(std::max(used_ / 8, least), free_dirty_);
}

void span_cache::shed_idle() noexcept
{
  if (!tolerance_.tolerates()) return;
  std::size_t keep = 0;
  {
    const mutex_guard guard(lock_);
    keep = allowed();
    if (free_dirty_ <= keep) return;
  }
  shed(keep);
}

// Takes a span, or a part of one, out of its list: free to us alone, counted as used. `whole`: its segment was unlinked
// and goes with it.
span* span_cache::take_to_shed(std::size_t keep, bool& whole) noexcept
{
  if (free_dirty_ <= keep) return nullptr;
  const std::size_t excess = round_up(free_dirty_ - keep, granule_size);
  const std::size_t most = keep == 0 ? ~std::size_t{0} : excess;  // of a segment
  span* s = supply_.from_system() ? oldest_ : oldest_segment(most);
  if (s == nullptr) return nullptr;
  remove(*s);
  whole = is_whole(*s) && s->bytes <= most;
  // Segments are used from the front: that is what to keep, unless the rest has nothing to give.
  if (!whole && excess < s->bytes) {
    if (span* rest = split(*s, s->bytes - excess); rest != nullptr) {
      if (rest->dirty != 0) std::swap(s, rest);
      insert(*rest);
    }
  }
  used_ += s->bytes;
  if (whole) unlink(*s->home);
  return s;
}

// An upstream takes back whole segments alone. A few that are parts of some are passed over, and become the newest, so
// that others are looked at next time; where all is to go, none is left out.
span* span_cache::oldest_segment(std::size_t most) noexcept
{
  const auto may_go = [most](const span& s) { return is_whole(s) && s.bytes <= most; };
  if (most == ~std::size_t{0}) {
    span* s = oldest_;
    while (s != nullptr && !may_go(*s)) s = s->newer;
    return s;
  }
  for (unsigned i = 0; i != most_passed_over && oldest_ != nullptr; ++i) {
    span& s = *oldest_;
    if (may_go(s)) return &s;
    remove(s);
    insert(s);
  }
  return nullptr;
}

bool span_cache::shed(std::size_t keep) noexcept
{
  for (bool any = false;; any = true) {
    bool whole = false;
    span* s = nullptr;
    segment* gone = nullptr;
    {
      const mutex_guard guard(lock_);
      s = take_to_shed(keep, whole);
      if (s == nullptr) return any;
      tolerance_.note_given_back(s->dirty * granule_size);
      if (whole) {
        gone = s->home;
        used_ -= s->bytes;
        delete_span(*s);
        publish_held();
      }
    }
    if (gone != nullptr) {
      delete_segment(*gone);
      continue;
    }
    discard_pages(s->base, s->bytes);
    const mutex_guard guard(lock_);
    used_ -= s->bytes;
    s->dirty = 0;
    set_dirty(*s, false);
    make_free(*s);
    publish_held();
  }
}

void span_cache::trim() noexcept
{
  shed(0);
  const mutex_guard guard(lock_);
  tolerance_.forget();  // asked for: nothing to learn from
}

void span_cache::keep_nothing() noexcept
{
  {
    const mutex_guard guard(lock_);
    keeps_ = false;
  }
  trim();
}

void span_cache::release() noexcept
{
  segment* all = nullptr;
  span* headers = nullptr;
  {
    const mutex_guard guard(lock_);
    for (segment* g = segments_; g != nullptr; g = g->next) {
      for (std::size_t at = 0; at < g->granules;) {
        span& s = *g->edges[g->single ? 0 : at];
        at += s.bytes / granule_size;
        if (!s.free) clear_region(s);
        delete_span(s);
      }
    }
    all = segments_;
    segments_ = nullptr;
    headers = spare_headers_;
    spare_headers_ = nullptr;
    lists_ = {};
    lists_with_any_ = {};
    newest_ = oldest_ = nullptr;
    used_ = free_dirty_ = 0;
    tolerance_.forget();
    next_segment_ = stock_segment;
    publish_held();
  }
  while (all != nullptr) {
    segment& g = *all;
    all = g.next;
    supply_.hand_on(g.base, g.granules * granule_size, g.alignment, g.from.huge);
    forget_segment(g);
  }
  while (headers != nullptr) {
    span& s = *headers;
    headers = s.next;
    metadata_free(&s, sizeof s);
  }
}

void span_cache::check() noexcept
{
  const mutex_guard guard(lock_);
  std::size_t used = 0;
  std::size_t dirty = 0;
  std::size_t free_spans = 0;
  std::size_t dirty_spans = 0;
  for (const segment* g = segments_; g != nullptr; g = g->next) {
    bool after_free = false;
    for (std::size_t at = 0; at < g->granules;) {
      const span& s = *g->edges[g->single ? 0 : at];
      const std::size_t granules = s.bytes / granule_size;
      GPA_ASSERT(s.base == g->base + at * granule_size && granules != 0 && at + granules <= g->granules);  // S1
      GPA_ASSERT(g->single || g->edges[at + granules - 1] == &s);                                          // S1
      GPA_ASSERT(!(s.free && after_free));                                                                 // S2
      GPA_ASSERT(s.free || region_of(s.base) == &s);
      after_free = s.free;
      at += granules;
      if (!s.free) {
        used += s.bytes;
        continue;
      }
      GPA_ASSERT(s.dirty == count_dirty(s));
      dirty += s.dirty * granule_size;
      ++free_spans;
      dirty_spans += s.dirty != 0 ? 1 : 0;
    }
  }
  for (std::size_t list = 0; list != list_count; ++list) {
    GPA_ASSERT((lists_[list] != nullptr) == ((lists_with_any_[list / 64] >> list % 64 & 1) != 0));
    for (const span* s = lists_[list]; s != nullptr; s = s->next) --free_spans;
  }
  for (const span* s = oldest_; s != nullptr; s = s->newer) --dirty_spans;
  GPA_ASSERT(free_spans == 0 && dirty_spans == 0);                                    // S3
  GPA_ASSERT(used == used_ && dirty == free_dirty_ && held_bytes() == used + dirty);  // S4
}

}  // namespace gpa::detail
