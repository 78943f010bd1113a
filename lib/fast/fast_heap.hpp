// The heap that forgets: no record, no check. A free believes what it is told, so a double free, a wrong size or a
// foreign pointer is undefined here, as with every fast allocator. Blocks and bytes are counted, nothing else.
//
//    fast_cache     a thread's arrays of free slots             no lock, no atomic read-modify-write
//       |  batches of at most 64 slots
//    slabs          one free bit a slot; lowest address first   a lock for each class, once a batch
//       |
//    span_cache     granules of 64 KiB, melted when free        a lock of its own; blocks above 32 KiB come from here
//       |
//    supply         the system, or a user's upstream
//
// Slots leave a slab in the order of their addresses, whatever the order they were freed in, so what a program
// allocates one after the other lies side by side. The class of a block follows from the arguments of its free: its
// slab is looked up when the slot leaves the thread, never before.
//
// What it costs: one bit and, while a thread keeps it, eight bytes a slot; a slab a class for each thread, while 12 MiB of
// them are not exceeded; an empty slab stays if it is the only one of its class with free slots.
//
// Thread-safe; a cache belongs to one thread at a time.
#pragma once

#include "base/attributes.hpp"
#include "base/bits.hpp"
#include "base/mutex.hpp"
#include "blocks/owner.hpp"
#include "blocks/supply.hpp"
#include "fast/fast_cache.hpp"
#include "fast/span_cache.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace gpa::detail {

class fast_heap {
 public:
  // Threads that refill at once seldom do so for the same class. With one lock for all, two threads slept for it some six
  // times in 100 000 pairs of bench/'s churn each (strace), which was a fifth of the time.
  struct alignas(32) class_slabs {  // two a line
    small_mutex lock;
    std::atomic<std::uint16_t> used_lately{0};        // slots - free, when some were last put; at most `many`
    std::uint16_t owners GPA_GUARDED_BY(lock) = 0;    // caches that had a slab made for themselves; of threads that run
    span* with_free GPA_GUARDED_BY(lock) = nullptr;   // slabs with free slots
    std::size_t slots GPA_GUARDED_BY(lock) = 0;       // of all slabs
    std::size_t free GPA_GUARDED_BY(lock) = 0;        // of these, those with no thread

    void list(span& s) noexcept GPA_REQUIRES(lock);
    void unlist(span& s) noexcept GPA_REQUIRES(lock);
    /// A slot becomes free in a word before the cursor; if it is the slab's first, the slab is listed.
    GPA_NOINLINE void lower_cursor(span& s, std::uint32_t word) noexcept GPA_REQUIRES(lock);
    /// Without a block; it is unlisted and no more counted.
    void remove(span& s) noexcept GPA_REQUIRES(lock);
    void add(span& s) noexcept GPA_REQUIRES(lock);
    [[nodiscard]] span* slab_with_free(const fast_cache& k) noexcept GPA_REQUIRES(lock);

    static constexpr std::size_t many = 0xFFFF;
  };
  static_assert(sizeof(class_slabs) == 32);

  /// `classes`: one for each size class, or none for a heap that nobody calls.
  fast_heap(owner& o, supply& s, std::span<class_slabs> classes) noexcept
      : owner_(o), spans_(o, s), supply_(s), classes_(classes)
  {}
  ~fast_heap() { release(); }
  fast_heap(const fast_heap&) = delete;
  fast_heap& operator=(const fast_heap&) = delete;

  /// Huge pages from this segment on: 15 MiB are held by then, and rounding up to 2 MiB costs an eighth of it at most.
  static constexpr std::size_t least_huge = std::size_t{16} << 20;

  /// Requests below this are for the two functions that follow.
  static constexpr std::size_t quick_below = 1025;
  /// Calls nothing, so its caller needs no frame. Null, or false, with nothing done: left to the functions below.
  [[nodiscard]] static void* allocate_quick(fast_cache& k, std::size_t& bytes, std::size_t alignment) noexcept;
  [[nodiscard]] static bool deallocate_quick(fast_cache& k, void* p, std::size_t bytes, std::size_t alignment) noexcept;

  /// As these, for requests from there on, and the same alignments; of fewer bytes null, or false.
  [[nodiscard]] static void* allocate_coarse(fast_cache& k, std::size_t& bytes) noexcept;
  [[nodiscard]] static bool deallocate_coarse(fast_cache& k, void* p, std::size_t bytes) noexcept;

  /// As these, for alignments of 32 and more, whatever the bytes.
  [[nodiscard]] static void* allocate_over_aligned(fast_cache& k, std::size_t& bytes, std::size_t alignment) noexcept;
  [[nodiscard]] static bool deallocate_over_aligned(fast_cache& k, void* p, std::size_t bytes,
                                                    std::size_t alignment) noexcept;

  /// Null when memory is refused, nothing changed. `alignment` is a power of two.
  [[nodiscard]] void* allocate(fast_cache& k, std::size_t bytes, std::size_t alignment) noexcept;
  void deallocate(fast_cache& k, void* p, std::size_t bytes, std::size_t alignment) noexcept;
  /// Makes the block that large where it stands, if there is room. Nothing is counted.
  [[nodiscard]] bool resize(fast_cache& k, void* p, std::size_t old_bytes, std::size_t new_bytes,
                            std::size_t alignment) noexcept;

  /// Its thread has ended: fewer slots may lie free from now on.
  void leave(fast_cache& k) noexcept;
  /// As flush(), and its arrays go.
  void empty(fast_cache& k) noexcept;
  /// What the cache keeps goes to the slabs.
  void flush(fast_cache& k) noexcept;
  /// Gives back what is free, whole pages within slabs too. What caches keep is not free.
  void trim() noexcept;
  /// After deinit(), all caches flushed: as trim(), and from now on nothing free is kept.
  void bury() noexcept;
  /// A free after bury().
  void free_buried(void* p) noexcept;
  /// Gives everything back; caches must be reset by their owner.
  void release() noexcept;
  static void reset_cache(fast_cache& k) noexcept;
  /// Of a thread that is lost in the child of a fork, and may have been in the middle of replacing an array: what it had is
  /// not used again, nor given back.
  void lose_arrays(fast_cache& k) noexcept;
  /// The arrays of a cache go whose heap is gone, or is about to.
  static void free_arrays(fast_cache& k) noexcept;

  [[nodiscard]] std::size_t held_bytes() const noexcept { return spans_.held_bytes(); }
  void lock_for_fork() noexcept;
  void unlock_after_fork() noexcept;
  /// Asserts what slabs and spans promise; no other thread may be inside.
  void check() noexcept;

 private:
  /// Of ours, or null.
  [[nodiscard]] span* span_of(const void* p, region_kind kind) const noexcept
  {
    region* const r = region_of(p);
    return r != nullptr && r->owner == &owner_ && r->kind == kind ? static_cast<span*>(r) : nullptr;
  }
  /// If it is a slab of `ours` and this class; else null.
  [[nodiscard]] static span* as_slab(region* r, const owner* ours, unsigned c) noexcept
  {
    const unsigned both = static_cast<unsigned>(region_kind::fast_slab) | c << 8;  // one comparison for two bytes
    if (r == nullptr || r->owner != ours || (static_cast<unsigned>(r->kind) | unsigned{r->size_class} << 8) != both)
      return nullptr;
    return static_cast<span*>(r);
  }
  static constexpr std::size_t much_free = std::size_t{8} << 20;
  static constexpr std::size_t most_for_owners = std::size_t{12} << 20;
  static constexpr std::ptrdiff_t much_in_arrays = std::ptrdiff_t{16} << 20;
  [[nodiscard]] GPA_NOINLINE bool refill(fast_cache& k, unsigned c) noexcept;
  GPA_NOINLINE void make_room(fast_cache& k, unsigned c) noexcept;
  [[nodiscard]] bool grow_array(fast_cache& k, unsigned c) noexcept;
  [[nodiscard]] bool may_keep(const fast_cache& k, std::size_t more, bool large) const noexcept;
  /// Of `capacity` slots; what is kept must fit. False: no memory for it.
  [[nodiscard]] bool replace_array(fast_cache& k, unsigned c, std::uint32_t capacity) noexcept;
  GPA_NOINLINE void shrink_balanced_arrays(fast_cache& k, span*& emptied) noexcept;
  void note_no_arrays(fast_cache& k) noexcept;
  /// What is in the array leaves it, and it holds few from now on.
  void make_frugal(fast_bin& b, unsigned c) noexcept;
  void end_frugality(fast_bin& b, std::uint32_t wanted) noexcept;
  void put_oldest(fast_bin& b, std::uint32_t count, span*& emptied) noexcept;
  [[nodiscard]] std::uint32_t take_slots(fast_cache& k, unsigned c, void** end, std::uint32_t wanted,
                                         bool from_others) noexcept;
  [[nodiscard]] std::uint32_t take_from(span& s, void** end, std::uint32_t count, std::uint32_t enough) noexcept;
  void put_slots(void* const* slots, std::size_t count) noexcept;
  void put_slots(void* const* slots, std::size_t count, span*& emptied) noexcept;
  [[nodiscard]] std::size_t put_slots_of(unsigned c, void* const* slots, std::size_t count, span*& emptied) noexcept;
  [[nodiscard]] bool put_run(class_slabs& all, unsigned c, void* const* slots, span*& emptied) noexcept
      GPA_REQUIRES(all.lock);
  [[nodiscard]] GPA_NOINLINE std::size_t put_each(class_slabs& all, unsigned c, void* const* slots, std::size_t count,
                                                  span*& emptied) noexcept GPA_REQUIRES(all.lock);
  template <class FindRegion>
  [[nodiscard]] std::size_t put_each_of(FindRegion region_at, class_slabs& all, unsigned c, void* const* slots,
                                        std::size_t count, span*& emptied) noexcept GPA_REQUIRES(all.lock);
  GPA_NOINLINE void remove_emptied(class_slabs& all, span& s, span*& emptied) noexcept GPA_REQUIRES(all.lock);
  void put_all(fast_bin& b) noexcept;
  GPA_NOINLINE void delete_empty_slabs() noexcept;
  [[nodiscard]] void* take_large(fast_cache& k, std::size_t bytes, std::size_t alignment) noexcept;
  void put_large(fast_cache& k, void* p) noexcept;
  void put_all_large(fast_cache& k) noexcept;
  /// Whether what lies free in slabs, and was used before, is more than a burst should leave: a quarter of what is live, or
  /// 8 MiB, and a slab for every further thread that has its own of a class (12 MiB at most).
  [[nodiscard]] bool much_is_free() const noexcept;
  [[nodiscard]] span* new_slab(unsigned c) noexcept;
  [[nodiscard]] span* new_slab_of(unsigned c, std::size_t bytes) noexcept;
  void delete_slabs(span* first) noexcept;

  void add_slab(span& s, fast_cache& k) noexcept;
  /// Calls `visit(class_slabs&)` for each class that ever had a slab: of a resource that lives shortly, a few.
  template <class Visit>
  void for_each_made(Visit&& visit) noexcept;
  [[nodiscard]] bool may_have_its_own(const class_slabs& all, const span& other) const noexcept
      GPA_REQUIRES(all.lock);
  [[nodiscard]] static bool is_of(const span& s, const fast_cache& k) noexcept
  {
    return s.sole.load(std::memory_order_relaxed) == &k;
  }

  owner& owner_;
  span_cache spans_;
  supply& supply_;
  const std::span<class_slabs> classes_;
  // Apart from what each refill reads. The first two change under the locks of classes: a fork finds them right. The third
  // a fork may find a little off.
  alignas(64) std::atomic<std::size_t> free_in_slabs_{0};  // bytes of free slots that were handed out before
  std::atomic<std::size_t> for_owners_{0};                 // bytes of a slab for each owner of a class but the first
  std::atomic<std::ptrdiff_t> in_arrays_{0};               // bytes of slots that all caches' arrays have room for
  std::atomic<std::uint32_t> with_arrays_{0};              // how many caches have any
  std::array<std::atomic<std::uint64_t>, (class_count + 63) / 64> made_{};  // a bit for each class that had a slab
  std::atomic<bool> own_refused_{false};                   // there was no memory for a slab that somebody might have had
  std::atomic<bool> buried_{false};
};

/// 1, 2, 4, 8 or 16.
inline bool is_quick_alignment(std::size_t alignment) noexcept
{
  std::size_t below = alignment - 1;  // of 0: very much
  asm("" : "+r"(below));              // else clang 14 sees what is meant, and counts all bits
  return below < 16 && (alignment & below) == 0;
}

// Inlined whatever happens: clang 14 would call them, and save five registers of its caller for it.

/// The hottest slot, or null: there is none, or a block that is due for a check is not ours to give.
[[gnu::always_inline]] inline void* pop(fast_cache& k, fast_bin& b, std::size_t& bytes) noexcept
{
  void** const top = b.top;
  if (top == b.base) [[unlikely]] return nullptr;
  if (!k.counts.count_small_allocation_unless_due(bytes)) [[unlikely]] return nullptr;
  void* const p = top[-1];
  b.top = top - 1;
  if (p == nullptr) __builtin_unreachable();
  return p;
}
/// False: there is no place.
[[gnu::always_inline]] inline bool push(fast_cache& k, fast_bin& b, void* p, std::size_t bytes) noexcept
{
  void** const top = b.top;
  if (top == b.end) [[unlikely]] return false;
  k.counts.count_small_free(bytes);
  b.top = top + 1;
  *top = p;
  return true;
}

[[gnu::always_inline]] inline void* fast_heap::allocate_quick(fast_cache& k, std::size_t& bytes,
                                                              std::size_t alignment) noexcept
{
  return is_quick_alignment(alignment) ? pop(k, k.bins[(bytes + 15) >> 4], bytes) : nullptr;
}

[[gnu::always_inline]] inline bool fast_heap::deallocate_quick(fast_cache& k, void* p, std::size_t bytes,
                                                               std::size_t alignment) noexcept
{
  if (alignment > 16) [[unlikely]] return false;
  return push(k, k.bins[(bytes + 15) >> 4], p, bytes);
}

[[gnu::always_inline]] inline void* fast_heap::allocate_coarse(fast_cache& k, std::size_t& bytes) noexcept
{
  if (bytes > small_limit) [[unlikely]] return nullptr;
  fast_bin& b = k.bins[coarse_class(bytes)];  // that of class 0 is empty, and full
  void* const p = pop(k, b, bytes);
  if (p != nullptr && b.top != b.base) __builtin_prefetch(b.top[-1], 1);  // whoever fills one such block may fill another
  return p;
}

[[gnu::always_inline]] inline bool fast_heap::deallocate_coarse(fast_cache& k, void* p, std::size_t bytes) noexcept
{
  if (bytes > small_limit) [[unlikely]] return false;
  return push(k, k.bins[coarse_class(bytes)], p, bytes);
}

/// The class of a block of `bytes` aligned to `alignment`, which is more than 16; class 0 if it has none: its bin is empty,
/// and full.
constexpr unsigned over_aligned_class(std::size_t bytes, std::size_t alignment) noexcept
{
  const std::size_t size = round_up(bytes + (bytes == 0), alignment);  // 0 where there is no such number
  if (size < fast_heap::quick_below) return static_cast<unsigned>(size / 16);
  return size <= small_limit && alignment <= small_alignment ? coarse_class(size) : 0;
}

[[gnu::always_inline]] inline void* fast_heap::allocate_over_aligned(fast_cache& k, std::size_t& bytes,
                                                                     std::size_t alignment) noexcept
{
  if ((alignment & (alignment - 1)) != 0) [[unlikely]] return nullptr;
  return pop(k, k.bins[over_aligned_class(bytes, alignment)], bytes);
}

[[gnu::always_inline]] inline bool fast_heap::deallocate_over_aligned(fast_cache& k, void* p, std::size_t bytes,
                                                                      std::size_t alignment) noexcept
{
  return push(k, k.bins[over_aligned_class(bytes, alignment)], p, bytes);
}

}  // namespace gpa::detail
