// Slots that leave a thread: a bit each, in the slab they lie in.
#include "fast/fast_heap.hpp"

#include <algorithm>

namespace gpa::detail {

namespace {

// Whether eight addresses follow each other, up or down, at the distance of a slot. Once the ends agree the others are
// compared without a branch in between: it would be one that nobody foresees.
inline bool is_run_of_eight(void* const* slots, std::size_t slot) noexcept
{
  const auto* const first = static_cast<const std::byte*>(slots[0]);
  const std::ptrdiff_t far = static_cast<const std::byte*>(slots[7]) - first;
  const auto whole = static_cast<std::ptrdiff_t>(7 * slot);
  if (far != whole && far != -whole) [[likely]] return false;
  const std::ptrdiff_t step = far / 7;
  bool run = true;
  for (std::ptrdiff_t i = 1; i != 7; ++i) run &= slots[i] == first + i * step;
  return run;
}

// Eight bits from `first` on, up or down; 0 when they are not all of one word.
constexpr std::uint64_t run_mask(std::uint64_t first, bool up) noexcept
{
  const std::uint64_t low = up ? first : first - 7;
  return low <= 56 ? std::uint64_t{0xFF} << low : 0;
}

// Whether all lie within the 4 GiB of one leaf of the page map.
inline bool share_a_leaf(void* const* slots, std::size_t count) noexcept
{
  const auto first = reinterpret_cast<std::uintptr_t>(slots[0]);
  std::uintptr_t different = 0;
  for (std::size_t i = 0; i != count; ++i) different |= reinterpret_cast<std::uintptr_t>(slots[i]) ^ first;
  return different >> 32 == 0;
}

// Sets the bit `index % 64`; whether it was set. One instruction for four that compilers make of it.
inline bool test_and_set(std::uint64_t& word, std::uint64_t index) noexcept
{
  bool was_set = false;
  asm("btsq %2, %1" : "=@ccc"(was_set), "+r"(word) : "r"(index));
  return was_set;
}

}  // namespace

// `count` at most a batch. All are of one class, but where the user freed with a wrong size.
void fast_heap::put_slots(void* const* slots, std::size_t count) noexcept
{
  span* emptied = nullptr;
  put_slots(slots, count, emptied);
  delete_slabs(emptied);
}

void fast_heap::put_slots(void* const* slots, std::size_t count, span*& emptied) noexcept
{
  for (std::size_t i = 0; i != count;) {
    const span* const s = span_of(slots[i], region_kind::fast_slab);
    i += s == nullptr ? 1 : put_slots_of(s->size_class, slots + i, count - i, emptied);
  }
}

// Up to the first that is of another class; how many. What was allocated together is often freed together: eight slots
// in the order of their addresses, or against it, are one step. Where they are not, twice as many are taken one by one
// before that is asked again.
std::size_t fast_heap::put_slots_of(unsigned c, void* const* slots, std::size_t count, span*& emptied) noexcept
{
  class_slabs& all = classes_[c];
  std::size_t i = 0;
  const mutex_guard guard(all.lock);
  const std::size_t before = all.free;
  for (std::size_t part = 8; i != count;) {
    if (count - i >= 8 && put_run(all, c, slots + i, emptied)) {
      i += 8;
      part = 8;
      continue;
    }
    const std::size_t end = std::min(count, i + part);
    i += put_each(all, c, slots + i, end - i, emptied);
    if (i != end) break;
    part *= 2;
  }
  all.used_lately.store(static_cast<std::uint16_t>(std::min(all.slots - all.free, class_slabs::many)), std::memory_order_relaxed);
  free_in_slabs_.fetch_add((all.free - before) * slot_size(c), std::memory_order_relaxed);
  return i;
}

// Eight slots, if they follow each other. False: nothing was done.
inline bool fast_heap::put_run(class_slabs& all, unsigned c, void* const* slots, span*& emptied) noexcept
{
  if (!is_run_of_eight(slots, slot_size(c))) return false;
  region* const r = region_of(slots[0]);
  span* const s = as_slab(r, &owner_, c);
  if (s == nullptr || region_of(slots[7]) != r) return false;
  const std::uint64_t index = s->index_of(slots[0]);
  const std::uint64_t run = run_mask(index % 64, slots[1] > slots[0]);
  std::uint64_t& word = s->free_bits[index / 64];
  if (run == 0 || (word & run) != 0) return false;
  word |= run;
  const auto at = static_cast<std::uint32_t>(index / 64);
  if (at < s->cursor) all.lower_cursor(*s, at);
  s->used -= 8;
  all.free += 8;
  if (s->used == 0) remove_emptied(all, *s, emptied);
  return true;
}

// How many: up to the first that is of another class. At least one slot.
std::size_t fast_heap::put_each(class_slabs& all, unsigned c, void* const* slots, std::size_t count,
                                span*& emptied) noexcept
{
  const page_map_leaf* const leaf = share_a_leaf(slots, count) ? leaf_of(slots[0]) : nullptr;
  if (leaf == nullptr) [[unlikely]] return put_each_of(&region_of, all, c, slots, count, emptied);
  return put_each_of([leaf](const void* p) noexcept { return leaf->at(p); }, all, c, slots, count, emptied);
}

template <class FindRegion>
inline std::size_t fast_heap::put_each_of(FindRegion region_at, class_slabs& all, unsigned c, void* const* slots,
                                          std::size_t count, span*& emptied) noexcept
{
  const owner* const ours = &owner_;  // compilers load it for each slot else
  std::size_t twice = 0;
  std::size_t i = 0;
  for (; i != count; ++i) {
    const void* const p = slots[i];
    span* const s = as_slab(region_at(p), ours, c);
    if (s == nullptr) [[unlikely]] break;
    const std::uint64_t index = s->index_of(p);
    const std::uint64_t at = index / 64;
    std::uint64_t word = s->free_bits[at];
    if (test_and_set(word, index)) [[unlikely]] {  // freed twice; counted twice, two users would be given the same slab
      ++twice;
      continue;
    }
    s->free_bits[at] = word;
    if (const auto here = static_cast<std::uint32_t>(at); here < s->cursor) [[unlikely]]
      all.lower_cursor(*s, here);
    if (--s->used == 0) [[unlikely]] remove_emptied(all, *s, emptied);
  }
  all.free += i - twice;
  return i;
}

void fast_heap::class_slabs::lower_cursor(span& s, std::uint32_t word) noexcept
{
  if (s.cursor == span::none_free) list(s);
  s.cursor = word;
}

// The slab has free slots only. The only one of its class that has any stays, while little lies free.
void fast_heap::remove_emptied(class_slabs& all, span& s, span*& emptied) noexcept
{
  const bool only_one = all.with_free == &s && s.next == nullptr;
  if (only_one && !buried_.load(std::memory_order_relaxed) && !much_is_free()) return;
  all.remove(s);
  // The caller takes off what all its slots would be.
  free_in_slabs_.fetch_add(std::size_t{s.untouched_slots()} * s.slot_bytes, std::memory_order_relaxed);
  s.next = emptied;
  emptied = &s;
}

}  // namespace gpa::detail
