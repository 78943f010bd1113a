// The heap that remembers: every block has a record, and every free is compared with it.
//
// An allocation takes the next ready slot of its class, verifies its poison, writes the redzone and the record. A free
// finds the slab from the address alone, the slot by a multiplication, and claims the record (claim.hpp); then redzone,
// poison, ring. Neither takes a lock. What it costs: 16 bytes of record a slot, one redzone byte at least, poison written
// and read once a block, the quarantine.
//
// Everything else is out of line: refilling (refill.cpp, slab_owners.cpp), the free that was not simply right
// (wrong_free.cpp, judged by judge.cpp), large blocks (large_blocks.cpp), looking for damage (verify.cpp), for leaks
// (find_leaks.cpp), giving memory back (give_back.cpp, shedding.cpp).
//
// Invariants, checked by check():
//   C1  a slot is at most one of: a free bit, in a ring, ready; and then its state is fresh, freed or poisoned
//   C2  a slot whose state is poisoned holds poison
//   C3  every slab in slabs_ stands in the page map with this owner
//
// Thread-safe; a cache belongs to one thread at a time.
#pragma once

#include "base/attributes.hpp"
#include "base/mutex.hpp"
#include "blocks/supply.hpp"
#include "blocks/tolerance.hpp"
#include "checked/checked_cache.hpp"
#include "checked/claim.hpp"
#include "checked/fill.hpp"
#include "checked/judge.hpp"
#include "checked/large_blocks.hpp"
#include "checked/quarantine.hpp"
#include "checked/record.hpp"
#include "checked/slab.hpp"
#include "os/containers.hpp"
#include "trace/capture.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace gpa::detail {

class leak_groups;
struct live_block;
class live_visitor;

/// What is noted of a block beside its tag; null where there is nothing.
struct block_notes {
  std::atomic<std::uint32_t>* alloc_trace = nullptr;
  std::atomic<std::uint64_t>* life = nullptr;  // profile/profile.hpp
};

class checked_heap {
 public:
  // A thread that lost its CPU while it holds a lock makes those wait who want the same: with one for each class, and the
  // threads at work on blocks of many sizes, hardly anybody does. It guards the bits of the class's slabs, what is
  // counted of them, and which of them have pages.
  struct alignas(32) class_slabs {  // two a line
    small_mutex lock;
    std::uint32_t owners GPA_GUARDED_BY(lock) = 0;   // caches that had a slab made for themselves; of threads that run
    slab* with_free GPA_GUARDED_BY(lock) = nullptr;  // slabs with free bits, last listed first
    std::size_t slots GPA_GUARDED_BY(lock) = 0;      // of all slabs
    std::size_t free GPA_GUARDED_BY(lock) = 0;       // free bits of all slabs
  };

  /// `classes`: one for each size class, or none for a heap that nobody calls.
  checked_heap(owner& o, supply& s, quarantine_rule rule, const gpa::options& decided,
               std::span<class_slabs> classes) noexcept
      : owner_(o),
        supply_(s),
        rule_(rule),
        poison_(poison_rule::up_to(decided.poison_bytes)),
        classes_(classes),
        large_(o, s, rule.bytes, decided.poison_bytes, decided.protect_large)
  {
  }
  ~checked_heap();
  checked_heap(const checked_heap&) = delete;
  checked_heap& operator=(const checked_heap&) = delete;

  /// The shortest path, for blocks of a slab: calls nothing, so that its caller needs no frame (but for over-aligned
  /// blocks). Null, or false, with nothing done: whatever is unusual is left to the functions below. `Slots` is one of the
  /// kinds of slot_kinds.hpp, by the block's alignment and bytes.
  template <class Slots>
  [[nodiscard]] static void* allocate_short(checked_cache& k, std::size_t bytes, std::size_t alignment,
                                            std::uint32_t trace) noexcept;
  template <class Slots>
  [[nodiscard]] static bool deallocate_short(checked_cache& k, void* p, std::size_t bytes, std::size_t alignment,
                                             std::uint32_t trace) noexcept;

  /// The same where more than one cache frees to the slab (claim.hpp), with a compare-exchange. Any region will do.
  template <class Slots>
  [[nodiscard]] static bool deallocate_shared(checked_cache& k, region& found, void* p, std::size_t bytes,
                                              std::size_t alignment, std::uint32_t trace) noexcept;

  /// What those two lack most often: slots to hand out, or a period to put freed ones in. The thread's own ring may have
  /// it, without a lock; else false.
  [[nodiscard]] GPA_NOINLINE static bool find_ready(checked_cache& k, bin& b) noexcept;
  [[nodiscard]] GPA_NOINLINE static bool turn_period(checked_cache& k, bin& b) noexcept;

  /// Before a free, on slow paths.
  void look_at_peak(checked_cache& k) noexcept
  {
    if (k.exact_peak) k.note_own_peak();
    if (k.has_risen()) owner_.heartbeat();
  }

  /// Null when memory is refused, nothing changed. `alignment` is a power of two.
  [[nodiscard]] void* allocate(checked_cache& k, std::size_t bytes, std::size_t alignment,
                               const void* caller) noexcept;

  /// Whether the block was freed; what was wrong has been told.
  bool deallocate(checked_cache& k, void* p, std::size_t bytes, std::size_t alignment, const void* caller) noexcept;

  /// See gpa::resource::try_resize(). Wrong old numbers are told as the free would be. In wrong_free.cpp.
  [[nodiscard]] bool try_resize(checked_cache& k, void* p, std::size_t old_bytes, std::size_t new_bytes,
                                std::size_t alignment, const void* caller) noexcept;

  void adopt(checked_cache& k) noexcept
  {
    k.rule = rule_;
    k.poison = poison_;
    k.heap = this;
  }

  /// Looks at every redzone and every poisoned byte; tells what was written to. Returns the mistakes found.
  std::size_t verify(const inspection& why) noexcept;
  /// What is live and was made by this process, ignored blocks not counted; nothing is owned.
  void collect_live(leak_groups& groups) noexcept;
  /// What leaked, and who owns it. `static_too`: what static storage points at is no leak.
  void find_leaks(leak_groups& groups, bool static_too) noexcept;
  /// Copies the beginning of a live block, as far as it goes; returns how much. 0 when none starts there.
  [[nodiscard]] std::size_t copy_live(const void* block, std::span<std::byte> to) noexcept;
  /// Shows every live block, no lock held that allocating or freeing would wait for longer than some microseconds.
  void visit_live(live_visitor& v) noexcept;
  /// An empty one when `p` is no live block of this heap. `p` is never followed.
  [[nodiscard]] live_block find_live(const void* p) const noexcept;
  /// Of whatever block is or was at `p`. `life` only where asked for; its memory is made then.
  [[nodiscard]] block_notes notes_of(const void* p, bool with_life) const noexcept;
  /// False when `p` is no live block of this heap.
  [[nodiscard]] bool ignore(const void* p) noexcept;

  /// Its thread ended: slabs that were made for it are there for others, too.
  void leave(checked_cache& k) noexcept;
  /// What waits in `k` is free for anybody, now.
  void end_quarantine(checked_cache& k) noexcept;
  /// Gives pages back on which no block is or waits.
  void trim() noexcept;
  /// After deinit(): gives back all memory without a live block; over a user's upstream, all. Caches are void.
  void bury() noexcept;
  /// A free after bury(): claims the block as deallocate() does and gives its memory back when it was the last.
  [[nodiscard]] bool free_buried(const judgement& right, std::uint32_t trace, std::uint16_t thread) noexcept;
  /// Frees everything at once. Caches must be reset by their owner.
  void release() noexcept;
  static void reset_cache(checked_cache& k) noexcept;
  /// In the child of a fork: takes over what the rings of a thread that is no more hold, as far as records agree.
  void salvage(checked_cache& k) noexcept;
  void become_child() noexcept
  {
    large_.become_child();
    waiting_.store(0, std::memory_order_relaxed);
    threads_waiting_.store(0, std::memory_order_relaxed);
  }
  /// The same for each cache: a lost thread may have said to one place what waits, and not yet to the other.
  static void forget_waiting(checked_cache& k) noexcept { k.waiting = 0; }

  [[nodiscard]] std::size_t held_bytes() const noexcept
  {
    return held_.load(std::memory_order_relaxed) + large_.held_bytes();
  }

  void lock_for_fork() noexcept;
  void unlock_after_fork() noexcept;
  /// Asserts the invariants above; no other thread may be inside.
  void check() const noexcept;

 private:
  [[nodiscard]] void* hand_out(checked_cache& k, unsigned c, free_slot taken, std::size_t bytes,
                               std::size_t alignment, const void* caller) noexcept;
  void complete_free(checked_cache& k, const slab& s, std::size_t index, std::size_t bytes, std::uint64_t freed_word) noexcept;
  void complete_claimed_free(checked_cache& k, const slab& s, std::size_t index, std::size_t bytes,
                             std::uint64_t freed_word) noexcept;
  GPA_COLD void complete_damaged_free(checked_cache& k, const slab& s, std::size_t index, std::size_t bytes,
                                      std::uint64_t freed_word) noexcept;
  void put_into_ring(checked_cache& k, const slab& s, std::size_t index) noexcept;

  [[nodiscard]] GPA_NOINLINE void* allocate_slow(checked_cache& k, std::size_t bytes, std::size_t alignment,
                                                 const void* caller) noexcept;
  GPA_NOINLINE bool deallocate_slow(checked_cache& k, void* p, std::size_t bytes, std::size_t alignment,
                                    std::uint32_t trace, const void* caller) noexcept;
  [[nodiscard]] bool claim_flagged(const judgement& j, std::uint32_t trace, bool& damage_told) noexcept;
  [[nodiscard]] GPA_NOINLINE bool refill(checked_cache& k, unsigned c) noexcept;
  [[nodiscard]] slab* new_slab(unsigned c, bool at_any_price) noexcept;
  [[nodiscard]] slab* new_slab_of(unsigned c, std::size_t bytes) noexcept;
  /// Linked by `next`, in no list any more; no lock is held.
  void delete_slabs(slab* first) noexcept;
  /// The page map has lost them already.
  void delete_cleared(slab* first) noexcept;
  void forget(slab& s) noexcept;
  /// Whether what was found for `p` is a slab of ours, which then stays. Of another resource it may end meanwhile: that
  /// was cut from a large block, perhaps one of ours.
  [[nodiscard]] bool is_slab_here(const region* found, const std::byte* p) const noexcept GPA_REQUIRES(scan_lock_)
  {
    const region_head head = head_of(*found);
    return head.holder == &owner_ && head.kind == region_kind::checked_slab && region_of(p) == found;
  }
  [[nodiscard]] GPA_NOINLINE bool make_room(checked_cache& k, unsigned c) noexcept;
  [[nodiscard]] static bool make_ring(checked_cache& k, unsigned c) noexcept;
  void drain(checked_cache& k, unsigned c, bool all) noexcept GPA_REQUIRES(classes_[c].lock);
  void put_free(unsigned c, std::byte* slot) noexcept GPA_REQUIRES(classes_[c].lock);
  [[nodiscard]] std::size_t idle() const noexcept { return idle_.load(std::memory_order_relaxed); }
  void list_free(unsigned c, slab& s) noexcept GPA_REQUIRES(classes_[c].lock);
  [[nodiscard]] std::uint32_t take_slots(unsigned c, slab& s, bin& b, std::uint32_t wanted) noexcept
      GPA_REQUIRES(classes_[c].lock);
  GPA_COLD void tell_damaged_slot(std::byte* slot, record& r, unsigned c, std::uint32_t trace,
                                  std::uint16_t thread) noexcept;
  [[nodiscard]] gpa::report overflow_report(const slab& s, std::size_t index, std::size_t bytes, const damage& d,
                                            std::string_view reason, gpa::stack_trace here) const noexcept;
  [[nodiscard]] gpa::report damage_report(const slab& s, std::size_t index, std::uint64_t word, const damage& d,
                                          std::string_view found, gpa::stack_trace here) const noexcept;
  void verify_slab(slab& s, const inspection& why, list_of<gpa::report>& found);
  void verify_poisoned(slab& s, std::size_t index, const inspection& why, list_of<gpa::report>& found);
  void verify_live(slab& s, std::size_t index, const inspection& why, list_of<gpa::report>& found);
  void retire(unsigned c, slab& s) noexcept GPA_REQUIRES(classes_[c].lock);
  [[nodiscard]] slab* unlink_unused() noexcept;
  void look_for_surplus(checked_cache& k) noexcept;
  [[nodiscard]] bool much_is_free(std::size_t surplus) noexcept;
  [[nodiscard]] std::size_t live() const noexcept;
  [[nodiscard]] bool is_at_ebb(checked_cache& k) noexcept;
  std::size_t note_waiting(checked_cache& k) noexcept;
  void empty_rings(checked_cache& k) noexcept;
  void empty_ring(checked_cache& k, unsigned c) noexcept GPA_REQUIRES(classes_[c].lock);
  void thin_slabs(bool much, bool ebb) noexcept;
  void thin(unsigned c, slab& s, bool untouched_too) noexcept GPA_REQUIRES(classes_[c].lock);
  [[nodiscard]] slab* slab_with_free(const checked_cache& k, unsigned c) noexcept GPA_REQUIRES(classes_[c].lock);
  [[nodiscard]] bool may_have_its_own(const slab& other, unsigned c) noexcept GPA_REQUIRES(classes_[c].lock);
  void add_slab(slab& s, checked_cache& k) noexcept;
  [[nodiscard]] bool owns(const region& r) const noexcept
  {
    return r.owner == &owner_ && r.kind == region_kind::checked_slab;
  }
  [[nodiscard]] slab* slabs() noexcept;

  owner& owner_;
  supply& supply_;
  const quarantine_rule rule_;
  const poison_rule poison_;
  std::atomic<std::size_t> held_{0};

  const std::span<class_slabs> classes_;
  mutable mutex slabs_lock_;                           // taken before one of those above, if both are
  slab* slabs_ GPA_GUARDED_BY(slabs_lock_) = nullptr;  // all of them, newest first
  std::atomic<std::size_t> idle_{0};                   // bytes of slots that became free since their slab was thinned
  std::atomic<std::size_t> taken_{0};                  // bytes of slots that are no free bits: in use, ready, or in a ring
  std::atomic<std::size_t> waiting_{0};                // of those in rings, as each thread last noted it
  std::atomic<int> threads_waiting_{0};                // whose rings hold any
  std::atomic<std::size_t> live_before_ebb_{0};        // of those in use the most, since slabs were thinned for that
  small_mutex tolerance_lock_;                         // taken after one of a class, if both are
  tolerance tolerance_;                                // under it, but for note_more() and note_less()
  mutex damage_lock_;  // who looks at damage twice (verify) excludes who is about to tell it
  mutable mutex scan_lock_;  // verify and trim exclude each other
  large_blocks large_;
};

/// Before the redzone is written, the slot stops being poison: else verify(), coming by, would take one for the other.
inline void announce_hand_out(record& r, std::size_t bytes, std::size_t alignment) noexcept
{
  r.word.store(make_word(encode(slot_state::freed, bytes, alignment), 0), std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);  // x86 keeps stores in order; the compiler must too
}

inline void* checked_heap::hand_out(checked_cache& k, unsigned c, free_slot taken, std::size_t bytes,
                                    std::size_t alignment, const void* caller) noexcept
{
  std::byte* const slot = taken.slot;
  record& r = *taken.record;
  const std::size_t size = slot_size(c);
  const std::uint32_t trace = k.frames != 0 ? capture_stack(k.frames, caller) : 0;
  if (!holds_poison(slot, size, bytes_of(tag_of(r.word.load(std::memory_order_relaxed))), k.poison)) [[unlikely]]
    tell_damaged_slot(slot, r, c, trace, k.thread);
  announce_hand_out(r, bytes, alignment);
  r.alloc_trace.store(trace, std::memory_order_relaxed);
  r.alloc_thread.store(k.thread, std::memory_order_relaxed);
  write_redzone(slot, bytes, size);
  r.word.store(make_word(encode(slot_state::live, bytes, alignment), 0), std::memory_order_release);
  k.counts.count_allocation(bytes);
  return slot;
}

inline void* checked_heap::allocate(checked_cache& k, std::size_t bytes, std::size_t alignment,
                                    const void* caller) noexcept
{
  if (bytes <= small_limit && alignment <= 16) [[likely]] {
    const unsigned c = size_class(bytes + 1);
    bin& b = k.bins[c];
    if (b.next != b.end) [[likely]] {
      const free_slot next = *b.next++;
      return hand_out(k, c, next, bytes, alignment, caller);
    }
  }
  return allocate_slow(k, bytes, alignment, caller);
}

inline void checked_heap::put_into_ring(checked_cache& k, const slab& s, std::size_t index) noexcept
{
  bin& b = k.bins[s.size_class];
  if (b.tail == b.stop && !make_room(k, s.size_class)) [[unlikely]] return;  // no ring: the slot rests until trim()
  *b.tail++ = free_slot{s.slot(index), s.records + index};
  k.clock += b.step;
}

// The claim is won and what had to be seen was seen: the slot becomes poison, as far as it is none yet, and waits.
inline void checked_heap::complete_free(checked_cache& k, const slab& s, std::size_t index, std::size_t bytes,
                                        std::uint64_t freed_word) noexcept
{
  static_assert(encode(slot_state::poisoned, 0, 0) == (encode(slot_state::freed, 0, 0) | poisoned_bit));
  record& r = s.records[index];
  write_poison(s.slot(index), s.slot_bytes, bytes, k.poison);
  r.free_thread.store(k.thread, std::memory_order_relaxed);
  r.word.store(freed_word | poisoned_bit, std::memory_order_release);
  k.counts.count_free(bytes);
  put_into_ring(k, s, index);
}

inline void checked_heap::complete_claimed_free(checked_cache& k, const slab& s, std::size_t index, std::size_t bytes,
                                                std::uint64_t freed_word) noexcept
{
  if (behind_intact(s.slot(index), bytes, s.slot_bytes, k.poison)) [[likely]] {
    complete_free(k, s, index, bytes, freed_word);
  } else {
    complete_damaged_free(k, s, index, bytes, freed_word);
  }
}

inline bool checked_heap::deallocate(checked_cache& k, void* p, std::size_t bytes, std::size_t alignment,
                                     const void* caller) noexcept
{
  look_at_peak(k);
  region* const found = region_of(p);
  std::uint32_t trace = 0;
  if (found != nullptr && owns(*found) && encodable(bytes, alignment)) [[likely]] {
    auto& s = static_cast<slab&>(*found);
    auto* const slot = static_cast<std::byte*>(p);
    const auto [index, exact] = s.slot_at(static_cast<std::size_t>(slot - s.base));
    if (exact) [[likely]] {
      record& r = s.records[index];
      if (k.free_frames != 0) {
        __builtin_prefetch(&r, 1);  // both arrive while the stack is looked at
        __builtin_prefetch(slot, 1);
        trace = capture_stack(k.free_frames, caller);
      }
      const std::uint64_t freed = make_word(encode(slot_state::freed, bytes, alignment), trace);
      if (claim(k, s, r.word, make_word(encode(slot_state::live, bytes, alignment), 0), freed)) [[likely]] {
        complete_claimed_free(k, s, index, bytes, freed);
        return true;
      }
    }
  }
  return deallocate_slow(k, p, bytes, alignment, trace, caller);
}

}  // namespace gpa::detail
