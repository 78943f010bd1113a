// Each thread's memory of whole call stacks: the number of a stack that stands there again, at some five instructions a
// frame.
//
// An entry lists words of the stack and what they held (stack_walk.hpp). It is believed only if every one of them still
// holds that, looked at from the innermost frame outward: a frame is read only after all inside it are known to be
// there, so nothing is read beyond the live stack, whatever became of it since (returned from, grown again, another
// fiber's).
//
//    guesses   the entry found last for such a call site                            2 KiB, looked at first
//    sequels   the one that came there after the thread's last capture              2 KiB, instead, where they alternate
//    turns     the entry that stood there when such a guess last failed so          2 KiB, looked at next
//    buckets   | 8 tags | 8 entries |  ...  entries by hash, the last used first    8 KiB
//    walks     what the last walk met                                               4 KiB
//    log       | words, call site, number | ...                                     2 x 118 KiB
//
// Stacks with one call site that differ further up hang together as a tree: an entry whose word i is another one now,
// w, leads to the entry found by (hash so far, i, w). So the right one of many is a step for each place where they part,
// and no search. Programs that recurse, or call one function from two places, go to and fro between a few of them: the
// one that came the last time that the guess was another, and differed in this word, is tried before the tree. Where
// that is right, the call site is marked: from then on the guess is what came after the thread's last capture, as
// programs do things in the same order again. (A parser that assigns names and values: one of six guesses failed, now
// none.)
//
// Entries are appended to one half of the log while the other is kept; a full half makes the other one begin anew, and
// what pointed into it is forgotten. Few stacks touch few pages. No half begins anew in a signal handler, as what the
// thread was just looking at could be in it: rules lead through no handler's frame, so a stack that was walked to its
// end has none, and of one that was cut the rest is walked first. Else a handler may capture, find and remember at any
// moment. (Not seen is a handler below code without unwind tables, where stacks end for libgcc, too; or one that runs a
// fiber.)
//
// Costs a piece of 256 KiB of metadata memory a thread that captures, touched as stacks become known; and 8 bytes of
// static thread-local storage. At its end a thread leaves it to the next one, beyond 16 to the metadata. A thread whose
// end we do not see, or for whom memory is refused, walks each time.
//
// Belongs to its thread; begin and end are called by thread_caches.cpp.
#pragma once

#include "base/attributes.hpp"
#include "base/bits.hpp"
#include "os/pages.hpp"
#include "trace/stack_walk.hpp"

#include <array>
#include <bit>
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

  /// The same where the caller is who called: inlined, and ready to say 0 of what is not expected there. `base`, a
  /// pointer or what becomes one, is where it keeps its caller's rbp, below the return address.
  template <class Base>
  [[nodiscard, gnu::always_inline]] std::uint32_t find_at_once(Base base, std::size_t limit) noexcept;

  /// Up to the first page of the log.
  [[nodiscard]] static constexpr std::size_t bytes_touched_at_first() noexcept
  {
    return round_up(offsetof(stack_cache, log_) + 1, page_size);
  }

  /// What the thread's walks remember from one to the next.
  [[nodiscard]] walk_memory& walks() noexcept { return walks_; }

  /// Remembers a stack that was just walked, and stands there still. `id` is what the depot kept of it: the whole or,
  /// when that is full, less.
  void remember(const key& k, const walked_stack& s, std::uint32_t id) noexcept;

 private:
  static constexpr std::size_t ways = 8;
  static constexpr std::size_t bucket_count = 128;
  static constexpr std::size_t guess_count = 512;
  static constexpr std::size_t sequel_count = 512;
  static constexpr std::size_t turn_count = 512;
  static constexpr std::size_t half_bytes = std::size_t{118} << 10;
  static constexpr unsigned most_steps = 8;

  // What `site` has on top of a return address (47 bits) and a number of frames (7).
  static constexpr unsigned limit_shift = 48;
  static constexpr std::uint64_t unusual = std::uint64_t{1} << 62;  // modules to look at, or a caller further up

  static constexpr std::uint32_t alternates = 1;  // in a guess, whose entry is at a multiple of eight

  // A word of a stack, and where it stands, in words from the base, in one number: all are addresses, of 48 bits.
  static constexpr unsigned place_bits = 16;
  [[nodiscard]] static constexpr std::uint64_t packed(std::uintptr_t word, std::uint16_t place) noexcept
  {
    return word << place_bits | place;
  }

  // Its words are looked at four at a time, first what four leave over. Fewer than four are filled up with the call
  // site's own return address.
  static constexpr int fewest_words = 4;

  // Its words stand before it: they are found by an index that counts up to 0.
  struct entry {
    std::uintptr_t sp;
    std::uint64_t site;
    std::uintptr_t caller;
    std::uint32_t id;    // not 0
    std::int16_t first;  // less than 0
    std::uint16_t stop_count;
    // behind it: stops

    [[nodiscard]] const std::uint64_t* words_end() const noexcept
    {
      return reinterpret_cast<const std::uint64_t*>(this);
    }
    [[nodiscard]] const module_stop* stops() const noexcept { return reinterpret_cast<const module_stop*>(this + 1); }
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
  // Whether each word of the entry is there; as `holds`, for what has no stops.
  template <class Base>
  [[nodiscard, gnu::always_inline]] GPA_NO_SANITIZE static bool stands(Base base, const entry& e) noexcept;

  // Less good than hash_of(), and two instructions less: it may lead to an entry of another call site.
  [[nodiscard]] static std::size_t guess_of(std::uintptr_t sp, std::uint64_t site) noexcept
  {
    return (site + 4 * sp) * 0x9E3779B97F4A7C15U >> 55;
  }
  [[nodiscard]] std::size_t sequel_of(std::size_t guess) const noexcept
  {
    return (guess ^ last_ >> 3) % sequel_count;
  }
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
  [[nodiscard]] std::uint32_t ref_of(const void* in_log) const noexcept
  {
    return static_cast<std::uint32_t>(static_cast<const std::byte*>(in_log) - reinterpret_cast<const std::byte*>(this));
  }
  void note_last(const entry& e) noexcept
  {
    last_ = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(&e));
  }
  [[nodiscard]] static bool is_at(const entry& e, const key& k) noexcept;
  [[nodiscard]] static bool holds(const entry& e, difference& d) noexcept;
  [[nodiscard]] const entry* entry_of(std::uint64_t h) noexcept;
  [[nodiscard]] const entry* in_tree(std::uint64_t h, const key& k) noexcept;
  [[nodiscard]] const entry* write(const key& k, const walked_stack& s, std::uint32_t id) noexcept;
  void put(std::uint64_t h, std::uint32_t ref) noexcept;
  [[nodiscard]] std::byte* append(std::size_t bytes, const walked_stack& s) noexcept;
  void begin_half_anew() noexcept;

  [[maybe_unused]] entry none_;  // at 0, all zero: what no call site matches
  std::array<std::uint32_t, guess_count> guesses_;
  std::array<std::uint32_t, sequel_count> sequels_;
  std::array<std::uint32_t, turn_count> turns_;
  std::array<bucket, bucket_count> buckets_;
  std::uint32_t last_;  // the entry of the last capture: its address, cut short; never followed
  std::uint32_t used_;  // of the half that is filled
  std::uint8_t half_;
  bool busy_;  // a signal handler that captures meanwhile remembers nothing
  walk_memory walks_;
  alignas(64) std::array<std::array<std::byte, half_bytes>, 2> log_;
};

// Two loads and five operations of the CPU a word. Compilers want registers for it that have to be saved.
template <class Base>
GPA_NO_SANITIZE inline bool stack_cache::stands(Base base, const entry& e) noexcept
{
  std::ptrdiff_t i = e.first;
  std::uintptr_t word;
  std::uintptr_t place;
  static_assert(place_bits == 16);
#define GPA_LOOK_AT_WORD(n)                             \
  "movq 8*" #n "(%[words],%[i],8), %[word]\n\t"         \
  "movzwl %w[word], %k[place]\n\t"                     \
  "shrq $16, %[word]\n\t"                              \
  "cmpq %[word], (%[base],%[place],8)\n\t"             \
  "jne %l[another]\n\t"
  asm volatile goto("testb $1, %b[i]\n\t"
                    "jz 1f\n\t"
                    GPA_LOOK_AT_WORD(0)
                    "addq $1, %[i]\n"
                    "1:\n\t"
                    "testb $2, %b[i]\n\t"
                    "jz 2f\n\t"
                    GPA_LOOK_AT_WORD(0)
                    GPA_LOOK_AT_WORD(1)
                    "addq $2, %[i]\n"
                    "2:\n\t"
                    GPA_LOOK_AT_WORD(0)
                    GPA_LOOK_AT_WORD(1)
                    GPA_LOOK_AT_WORD(2)
                    GPA_LOOK_AT_WORD(3)
                    "addq $4, %[i]\n\t"
                    "jnz 2b"
                    : [i] "+&r"(i), [word] "=&r"(word), [place] "=&r"(place)
                    : [words] "r"(e.words_end()), [base] "r"(static_cast<const std::uintptr_t*>(base))
                    : "cc", "memory"
                    : another);
#undef GPA_LOOK_AT_WORD
  return true;
another:
  return false;
}

template <class Base>
GPA_NO_SANITIZE inline std::uint32_t stack_cache::find_at_once(Base base, std::size_t limit) noexcept
{
  const std::uintptr_t sp = stack_layout::sp_of(base);
  const std::uint64_t site = site_of(static_cast<const std::uintptr_t*>(base)[stack_layout::place_of_pc], limit);
  const std::size_t guess = guess_of(sp, site);
  std::uint32_t ref = guesses_[guess];
  if ((ref & alternates) != 0) [[unlikely]] ref = sequels_[sequel_of(guess)];
  const entry& e = at(ref);
  if (e.sp != sp || e.site != site) [[unlikely]] return 0;

  if (!stands(base, e)) [[unlikely]] return 0;
  note_last(e);
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

/// Not an address: a cache may be made.
[[nodiscard]] inline stack_cache* promised_stack_cache() noexcept
{
  return std::bit_cast<stack_cache*>(std::uintptr_t{1});
}

/// From now on this thread may have a cache: end_stack_cache() will be called.
inline void begin_stack_cache() noexcept
{
  if (my_stacks == nullptr) my_stacks = promised_stack_cache();
}
/// Gives it back. Later captures of this thread walk.
void end_stack_cache() noexcept;
/// This thread's cache, made if it may be; else null.
[[nodiscard]] stack_cache* have_stack_cache() noexcept;

}  // namespace gpa::detail
