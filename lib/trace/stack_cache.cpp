#include "trace/stack_cache.hpp"

#include "os/metadata.hpp"
#include "os/pages.hpp"
#include "trace/rule_cache.hpp"

#include <emmintrin.h>

#include <algorithm>
#include <atomic>
#include <new>

namespace gpa::detail {

constinit __thread stack_cache* my_stacks __attribute__((tls_model("initial-exec"), visibility("hidden"))) = nullptr;

namespace {

constexpr std::size_t cache_bytes = std::size_t{256} << 10;
static_assert(sizeof(stack_cache) <= cache_bytes, "the price quoted in stack_cache.hpp");

// Left by threads that ended, for those to come: what they hold is checked like everything found in a cache, so there
// is nothing to clear. The rest of them goes back to the metadata.
constinit std::array<std::atomic<stack_cache*>, 16> spare = {};

}  // namespace

inline bool stack_cache::is_at(const entry& e, const key& k) noexcept
{
  return e.sp == k.sp && (e.site & ~unusual) == site_of(k.pc, k.limit) && e.caller == k.caller;
}

// Whether each word of the entry is there. Each is read only after those inside it were, and `d` is the first that
// differs.
GPA_NO_SANITIZE inline bool stack_cache::holds(const entry& e, difference& d) noexcept
{
  const auto* const base = reinterpret_cast<const std::uintptr_t*>(stack_layout::base_of(e.sp));
  const module_stop* stop = e.stops();
  const module_stop* const last_stop = stop + e.stop_count;
  const std::uint64_t* const words = e.words_end() + e.first;
  const auto count = static_cast<std::size_t>(-e.first);
  for (std::size_t i = 0; i != count; ++i) {
    for (; stop != last_stop && stop->before == i; ++stop) {
      if (module_is_there(stop->module, stop->pc)) continue;
      d = {i, stop->pc};
      return false;
    }
    if (stands_at(base, words[i])) continue;
    d = {i, base[static_cast<std::uint16_t>(words[i])]};
    return false;
  }
  for (; stop != last_stop; ++stop)
    if (!module_is_there(stop->module, stop->pc)) return false;
  return true;
}

// The entry of this hash; null if there is none.
const stack_cache::entry* stack_cache::entry_of(std::uint64_t h) noexcept
{
  bucket& b = buckets_[bucket_of(h)];
  const __m128i wanted = _mm_set1_epi32(static_cast<int>(tag_of(h)));
  const auto* const tags = reinterpret_cast<const __m128i*>(b.tags.data());
  const __m128i low = _mm_cmpeq_epi32(_mm_load_si128(tags), wanted);
  const __m128i high = _mm_cmpeq_epi32(_mm_load_si128(tags + 1), wanted);
  const auto same =
      static_cast<unsigned>(_mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(low, high), _mm_setzero_si128())));
  if (same == 0) return nullptr;
  return &at(b.refs[static_cast<std::size_t>(std::countr_zero(same))]);
}

// From the first of a call site's stacks, step by step where they part; null if it is not there.
GPA_NO_SANITIZE const stack_cache::entry* stack_cache::in_tree(std::uint64_t h, const key& k) noexcept
{
  difference before{};
  for (unsigned step = 0; step != most_steps; ++step) {
    const entry* const e = entry_of(h);
    if (e == nullptr || !is_at(*e, k)) return nullptr;
    difference d{};
    if (holds(*e, d)) return e;
    if (step != 0 && d.index <= before.index) return nullptr;
    before = d;
    h = hash_behind(h, d);
  }
  return nullptr;
}

// A signal handler that comes while the thread makes room (remember()) leaves no trace, as what it finds may go.
GPA_NO_SANITIZE std::uint32_t stack_cache::find(const key& k) noexcept
{
  const std::size_t place = guess_of(k.sp, site_of(k.pc, k.limit));
  std::uint32_t& guess = guesses_[place];
  std::uint32_t& sequel = sequels_[sequel_of(place)];
  const std::uint32_t plain_ref = guess & ~alternates;
  const std::uint32_t mark = guess & alternates;
  const std::uint32_t sequel_ref = mark != 0 ? sequel : 0;
  std::uint32_t* turn = nullptr;
  const auto keep = [&](std::uint32_t ref, std::uint32_t new_mark) {
    if (busy_) return at(ref).id;
    guess = ref | new_mark;
    if (new_mark != 0) sequel = ref;
    if (turn != nullptr) *turn = ref;
    note_last(at(ref));
    return at(ref).id;
  };
  difference d{};
  if (const entry& expected = at(sequel_ref); is_at(expected, k) && holds(expected, d)) return keep(sequel_ref, mark);
  if (const entry& last = at(plain_ref); is_at(last, k)) {
    // Better than what was expected instead: of so many captures before it the table cannot keep track.
    if (holds(last, d)) return keep(plain_ref, sequel_ref == 0 ? mark : 0);
    turn = &turns_[turn_of(plain_ref, d)];
    const std::uint32_t other_ref = *turn;
    if (const entry& other = at(other_ref); is_at(other, k) && holds(other, d)) return keep(other_ref, alternates);
  }
  const entry* const found = in_tree(hash_of(k), k);
  return found == nullptr ? 0 : keep(ref_of(found), mark);
}

// In place of an entry of the same hash, or first in its bucket.
void stack_cache::put(std::uint64_t h, std::uint32_t ref) noexcept
{
  bucket& b = buckets_[bucket_of(h)];
  const std::uint32_t tag = tag_of(h);
  const auto same = std::find(b.tags.begin(), b.tags.end(), tag);
  if (same != b.tags.end()) {
    b.refs[static_cast<std::size_t>(same - b.tags.begin())] = ref;
    return;
  }
  std::move_backward(b.tags.begin(), b.tags.end() - 1, b.tags.end());
  std::move_backward(b.refs.begin(), b.refs.end() - 1, b.refs.end());
  b.tags[0] = tag;
  b.refs[0] = ref;
}

void stack_cache::begin_half_anew() noexcept
{
  half_ = static_cast<std::uint8_t>(1 - half_);
  used_ = 0;
  const std::uint32_t begin = ref_of(log_[half_].data());
  const auto is_gone = [&](std::uint32_t ref) { return ref - begin < half_bytes; };  // marked or not
  for (auto* const refs : {&guesses_, &sequels_, &turns_})
    for (std::uint32_t& ref : *refs)
      if (is_gone(ref)) ref = 0;
  for (bucket& b : buckets_) {
    for (std::size_t way = 0; way != ways; ++way) {
      if (!is_gone(b.refs[way])) continue;
      b.tags[way] = 0;  // no tag is
      b.refs[way] = 0;
    }
  }
}

// Null where there is no room, and none may be made.
std::byte* stack_cache::append(std::size_t bytes, const walked_stack& s) noexcept
{
  if (used_ + bytes > half_bytes) {
    if (s.cut && !leads_to_the_end(s.rest)) return nullptr;
    begin_half_anew();
    std::atomic_signal_fence(std::memory_order_seq_cst);  // no handler finds what is written over now
  }
  std::byte* const place = log_[half_].data() + used_;
  used_ += static_cast<std::uint32_t>(bytes);
  return place;
}

const stack_cache::entry* stack_cache::write(const key& k, const walked_stack& s, std::uint32_t id) noexcept
{
  const stack_layout& l = s.layout;
  const int word_count = std::max(int{l.count}, fewest_words);
  std::byte* const begin = append(static_cast<std::size_t>(word_count) * sizeof(std::uint64_t) + sizeof(entry) +
                                      l.stop_count * sizeof(module_stop),
                                  s);
  if (begin == nullptr) return nullptr;
  auto* const words = reinterpret_cast<std::uint64_t*>(begin);
  for (std::size_t i = 0; i != l.count; ++i) words[i] = packed(l.values[i], l.places[i]);
  std::fill(words + l.count, words + word_count, packed(k.pc, stack_layout::place_of_pc));
  auto* const e = new (words + word_count)
      entry{k.sp,
            site_of(k.pc, k.limit) | (l.stop_count != 0 || k.caller != k.pc ? unusual : 0),
            k.caller,
            id,
            static_cast<std::int16_t>(-word_count),
            l.stop_count};
  std::copy_n(l.stops.begin(), l.stop_count, reinterpret_cast<module_stop*>(e + 1));
  return e;
}

// What it wrote so far is whole whenever a handler comes, which then finds it or not.
GPA_NO_SANITIZE void stack_cache::remember(const key& k, const walked_stack& s, std::uint32_t id) noexcept
{
  if (!s.fits || id == 0 || busy_) return;
  busy_ = true;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (const entry* const e = write(k, s, id); e != nullptr) {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    const std::uint32_t ref = ref_of(e);
    guesses_[guess_of(k.sp, site_of(k.pc, k.limit))] = ref;
    note_last(*e);
    // Down the tree, as find() will come, to where there is none yet or none that leads further.
    std::uint64_t h = hash_of(k);
    difference before{};
    for (unsigned step = 0; step != most_steps - 1; ++step) {
      const entry* const other = entry_of(h);
      difference d{};
      if (other == nullptr || !is_at(*other, k) || holds(*other, d) || (step != 0 && d.index <= before.index)) break;
      before = d;
      h = hash_behind(h, d);
    }
    put(h, ref);
  }
  std::atomic_signal_fence(std::memory_order_seq_cst);
  busy_ = false;
}

void end_stack_cache() noexcept
{
  stack_cache* mine = my_stacks;
  my_stacks = nullptr;
  if (mine == nullptr || mine == promised_stack_cache()) return;
  for (std::atomic<stack_cache*>& place : spare) {
    stack_cache* none = nullptr;
    if (place.compare_exchange_strong(none, mine, std::memory_order_acq_rel, std::memory_order_relaxed)) return;
  }
  metadata_free(mine, sizeof(stack_cache));
}

stack_cache* have_stack_cache() noexcept
{
  if (my_stacks != promised_stack_cache()) return my_stacks;
  for (std::atomic<stack_cache*>& place : spare) {
    if (place.load(std::memory_order_relaxed) == nullptr) continue;
    stack_cache* const found = place.exchange(nullptr, std::memory_order_acq_rel);
    if (found != nullptr) return my_stacks = found;
  }
  my_stacks = static_cast<stack_cache*>(metadata_allocate(sizeof(stack_cache)));  // refused: not asked for again
  if (my_stacks != nullptr) touch_pages(my_stacks, stack_cache::bytes_touched_at_first());
  return my_stacks;
}

}  // namespace gpa::detail
