#include "trace/stack_cache.hpp"

#include "os/metadata.hpp"
#include "trace/depot.hpp"
#include "trace/rule_cache.hpp"

#include <emmintrin.h>

#include <algorithm>
#include <atomic>
#include <bit>

namespace gpa::detail {

constinit __thread stack_cache* my_stacks __attribute__((tls_model("initial-exec"), visibility("hidden"))) = nullptr;

namespace {

constexpr std::size_t cache_bytes = std::size_t{256} << 10;
static_assert(sizeof(stack_cache) <= cache_bytes, "the price quoted in stack_cache.hpp");

constexpr std::uintptr_t word_size = sizeof(std::uintptr_t);

// Not an address: a cache may be made.
stack_cache* const promised = std::bit_cast<stack_cache*>(std::uintptr_t{1});

GPA_NO_SANITIZE inline std::uintptr_t word_at(std::uintptr_t address) noexcept
{
  return *reinterpret_cast<const std::uintptr_t*>(address);
}

std::uintptr_t moved(std::uintptr_t address, std::int32_t bytes) noexcept
{
  return address + static_cast<std::uintptr_t>(std::intptr_t{bytes});
}

// Goes from frame to frame while each return address and each saved frame pointer is the expected one.
struct climb {
  std::uintptr_t slot;  // of frame `at`
  std::size_t at;

  [[nodiscard]] GPA_NO_SANITIZE bool to(std::size_t frame, const frame_step* steps,
                                        const std::uintptr_t* frames) noexcept
  {
    while (at != frame) {
      const frame_step step = steps[at];
      const std::uintptr_t next = slot + (step & ~bp_below & 0xFFFFu) * word_size;
      if ((step & bp_below) != 0 && word_at(slot - word_size) != next - word_size) return false;
      if (word_at(next) != frames[++at]) return false;
      slot = next;
    }
    return true;
  }
};

}  // namespace

GPA_NO_SANITIZE inline bool stack_cache::holds(const entry& e) noexcept
{
  const stack_layout& l = e.layout;
  for (std::size_t i = 0; i != l.own_count; ++i) {
    const own_word& w = l.own[i];
    const std::uintptr_t expected = moved((w.at & 1) != 0 ? e.from.pc : e.from.sp, w.value);
    if (word_at(moved(e.from.sp, w.at & ~1)) != expected) return false;
  }
  climb c{moved(e.from.sp, l.first_at), 0};
  if (word_at(c.slot) != e.caller) return false;
  const std::size_t last = e.count - std::size_t{1};
  for (std::size_t i = 0; i != l.stop_count && l.stops[i].frame <= last; ++i) {
    const stop& s = l.stops[i];
    if (!c.to(s.frame, l.steps.data(), e.frames)) return false;
    const bool same = s.module != 0 ? module_is_there(s.module, e.frames[s.frame])
                                    : word_at(moved(e.from.sp, s.at)) == moved(e.from.sp, s.value);
    if (!same) return false;
  }
  return c.to(last, l.steps.data(), e.frames);
}

GPA_NO_SANITIZE std::uint32_t stack_cache::find(const call_site& from, std::uintptr_t caller,
                                                std::size_t limit) const noexcept
{
  const std::uint64_t h = hash(from, caller);
  const set& s = sets_[h >> 58];
  const __m128i tag = _mm_set1_epi32(static_cast<int>(h >> 16));
  const auto* const tags = reinterpret_cast<const __m128i*>(s.tags.data());
  const __m128i low = _mm_cmpeq_epi32(_mm_load_si128(tags), tag);
  const __m128i high = _mm_cmpeq_epi32(_mm_load_si128(tags + 1), tag);
  auto same = static_cast<unsigned>(_mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(low, high), low))) & 0xFFU;
  for (; same != 0; same &= same - 1) {
    const entry& e = entries_[s.entries[static_cast<std::size_t>(std::countr_zero(same))]];
    if (e.from.sp != from.sp || e.from.pc != from.pc || e.caller != caller || e.limit != limit || e.id == 0) continue;
    if (holds(e)) return e.id;
  }
  return 0;
}

void stack_cache::remember(const call_site& from, std::uintptr_t caller, std::size_t limit, const walked_stack& s,
                           std::uint32_t id) noexcept
{
  const auto kept = depot_frames(id);
  if (!s.fits || kept.empty()) return;
  const std::uint64_t h = hash(from, caller);
  set& target = sets_[h >> 58];
  std::size_t way = target.used;
  if (way != ways) {
    ++target.used;
    target.entries[way] = static_cast<std::uint16_t>(entry_count_++);
  } else {
    way = target.victim;
    target.victim = static_cast<std::uint8_t>((way + 1) % ways);
  }
  target.tags[way] = static_cast<std::uint32_t>(h >> 16);
  entry& e = entries_[target.entries[way]];
  e.id = 0;
  std::atomic_signal_fence(std::memory_order_seq_cst);  // a signal handler that allocates finds no half of an entry
  e.from = from;
  e.caller = caller;
  e.frames = kept.data();
  e.count = static_cast<std::uint8_t>(kept.size());
  e.limit = static_cast<std::uint8_t>(limit);
  e.layout.first_at = s.layout.first_at;
  e.layout.own_count = s.layout.own_count;
  e.layout.stop_count = s.layout.stop_count;
  std::copy_n(s.layout.own.begin(), s.layout.own_count, e.layout.own.begin());
  std::copy_n(s.layout.stops.begin(), s.layout.stop_count, e.layout.stops.begin());
  std::copy_n(s.layout.steps.begin(), kept.size(), e.layout.steps.begin());
  std::atomic_signal_fence(std::memory_order_seq_cst);
  e.id = id;
}

void begin_stack_cache() noexcept
{
  if (my_stacks == nullptr) my_stacks = promised;
}

void end_stack_cache() noexcept
{
  stack_cache* const mine = my_stacks;
  my_stacks = nullptr;
  if (mine != nullptr && mine != promised) metadata_free(mine, sizeof(stack_cache));
}

stack_cache* have_stack_cache() noexcept
{
  if (my_stacks != promised) return my_stacks;
  auto* const fresh = static_cast<stack_cache*>(metadata_allocate(sizeof(stack_cache)));
  if (fresh != nullptr) my_stacks = fresh;
  return fresh;
}

}  // namespace gpa::detail
