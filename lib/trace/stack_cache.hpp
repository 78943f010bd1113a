// Each thread's memory of whole call stacks: the number of a stack that stands there again, at some five instructions a
// frame.
//
// An entry lists words of the stack and what they held (stack_walk.hpp). It is believed only if every one of them still
// holds that, looked at from the innermost frame outward: a frame is read only after all inside it are known to be
// there, so nothing is read beyond the live stack, whatever became of it since (returned from, grown again, another
// fiber's).
//
//    guesses   the entry found last for such a call site                            2 KiB, looked at first
//    turns     the entry that stood there when such a guess last failed so          2 KiB, looked at next
//    buckets   | 8 tags | 8 entries |  ...  entries by hash, the last used first    8 KiB
//    walks     what the last walk met                                               4 KiB
//    log       | call site, number, words | ...                                     2 x 118 KiB
//
// Stacks with one call site that differ further up hang together as a tree: an entry whose word i is another one now,
// w, leads to the entry found by (hash so far, i, w). So the right one of many is a step for each place where they part,
// and no search. Programs that recurse go to and fro between a few of them: which one came the last time that the guess
// was another, and differed in this word, is tried before the tree.
//
// Entries are appended to one half of the log while the other is kept; a full half makes the other one begin anew, and
// what pointed into it is forgotten. Few stacks touch few pages.
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
  /// A call site with the frame of whoever captures: where its stack pointer is after the return, its return address,
  /// the caller whose frame is to come first (the same in optimised code), how many frames are wanted.
  struct key {
    std::uintptr_t sp;
    std::uintptr_t pc;
    std::uintptr_t caller;
    std::size_t limit;
  };

  /// The depot's number of the stack at this call site, whose frame must be the caller's own; 0 if it is not known
  /// here.
  [[nodiscard]] std::uint32_t find(const key& k) noexcept;

  /// The same where the caller is who called: inlined, and ready to say 0 of what is not the last one found there.
  [[nodiscard, gnu::always_inline]] std::uint32_t find_at_once(std::uintptr_t sp, std::uintptr_t pc,
                                                               std::size_t limit) const noexcept;

  /// What the thread's walks remember from one to the next.
  [[nodiscard]] walk_memory& walks() noexcept { return walks_; }

  /// Remembers a stack that was just walked, and stands there still. `id` is what the depot kept of it: the whole or,
  /// when that is full, less.
  void remember(const key& k, const walked_stack& s, std::uint32_t id) noexcept;

 private:
  static constexpr std::size_t ways = 8;
  static constexpr std::size_t bucket_count = 128;
  static constexpr std::size_t guess_count = 512;
  static constexpr std::size_t turn_count = 512;
  static constexpr std::size_t half_bytes = std::size_t{118} << 10;
  static constexpr unsigned most_steps = 8;

  // What `site` has on top of a return address (47 bits) and a number of frames (7).
  static constexpr unsigned limit_shift = 48;
  static constexpr std::uint64_t unusual = std::uint64_t{1} << 62;  // modules to look at, or a caller further up

  // A word of a stack, and where it stands, in words from the base: all are addresses, of 48 bits.
  static constexpr unsigned place_bits = 16;
  static constexpr std::size_t words_a_turn = 4;

  struct entry {
    std::uintptr_t sp;
    std::uint64_t site;
    std::uintptr_t caller;
    std::uint32_t id;         // not 0
    std::uint16_t words_end;  // in bytes from the entry's begin; stops stand there
    std::uint16_t stop_count;
    // behind it: words; stops

    [[nodiscard]] const std::uint64_t* begin() const noexcept
    {
      return reinterpret_cast<const std::uint64_t*>(this + 1);
    }
    [[nodiscard]] const std::uint64_t* end() const noexcept
    {
      return reinterpret_cast<const std::uint64_t*>(reinterpret_cast<const std::byte*>(this) + words_end);
    }
    [[nodiscard]] const module_stop* stops() const noexcept { return reinterpret_cast<const module_stop*>(end()); }
  };
  static_assert(sizeof(entry) == 32);

  struct alignas(64) bucket {
    std::array<std::uint32_t, ways> tags;
    std::array<std::uint32_t, ways> refs;
  };

  // The first word of a stack that is another one than in an entry.
  struct difference {
    std::size_t index;
    std::uintptr_t word;
  };

  [[nodiscard]] static std::uint64_t hash_of(std::uintptr_t sp, std::uint64_t site) noexcept
  {
    return (sp ^ (site << 32 | site >> 32)) * 0x9E3779B97F4A7C15U;
  }
  [[nodiscard]] static std::uint64_t hash_of(const key& k) noexcept
  {
    const std::uint64_t h = hash_of(k.sp, site_of(k.pc, k.limit));
    return k.caller == k.pc ? h : hash_behind(h, {0, k.caller});
  }
  [[nodiscard]] static std::uint64_t hash_behind(std::uint64_t h, const difference& d) noexcept
  {
    return (h ^ (d.word + d.index) * 0xD6E8FEB86659FD93U) * 0x9E3779B97F4A7C15U;
  }
  [[nodiscard, gnu::always_inline]] GPA_NO_SANITIZE static bool stands_at(const std::uintptr_t* base,
                                                                          std::uint64_t word) noexcept
  {
    return base[static_cast<std::uint16_t>(word)] == word >> place_bits;
  }
  [[nodiscard]] static std::size_t guess_of(std::uint64_t h) noexcept { return h >> 55; }
  [[nodiscard]] static std::size_t turn_of(std::uint32_t ref, const difference& d) noexcept
  {
    return hash_behind(ref, d) >> 55;
  }
  [[nodiscard]] static std::size_t bucket_of(std::uint64_t h) noexcept { return h >> 57; }
  [[nodiscard]] static std::uint32_t tag_of(std::uint64_t h) noexcept
  {
    return static_cast<std::uint32_t>(h >> 16) | 1;
  }
  [[nodiscard]] static std::uint64_t site_of(std::uintptr_t pc, std::size_t limit) noexcept
  {
    return pc + (std::uint64_t{limit} << limit_shift);
  }

  [[nodiscard]] const entry& at(std::uint32_t ref) const noexcept
  {
    return *reinterpret_cast<const entry*>(reinterpret_cast<const std::byte*>(this) + ref);
  }
  [[nodiscard]] std::uint32_t ref_of(const entry& e) const noexcept
  {
    return static_cast<std::uint32_t>(reinterpret_cast<const std::byte*>(&e) - reinterpret_cast<const std::byte*>(this));
  }
  [[nodiscard]] static bool is_at(const entry& e, const key& k) noexcept;
  [[nodiscard]] static bool holds(const entry& e, difference& d) noexcept;
  [[nodiscard]] const entry* entry_of(std::uint64_t h) noexcept;
  [[nodiscard]] const entry* in_tree(std::uint64_t h, const key& k, std::uint32_t& id) noexcept;
  void put(std::uint64_t h, std::uint32_t ref) noexcept;
  [[nodiscard]] std::byte* append(std::size_t bytes) noexcept;
  void begin_half_anew() noexcept;

  [[maybe_unused]] entry none_;  // at 0, all zero: what no call site matches
  std::array<std::uint32_t, guess_count> guesses_;
  std::array<std::uint32_t, turn_count> turns_;
  std::array<bucket, bucket_count> buckets_;
  std::uint32_t used_;  // of the half that is filled
  std::uint8_t half_;
  bool busy_;  // a signal handler that captures meanwhile remembers nothing
  walk_memory walks_;
  alignas(64) std::array<std::array<std::byte, half_bytes>, 2> log_;
};

GPA_NO_SANITIZE inline std::uint32_t stack_cache::find_at_once(std::uintptr_t sp, std::uintptr_t pc,
                                                               std::size_t limit) const noexcept
{
  const std::uint64_t site = site_of(pc, limit);
  const entry& e = at(guesses_[guess_of(hash_of(sp, site))]);
  if (e.sp != sp || e.site != site) [[unlikely]] return 0;
  const auto* const stack = reinterpret_cast<const std::uintptr_t*>(stack_layout::base_of(sp));
  const std::uint64_t* const end = e.end();
  const std::uint64_t* word = e.begin();
  // Written out: every compiler at every level unrolls it so. What four leave over first, in one piece or two.
  static_assert(words_a_turn == 4 && sizeof(entry) % (words_a_turn * sizeof *word) == 0);
  if (const unsigned bytes = e.words_end; (bytes & 3 * sizeof *word) != 0) {
    if ((bytes & sizeof *word) != 0) {
      if (!stands_at(stack, word[0])) [[unlikely]] return 0;
      word += 1;
    }
    if ((bytes & 2 * sizeof *word) != 0) {
      if (!stands_at(stack, word[0]) || !stands_at(stack, word[1])) [[unlikely]] return 0;
      word += 2;
    }
  }
  for (; word != end; word += words_a_turn) {
    if (!stands_at(stack, word[0]) || !stands_at(stack, word[1]) || !stands_at(stack, word[2]) ||
        !stands_at(stack, word[3])) [[unlikely]]
      return 0;
  }
  if (e.id == 0) __builtin_unreachable();
  return e.id;
}

/// What a thread has: nothing yet, the promise that its end will be told, a cache, or nothing any more.
extern __thread stack_cache* my_stacks __attribute__((tls_model("initial-exec"), visibility("hidden")));

[[nodiscard]] inline bool has_stack_cache() noexcept
{
  return reinterpret_cast<std::uintptr_t>(my_stacks) > 1;
}

/// As capture_stack(), of a frame that begins with `from`.
[[nodiscard]] std::uint32_t capture_from(const call_site& from, std::uintptr_t caller, std::size_t frames) noexcept;

/// From now on this thread may have a cache: end_stack_cache() will be called.
void begin_stack_cache() noexcept;
/// Gives it back. Later captures of this thread walk.
void end_stack_cache() noexcept;
/// This thread's cache, made if it may be; else null.
[[nodiscard]] stack_cache* have_stack_cache() noexcept;

}  // namespace gpa::detail
