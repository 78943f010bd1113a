#include "trace/depot.hpp"

#include "os/pages.hpp"
#include "os/text.hpp"
#include "trace/format.hpp"

#include <algorithm>
#include <array>
#include <atomic>

namespace gpa::detail {

namespace {

using word = std::uint64_t;
static_assert(sizeof(word) == sizeof(std::uintptr_t), "frames are copied as they are");

constexpr std::size_t bucket_slots = 8;  // one cache line
constexpr std::array<std::size_t, 4> table_slots = {std::size_t{1} << 10, std::size_t{1} << 13, std::size_t{1} << 16,
                                                    std::size_t{1} << 20};
constexpr std::size_t last_table_buckets = 64;  // walked in the last table before giving up
constexpr std::size_t all_slots = table_slots[0] + table_slots[1] + table_slots[2] + table_slots[3];

constexpr std::size_t limit_words = depot_limit / sizeof(word);
constexpr std::size_t arena_words = limit_words - all_slots;
constexpr std::size_t long_stack_words = arena_words / 8 * 7;
constexpr std::size_t long_stack_slots = all_slots / 8 * 7;
constexpr word tag_factor = 0xC2B2AE3D27D4EB4F;
constexpr std::size_t longest_stack = 1024;  // far above max_stack_frames; keeps the arithmetic small

std::atomic<word*> memory{nullptr};  // tables, then the arena
std::atomic<std::size_t> used{1};    // words of the arena; word 0 stays empty, because id 0 means no stack
std::atomic<std::size_t> stacks{0};
std::atomic<bool> full{false};

word* have_memory() noexcept
{
  word* const known = memory.load(std::memory_order_acquire);
  if (known != nullptr) return known;
  void* const fresh = map_pages(depot_limit);
  if (fresh == nullptr) return nullptr;
  word* expected = nullptr;
  if (memory.compare_exchange_strong(expected, static_cast<word*>(fresh), std::memory_order_acq_rel)) {
    touch_pages(fresh, table_slots.front() * sizeof(word));
    return static_cast<word*>(fresh);
  }
  unmap_pages(fresh, depot_limit);
  return expected;
}

// Call sites are close to each other: without another turn the buckets fill unevenly.
word spread(word hash) noexcept
{
  return ((hash ^ hash >> 29) * 0xBF58476D1CE4E5B9) >> 32;
}

word header(std::size_t id, std::size_t count, std::uint16_t tag) noexcept
{
  return static_cast<word>(tag) << 48 | static_cast<word>(count) << 32 | static_cast<word>(id);
}

bool holds(const word* arena, std::size_t id, std::span<const std::uintptr_t> frames, std::uint16_t tag) noexcept
{
  return arena[id] == header(id, frames.size(), tag) &&
         std::equal(frames.begin(), frames.end(), reinterpret_cast<const std::uintptr_t*>(arena + id + 1));
}

// Room for a header and `count` frames; 0 when it would not fit below `limit`.
std::size_t take_words(std::size_t count, std::size_t limit) noexcept
{
  std::size_t at = used.load(std::memory_order_relaxed);
  do {
    if (count + 1 > limit || at > limit - (count + 1)) return 0;
    // acq_rel: words given back below were written by another thread, and are written again by us.
  } while (!used.compare_exchange_weak(at, at + count + 1, std::memory_order_acq_rel, std::memory_order_relaxed));
  return at;
}

// Another thread was faster with the same stack. Only the newest words can be given back; others are lost, as a race
// for one stack is rare and lost once.
void return_words(word* arena, std::size_t id, std::size_t count) noexcept
{
  std::atomic_ref(arena[id]).store(0, std::memory_order_relaxed);
  std::size_t end = id + count + 1;
  used.compare_exchange_strong(end, id, std::memory_order_acq_rel, std::memory_order_relaxed);
}

// Once a process. No lock of ours is held here: captures are made before any is taken.
void say_full() noexcept
{
  if (full.exchange(true, std::memory_order_relaxed)) return;
  text line;
  absl::Format(&line, "gpa: warning: %s: stacks not seen before are cut to their first frame, or not kept\n",
               depot_shortage());
  line.write_to_stderr();
}

// One stack on its way through the tables. `id` stays 0 until an empty slot was met: a known stack costs no room.
class search {
 public:
  search(word* base, std::span<const std::uintptr_t> frames, std::uint16_t tag) noexcept
      : arena_(base + all_slots), frames_(frames), tag_(tag), hash_(depot_hash(frames) + tag * tag_factor)
  {
    word* table = base;
    for (const std::size_t slots : table_slots) {
      const std::size_t buckets = slots / bucket_slots;
      const std::size_t walked = slots == table_slots.back() ? last_table_buckets : 1;
      for (std::size_t i = 0; i != walked && !done_; ++i)
        look_into(table + (spread(hash_) + i) % buckets * bucket_slots);
      table += slots;
    }
    if (!done_ && id_ != 0) return_words(arena_, id_, frames_.size());
  }

  [[nodiscard]] std::uint32_t result() const noexcept { return done_ ? static_cast<std::uint32_t>(id_) : 0; }

 private:
  void look_into(word* bucket) noexcept
  {
    for (std::size_t i = 0; i != bucket_slots && !done_; ++i) {
      const std::atomic_ref<word> slot(bucket[i]);
      word seen = slot.load(std::memory_order_acquire);
      if (seen == 0) {
        if (id_ == 0 && !store()) {
          done_ = true;  // no room: id 0 is the answer
          return;
        }
        if (slot.compare_exchange_strong(seen, upper_hash() | id_, std::memory_order_acq_rel,
                                         std::memory_order_acquire)) {
          stacks.fetch_add(1, std::memory_order_relaxed);
          done_ = true;
          return;
        }
      }
      const std::size_t other = static_cast<std::uint32_t>(seen);
      if ((seen ^ upper_hash()) >> 32 == 0 && holds(arena_, other, frames_, tag_)) {
        if (id_ != 0) return_words(arena_, id_, frames_.size());
        id_ = other;
        done_ = true;
      }
    }
  }

  bool store() noexcept
  {
    const bool one = frames_.size() <= 1;
    if (!one && stacks.load(std::memory_order_relaxed) >= long_stack_slots) return false;
    id_ = take_words(frames_.size(), one ? arena_words : long_stack_words);
    if (id_ == 0) return false;
    // One by one: a call of memmove() TSan would see in a library that it knows nothing else of, and no order with others.
    for (std::size_t i = 0; i != frames_.size(); ++i)
      std::atomic_ref(arena_[id_ + 1 + i]).store(frames_[i], std::memory_order_relaxed);
    // Release of its own: a number may travel through a record without any ordering.
    std::atomic_ref(arena_[id_]).store(header(id_, frames_.size(), tag_), std::memory_order_release);
    return true;
  }

  [[nodiscard]] word upper_hash() const noexcept { return hash_ & ~word{0xFFFFFFFF}; }

  word* arena_;
  std::span<const std::uintptr_t> frames_;
  std::uint16_t tag_;
  word hash_;
  std::size_t id_ = 0;
  bool done_ = false;
};

}  // namespace

// A polynomial in four interleaved parts: each frame is one multiplication, and four are under way at a time.
std::uint64_t depot_hash(std::span<const std::uintptr_t> frames) noexcept
{
  constexpr word factor = 0x9E3779B97F4A7C15;
  constexpr word other = 0xD6E8FEB86659FD93;
  word a = frames.size();
  word b = 0;
  word c = 0;
  word d = 0;
  std::size_t i = 0;
  for (; i + 4 <= frames.size(); i += 4) {
    a = a * factor + frames[i];
    b = b * factor + frames[i + 1];
    c = c * factor + frames[i + 2];
    d = d * factor + frames[i + 3];
  }
  for (; i != frames.size(); ++i) a = a * other + frames[i];
  return ((a * other + b) * other + c) * other + d * factor;
}

namespace {

struct kept_stack {
  const word* frames = nullptr;
  std::size_t count = 0;
  std::uint16_t tag = 0;
};

// Nothing for 0 and for numbers never given out.
kept_stack find(std::uint32_t id) noexcept
{
  word* const base = memory.load(std::memory_order_acquire);
  if (base == nullptr || id == 0 || id >= arena_words) return {};
  word* const arena = base + all_slots;
  const word found = std::atomic_ref(arena[id]).load(std::memory_order_acquire);
  const std::size_t count = static_cast<std::size_t>(found >> 32) & 0xFFFF;
  const auto tag = static_cast<std::uint16_t>(found >> 48);
  if ((count == 0 && tag == 0) || count > longest_stack || found != header(id, count, tag)) return {};
  return {arena + id + 1, count, tag};
}

}  // namespace

std::uint32_t depot_intern(std::span<const std::uintptr_t> frames, std::uint16_t tag) noexcept
{
  if (frames.empty() && tag == 0) return 0;
  word* const base = have_memory();
  std::uint32_t id = 0;
  if (base != nullptr) {
    id = search(base, frames.first(std::min(frames.size(), longest_stack)), tag).result();
    if (id != 0) return id;
    if (frames.size() > 1) id = search(base, frames.first(1), tag).result();
  }
  if (!full.load(std::memory_order_relaxed)) say_full();
  return id;
}

std::span<const std::uintptr_t> depot_frames(std::uint32_t id) noexcept
{
  const kept_stack s = find(id);
  if (s.frames == nullptr) return {};
  return {reinterpret_cast<const std::uintptr_t*>(s.frames), s.count};
}

std::uint16_t depot_tag(std::uint32_t id) noexcept { return find(id).tag; }

bool depot_is_full() noexcept
{
  return full.load(std::memory_order_relaxed);
}

std::string_view depot_shortage() noexcept
{
  static_assert(depot_limit == std::size_t{64} << 20);
  return memory.load(std::memory_order_relaxed) == nullptr ? "memory for call stacks is refused"
                                                           : "the 64 MiB for call stacks are used up";
}

}  // namespace gpa::detail
