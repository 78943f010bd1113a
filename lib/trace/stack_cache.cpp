#include "trace/stack_cache.hpp"

#include "os/metadata.hpp"
#include "trace/depot.hpp"
#include "trace/rule_cache.hpp"

#include <emmintrin.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <utility>

namespace gpa::detail {

constinit __thread stack_cache* my_stacks __attribute__((tls_model("initial-exec"), visibility("hidden"))) = nullptr;

namespace {

constexpr std::size_t cache_bytes = std::size_t{256} << 10;
static_assert(sizeof(stack_cache) <= cache_bytes, "the price quoted in stack_cache.hpp");

constexpr std::uintptr_t word_size = sizeof(std::uintptr_t);

// Not an address: a cache may be made.
stack_cache* const promised = std::bit_cast<stack_cache*>(std::uintptr_t{1});

// Left by threads that ended, for those to come: what they hold is checked like everything found in a cache, so there
// is nothing to clear. The rest of them goes back to the metadata.
constinit std::array<std::atomic<stack_cache*>, 16> spare = {};

GPA_NO_SANITIZE inline std::uintptr_t word_at(std::uintptr_t address) noexcept
{
  return *reinterpret_cast<const std::uintptr_t*>(address);
}

std::uintptr_t moved(std::uintptr_t address, std::int32_t bytes) noexcept
{
  return address + static_cast<std::uintptr_t>(std::intptr_t{bytes});
}

// Goes outward from frame to frame while each return address, and each saved frame pointer, is the expected one. Each
// is read only after those inside it were.
class climb {
 public:
  climb(const stack_layout& l, const std::uintptr_t* frames, std::uintptr_t first) noexcept
      : layout_(l), frames_(frames), first_(first)
  {}

  /// Whether all return addresses up to that of `frame` are there. Those up to the last one asked for are known to be.
  [[nodiscard]] GPA_NO_SANITIZE bool reaches(std::size_t frame) noexcept
  {
    const std::uint64_t chained = layout_.chained >> at_;
    if (chained != 0) return follows_chain(frame);
    for (; at_ != frame; ++at_)
      if (word_at(slot_of(at_ + 1)) != frames_[at_ + 1]) return false;
    return true;
  }

 private:
  [[nodiscard]] GPA_NO_SANITIZE bool follows_chain(std::size_t frame) noexcept
  {
    std::uintptr_t slot = slot_of(at_);
    for (; at_ != frame; ++at_) {
      const std::uintptr_t next = slot_of(at_ + 1);
      if ((layout_.chained >> at_ & 1) != 0 && word_at(slot - word_size) != next - word_size) return false;
      if (word_at(next) != frames_[at_ + 1]) return false;
      slot = next;
    }
    return true;
  }

  [[nodiscard]] std::uintptr_t slot_of(std::size_t frame) const noexcept
  {
    return first_ + layout_.at[frame] * word_size;
  }

  const stack_layout& layout_;
  const std::uintptr_t* frames_;
  std::uintptr_t first_;
  std::size_t at_ = 0;
};

}  // namespace

GPA_NO_SANITIZE inline bool stack_cache::holds(const entry& e) noexcept
{
  const stack_layout& l = e.layout;
  for (std::size_t i = 0; i != l.own_count; ++i) {
    const own_word& w = l.own[i];
    const std::uintptr_t expected = moved((w.at & 1) != 0 ? e.of.pc : e.of.sp, w.value);
    if (word_at(moved(e.of.sp, w.at & ~1)) != expected) return false;
  }
  const std::uintptr_t first = moved(e.of.sp, l.first_at);
  if (word_at(first) != e.of.caller) return false;
  if (l.chained != 0 || l.stop_count != 0) return holds_further(e, first);
  const std::uintptr_t* const frames = e.frames;
  for (std::size_t i = 1; i != e.count; ++i)
    if (word_at(first + l.at[i] * word_size) != frames[i]) return false;
  return true;
}

// Out of line, so that the usual stack of optimised code needs few registers.
GPA_NOINLINE GPA_NO_SANITIZE bool stack_cache::holds_further(const entry& e, std::uintptr_t first) noexcept
{
  const stack_layout& l = e.layout;
  climb c(l, e.frames, first);
  const std::size_t last = e.count - std::size_t{1};
  for (std::size_t i = 0; i != l.stop_count && l.stops[i].frame <= last; ++i) {
    const stop& s = l.stops[i];
    if (!c.reaches(s.frame)) return false;
    const bool same = s.module != 0 ? module_is_there(s.module, e.frames[s.frame])
                                    : word_at(moved(e.of.sp, s.at)) == moved(e.of.sp, s.value);
    if (!same) return false;
  }
  return c.reaches(last);
}

// Bit w of the answer: way w of the set has this tag.
unsigned stack_cache::ways_of(const set& s, std::uint32_t tag) noexcept
{
  const __m128i wanted = _mm_set1_epi32(static_cast<int>(tag));
  const auto* const tags = reinterpret_cast<const __m128i*>(s.tags.data());
  const __m128i low = _mm_cmpeq_epi32(_mm_load_si128(tags), wanted);
  const __m128i high = _mm_cmpeq_epi32(_mm_load_si128(tags + 1), wanted);
  const __m128i both = _mm_packs_epi16(_mm_packs_epi32(low, high), _mm_setzero_si128());
  return static_cast<unsigned>(_mm_movemask_epi8(both));
}

GPA_NO_SANITIZE inline bool stack_cache::is(const entry& e, const key& k) noexcept
{
  return e.of.sp == k.sp && e.of.pc == k.pc && e.of.caller == k.caller && e.of.limit == k.limit && e.id != 0 &&
         holds(e);
}

GPA_NO_SANITIZE std::uint32_t stack_cache::find(const key& k) noexcept
{
  const std::uint64_t h = hash(k.sp, k.caller);
  const entry* const guess = guesses_[guess_of(h)];
  if (guess != nullptr && is(*guess, k)) [[likely]]
    return guess->id;
  return find_in_set(k, h);
}

GPA_NOINLINE GPA_NO_SANITIZE std::uint32_t stack_cache::find_in_set(const key& k, std::uint64_t h) noexcept
{
  set& s = sets_[set_of(h)];
  const unsigned same = ways_of(s, tag_of(h));
  for (unsigned left = same; left != 0; left &= left - 1) {
    const auto way = static_cast<std::size_t>(std::countr_zero(left));
    const entry& e = entries_[s.entries[way]];
    if (&e == guesses_[guess_of(h)] || !is(e, k)) continue;
    // The one found last is looked at first: programs go through their data in some order.
    if (left != same) std::swap(s.entries[way], s.entries[static_cast<std::size_t>(std::countr_zero(same))]);
    guesses_[guess_of(h)] = &e;
    return e.id;
  }
  return 0;
}

// Stacks that differ only further up share a tag. They get half of a set: recursion must not push everybody else out.
std::size_t stack_cache::way_for(set& s, std::uint32_t tag) noexcept
{
  const unsigned same = ways_of(s, tag) & ((1u << s.used) - 1);
  if (static_cast<std::size_t>(std::popcount(same)) >= ways / 2)
    return static_cast<std::size_t>(std::bit_width(same) - 1);
  if (s.used != ways) {
    s.entries[s.used] = static_cast<std::uint16_t>(entry_count_++);
    return s.used++;
  }
  const std::size_t way = s.victim;
  s.victim = static_cast<std::uint8_t>((way + 1) % ways);
  return way;
}

void stack_cache::remember(const call_site& from, std::uintptr_t caller, std::size_t limit, const walked_stack& s,
                           std::uint32_t id) noexcept
{
  const auto kept = depot_frames(id);
  if (!s.fits || kept.empty()) return;
  const std::uint64_t h = hash(from.sp, caller);
  set& target = sets_[set_of(h)];
  const std::size_t way = way_for(target, tag_of(h));
  target.tags[way] = tag_of(h);
  entry& e = entries_[target.entries[way]];
  std::swap(target.entries[way],
            target.entries[static_cast<std::size_t>(std::countr_zero(ways_of(target, tag_of(h))))]);
  e.id = 0;
  std::atomic_signal_fence(std::memory_order_seq_cst);  // a signal handler that allocates finds no half of an entry
  e.of = {from.sp, from.pc, caller, limit};
  e.frames = kept.data();
  e.count = static_cast<std::uint8_t>(kept.size());
  e.layout.chained = s.layout.chained;
  e.layout.first_at = s.layout.first_at;
  e.layout.own_count = s.layout.own_count;
  e.layout.stop_count = s.layout.stop_count;
  std::copy_n(s.layout.own.begin(), s.layout.own_count, e.layout.own.begin());
  std::copy_n(s.layout.stops.begin(), s.layout.stop_count, e.layout.stops.begin());
  std::copy_n(s.layout.at.begin(), kept.size(), e.layout.at.begin());
  std::atomic_signal_fence(std::memory_order_seq_cst);
  e.id = id;
  guesses_[guess_of(h)] = &e;
}

void begin_stack_cache() noexcept
{
  if (my_stacks == nullptr) my_stacks = promised;
}

void end_stack_cache() noexcept
{
  stack_cache* mine = my_stacks;
  my_stacks = nullptr;
  if (mine == nullptr || mine == promised) return;
  for (std::atomic<stack_cache*>& place : spare) {
    stack_cache* none = nullptr;
    if (place.compare_exchange_strong(none, mine, std::memory_order_acq_rel, std::memory_order_relaxed)) return;
  }
  metadata_free(mine, sizeof(stack_cache));
}

stack_cache* have_stack_cache() noexcept
{
  if (my_stacks != promised) return my_stacks;
  for (std::atomic<stack_cache*>& place : spare) {
    if (place.load(std::memory_order_relaxed) == nullptr) continue;
    stack_cache* const found = place.exchange(nullptr, std::memory_order_acq_rel);
    if (found != nullptr) return my_stacks = found;
  }
  my_stacks = static_cast<stack_cache*>(metadata_allocate(sizeof(stack_cache)));  // refused: not asked for again
  return my_stacks;
}

}  // namespace gpa::detail
