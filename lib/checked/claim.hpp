// The claim: win the right to free a block. Of any number of threads that free one block, exactly one succeeds.
//
// As a rule one thread allocates from a slab and the same thread frees there, so nobody races: a slab begins with a
// `sole` cache, whose thread compares and stores without a locked instruction. Another thread must first take that
// privilege away, once a slab and for good (share()); from then on every claim there is a compare-exchange. So that it
// seldom comes to that, a thread gets slabs of its own while little lies free in those of others (slab_owners.cpp).
//
//    owner, each free                      another thread, once a slab
//      claiming = slab                       sole = sharing
//      if sole == me                         barrier on every thread (os/barrier.hpp)
//        compare and store the word (*)      wait while the owner's claiming == slab
//      claiming = nothing                    sole = nobody
//
// (*) and on the hot path what comes before that: whose slot it is, and whether its redzone is whole. Poison is written
// afterwards, so a page that its user closed faults outside, unless the redzone or its slack stands there; but a tiny slot's
// before, as there is less to keep in registers then.
//
// The barrier falls before or after the owner's look at `sole`. Before: the owner sees that it is no longer alone.
// After: its `claiming` was written earlier still, so the other thread sees it and waits for what the owner stores.
// The owner's side needs no barrier on x86 but that the compiler keeps the order (Dice, Huang, Yang: Asymmetric Dekker
// Synchronization, 2001; the same idea frees Java's biased locks from locked instructions).
//
// Everybody else who changes the word of a live block calls share() first.
#pragma once

#include "checked/checked_cache.hpp"
#include "checked/slab.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace gpa::detail {

/// The slab is nobody's alone when this returns. Thread-safe; waits for one free of its owner at most, and for who shares
/// the same slab already.
void share(slab& s) noexcept;

/// For fork: nobody is in share() while it is held.
void sharing_lock() noexcept;
void sharing_unlock() noexcept;

/// The owner's side: what `work` does, it does alone. Another thread may be waiting for its end: it takes no lock, calls
/// nothing, and of user memory it reads what is behind a live block, and writes at most the block it freed, if that is
/// small. False with nothing done if the slab is not `k`'s alone, else what `work` returns. Any region will do: of another
/// heap, or no slab at all, it is never a checked cache's alone.
template <class Work>
[[nodiscard, gnu::always_inline]] inline bool do_alone(checked_cache& k, const slab& s, Work work) noexcept
{
  k.claiming.store(&s, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  bool done = false;
  if (s.sole.load(std::memory_order_relaxed) == &k) [[likely]] done = work();
  k.claiming.store(nullptr, std::memory_order_release);
  return done;
}

/// `expected` to `desired` if the slab is `k`'s alone; false with nothing done if it is not, or the word differs.
[[nodiscard]] inline bool claim_alone(checked_cache& k, const slab& s, std::atomic<std::uint64_t>& word,
                                      std::uint64_t expected, std::uint64_t desired) noexcept
{
  return do_alone(k, s, [&]() __attribute__((always_inline)) {
    const bool won = word.load(std::memory_order_relaxed) == expected;
    if (won) [[likely]] word.store(desired, std::memory_order_release);
    return won;
  });
}

/// For everybody: the compare-exchange.
[[nodiscard]] inline bool claim_shared(slab& s, std::atomic<std::uint64_t>& word, std::uint64_t expected,
                                       std::uint64_t desired) noexcept
{
  if (s.sole.load(std::memory_order_acquire) != nullptr) [[unlikely]] share(s);
  return word.compare_exchange_strong(expected, desired, std::memory_order_acq_rel, std::memory_order_acquire);
}

[[nodiscard]] inline bool claim(checked_cache& k, slab& s, std::atomic<std::uint64_t>& word, std::uint64_t expected,
                                std::uint64_t desired) noexcept
{
  if (s.sole.load(std::memory_order_relaxed) == &k) [[likely]] {
    if (claim_alone(k, s, word, expected, desired)) [[likely]] return true;
    if (s.sole.load(std::memory_order_relaxed) == &k) return false;
  }
  return claim_shared(s, word, expected, desired);
}

}  // namespace gpa::detail
