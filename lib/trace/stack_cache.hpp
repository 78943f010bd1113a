// Each thread's memory of whole call stacks: the number of a stack that stands there again, at about a nanosecond a
// frame.
//
// 64 sets of 8 entries, found by the stack pointer and the caller. An entry is believed only if every word its layout
// names (stack_walk.hpp) still holds what it held, looked at from the innermost frame outward: a frame is read only
// after all inside it are known to be there, so nothing is read beyond the live stack, whatever became of it since
// (returned from, grown again, another fiber's).
//
//    guesses   | the entry found last with such a key |   2 KiB, looked at first
//    sets      | 8 tags, 8 indices, next victim |  ...        4 KiB
//    entries   | key, depot's frames, layout    |  ...      220 KiB, taken in order: few stacks touch few pages
//    walks     | what the last walk met         |             4 KiB
//
// Costs a piece of 256 KiB of metadata memory a thread that captures, touched as stacks become known; and 8 bytes of
// static thread-local storage. At its end a thread leaves it to the next one, beyond 16 to the metadata. A thread whose
// end we do not see, or for whom memory is refused, walks each time.
//
// Belongs to its thread; begin and end are called by thread_caches.cpp.
#pragma once

#include "base/attributes.hpp"
#include "trace/stack_walk.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace gpa::detail {

class stack_cache {
 public:
  struct key {
    std::uintptr_t sp;  // of the call site, as its pc
    std::uintptr_t pc;
    std::uintptr_t caller;
    std::size_t limit;
  };

  /// The depot's number of the stack at this call site, whose frame must be the caller's own; 0 if it is not known
  /// here.
  [[nodiscard]] std::uint32_t find(const key& k) noexcept;

  /// What the thread's walks remember from one to the next.
  [[nodiscard]] walk_memory& walks() noexcept { return walks_; }

  /// Remembers a stack that was just walked. `id` is what the depot kept of it: the whole or, when that is full, less.
  void remember(const call_site& from, std::uintptr_t caller, std::size_t limit, const walked_stack& s,
                std::uint32_t id) noexcept;

 private:
  static constexpr std::size_t ways = 8;
  static constexpr std::size_t set_count = 64;

  struct alignas(64) set {
    std::array<std::uint32_t, ways> tags;
    std::array<std::uint16_t, ways> entries;
    std::uint8_t used;
    std::uint8_t victim;
  };
  struct entry {
    key of;
    const std::uintptr_t* frames;  // the depot's, which stay
    std::uint32_t id;              // 0 while it is written
    std::uint8_t count;
    stack_layout layout;
  };

  [[nodiscard]] static std::uint64_t hash(std::uintptr_t sp, std::uintptr_t caller) noexcept
  {
    return (sp ^ caller << 24 ^ caller >> 40) * 0x9E3779B97F4A7C15U;
  }
  [[nodiscard]] static std::size_t set_of(std::uint64_t h) noexcept { return h >> 58; }
  [[nodiscard]] static std::uint32_t tag_of(std::uint64_t h) noexcept
  {
    return static_cast<std::uint32_t>(h >> 16) | 1;
  }
  [[nodiscard]] static std::size_t guess_of(std::uint64_t h) noexcept { return h >> 56; }
  [[nodiscard]] static unsigned ways_of(const set& s, std::uint32_t tag) noexcept;
  [[nodiscard]] std::uint32_t find_in_set(const key& k, std::uint64_t h) noexcept;
  [[nodiscard]] std::size_t way_for(set& s, std::uint32_t tag) noexcept;
  [[nodiscard]] static bool is(const entry& e, const key& k) noexcept;
  [[nodiscard]] static bool holds(const entry& e) noexcept;
  [[nodiscard]] static bool holds_further(const entry& e, std::uintptr_t first) noexcept;

  std::array<const entry*, 256> guesses_;
  std::array<set, set_count> sets_;
  std::array<entry, ways * set_count> entries_;
  std::size_t entry_count_;
  walk_memory walks_;
};

/// What a thread has: nothing yet, the promise that its end will be told, a cache, or nothing any more.
extern __thread stack_cache* my_stacks __attribute__((tls_model("initial-exec"), visibility("hidden")));

[[nodiscard]] inline bool has_stack_cache() noexcept
{
  return reinterpret_cast<std::uintptr_t>(my_stacks) > 1;
}

/// From now on this thread may have a cache: end_stack_cache() will be called.
void begin_stack_cache() noexcept;
/// Gives it back. Later captures of this thread walk.
void end_stack_cache() noexcept;
/// This thread's cache, made if it may be; else null.
[[nodiscard]] stack_cache* have_stack_cache() noexcept;

}  // namespace gpa::detail
