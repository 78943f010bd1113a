// gpa::resource: a std::pmr::memory_resource that finds leaks, double frees, mismatched and wild frees, overflows and
// writes after free, with the call stacks of everybody involved. The only header most users include.
//
//   gpa::resource r;
//   std::pmr::vector<std::pmr::string> names(&r);
#pragma once

#include <gpa/default_resource.hpp>
#include <gpa/export.hpp>
#include <gpa/ignore_scope.hpp>
#include <gpa/options.hpp>
#include <gpa/report.hpp>
#include <gpa/stack_trace.hpp>
#include <gpa/statistics.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <new>
#include <string_view>

namespace gpa {

class snapshot;
struct traced_memory;

namespace detail {
class core;

// What a call needs first. `id` is what thread caches compare: never reused, changed whenever hot paths must look
// again, dead_id once the resource is dead. `way` is where every thread has its cache, if it has one, counted from the
// thread pointer. `birth` names the resource in the registry for ever.
inline constexpr std::uint64_t dead_id = ~std::uint64_t{0x7E};
struct front {
  std::atomic<std::uint64_t> id{dead_id};
  std::ptrdiff_t way = 0;
  detail::core* heart = nullptr;
  std::uint64_t birth = 0;
};

[[nodiscard]] const front* front_of(const std::pmr::memory_resource& r) noexcept;

// Destroyed after memory_resource's part: makes the dead object answer late calls instead of calling into nothing.
class GPA_EXPORT afterlife {
 protected:
  constexpr afterlife() noexcept = default;
  ~afterlife();
};
}  // namespace detail

/// A memory resource that remembers every block it handed out. Neither copyable nor movable: containers hold its
/// address.
///
/// allocate(bytes, alignment): any number of bytes, 0 too, up to 2^47 - 2^20; an alignment that is a power of two.
/// Throws std::bad_alloc, nothing changed, where memory or the limit is refused, or the alignment is none (reported).
/// O(1); for a block above 32 KiB, or when a size needs another slab, the system or the upstream may be asked for
/// memory. deallocate() never throws: where blocks are checked, a call that cannot be right is reported, and no block
/// is harmed; of unchecked ones it is undefined. is_equal() says yes to this object and to what allocator() hands out.
///
/// Thread-safe unless `options::thread_safe` is false; construction and destruction are not. No function of a resource
/// is async-signal-safe, as malloc and free are not: a signal handler calls none. (Only the capture of call stacks
/// copes with being interrupted.)
class GPA_EXPORT resource final : private detail::afterlife, public std::pmr::memory_resource {
 public:
  /// Default options over gpa::page_resource().
  ///
  /// This and the next three: `b` is build::release where the calling file has NDEBUG, and decides what
  /// `options::checks` leaves open. They ask nothing of the upstream before the first allocation. Throw std::bad_alloc.
  /// O(1).
  resource(build b = build_of_this_file);
  /// Takes user memory from `upstream` (null = gpa::page_resource()), in multiples of 64 KiB aligned to 64 KiB at
  /// least. It must outlive this object. Whatever it throws becomes std::bad_alloc.
  explicit resource(std::pmr::memory_resource* upstream, build b = build_of_this_file);
  /// `o` is copied. A quarantine (1 TiB at most), a frame count, poison or a name beyond its range is brought into it: see
  /// options().
  explicit resource(const gpa::options& o, build b = build_of_this_file);
  /// Both.
  resource(const gpa::options& o, std::pmr::memory_resource* upstream, build b = build_of_this_file);

  /// deinit() if nobody called it, so what is live and what was written to is reported. Blocks still live stay readable
  /// until freed, unless a user's upstream owns them. Never throws. O(held bytes). No other thread may be inside.
  ~resource() override;

  resource(const resource&) = delete;
  resource& operator=(const resource&) = delete;

  /// A resource of its own on the heap lies in memory of gpa's, so that a call after its `delete` is reported as use after
  /// deinit as well, until 256 more were deleted. Arrays of resources, and objects that contain one, do not. Throws
  /// std::bad_alloc. O(resources on the heap / 63). Thread-safe.
  static void* operator new(std::size_t bytes);
  static void* operator new(std::size_t bytes, const std::nothrow_t& nothrow) noexcept;
  static void* operator new(std::size_t /*bytes*/, void* place) noexcept { return place; }
  /// Any other form, with an alignment or of the program's own if that is declared before this header, is the global
  /// one.
  template <class First, class... Rest>
  static void* operator new(std::size_t bytes, First&& first, Rest&&... rest)
  {
    return ::operator new(bytes, static_cast<First&&>(first), static_cast<Rest&&>(rest)...);
  }
  static void operator delete(void* p) noexcept;
  static void operator delete(void* p, const std::nothrow_t& nothrow) noexcept;
  static void operator delete(void* /*p*/, void* /*place*/) noexcept {}

  /// The options in effect, every default decided; the limit is memory_limit()'s to tell. Never throws. O(1). Thread-safe.
  [[nodiscard]] const gpa::options& options() const noexcept;

  /// Where user memory comes from; never null. Never throws. O(1). Thread-safe.
  [[nodiscard]] std::pmr::memory_resource* upstream_resource() const noexcept;

  /// An allocator whose target outlives this object while its blocks are live, so that a free that comes too late
  /// is reported instead of undefined; then, and over a user's upstream from the end of this object, it stays until 128
  /// more resources have ended empty. Compares equal to this resource. Never throws. O(1). Thread-safe.
  template <class T = std::byte>
  [[nodiscard]] std::pmr::polymorphic_allocator<T> allocator() noexcept
  {
    return std::pmr::polymorphic_allocator<T>(target());
  }

  /// Reports what is live, grouped by call stack; checks every guard byte and all poison, as verify() does, and reports
  /// what was written to; gives back every page without a live block.
  ///
  /// `leak` if anything is live that is not ignored, suppressed or known (README, "Known leaks"), nor inherited over a
  /// fork (but with follow_fork=1); else `misuse` if any mistake was reported, else `ok`. A second call returns the first
  /// verdict and prints nothing.
  ///
  /// Whatever is still live, from then on verify() and detect_leaks() return 0, trim() does nothing and snapshots are
  /// empty. Allocating and try_resize() are refused, and reported as use after deinit. A free is reported so too, and
  /// carried out unless a user's upstream has the memory back.
  /// Never throws. O(held bytes). No other thread may be inside.
  [[nodiscard]] check deinit() noexcept;

  /// Reports what is live now: one report for each call stack of blocks that no other live block points at, with the
  /// count of those that they lead to. Returns how many blocks, of both kinds; those that do not count for
  /// deinit() are left out. 0 means none.
  /// Never throws. O(pages + bytes of live blocks). Thread-safe, also while others allocate and free.
  std::size_t detect_leaks() noexcept;

  /// A snapshot of the counters. Never throws. O(threads that used it). Thread-safe.
  [[nodiscard]] statistics stats() const noexcept;

  /// Limits the sum of the bytes users hold, as they asked for them; gpa::unlimited lifts it. Inclusive and exact. A
  /// limit below what is live is allowed: nothing is taken away, and the next allocation fails.
  /// Never throws. O(threads that used it), as is each allocation while there is a limit. Thread-safe.
  void set_memory_limit(std::size_t bytes) noexcept;
  /// Bytes; gpa::unlimited when there is none. Never throws. O(1). Thread-safe.
  [[nodiscard]] std::size_t memory_limit() const noexcept;

  /// Grows or shrinks a block where it stands. True: from now on it must be freed with `new_bytes`. False: nothing
  /// changed. A wrong `old_bytes` or `alignment` is reported as the free would be.
  /// Never throws. O(bytes). Thread-safe.
  [[nodiscard]] bool try_resize(void* p, std::size_t old_bytes, std::size_t new_bytes,
                                std::size_t alignment = alignof(std::max_align_t)) noexcept;

  /// As allocate(), but null instead of an exception; an alignment that is no power of two, and a call after deinit(), are
  /// reported. Never throws. O(1). Thread-safe.
  [[nodiscard]] void* try_allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) noexcept;

  /// Checks every guard byte and all poison (see `options::poison_bytes`) now and reports what was written to, each block
  /// once. Returns the mistakes found.
  /// Never throws. O(held bytes). Thread-safe, also while others allocate and free.
  std::size_t verify() noexcept;

  /// Gives free pages back to the operating system. Before that it checks every guard byte and all poison, as verify()
  /// does, and reports what was written to. The quarantine of the calling thread ends, and of threads that have ended.
  /// What they kept without checks goes back as well. Until then free memory of up to 32 MiB, or a quarter of what is
  /// held where that is more, stays for the next allocations; with checks, pages on which a block is in quarantine stay
  /// too, and over an upstream of yours what checked blocks were in. That of a burst that came again within a second stays
  /// until a second without it is over and something is freed that the thread's cache has no place for: an idle process
  /// keeps it. Memory that waits for resources to come goes back, too. Never throws. O(held bytes),
  /// without checks O(pages). Thread-safe.
  void trim() noexcept;

  /// Frees every block at once without calling anything a leak, and gives back all memory: the first MiB to resources
  /// to come, without checks up to seven. No guard byte and no poison is looked at. Every pointer into the resource is
  /// invalid afterwards. Never throws. O(pages). No other thread may be inside.
  void release() noexcept;

  /// Marks a live block as meant to stay: no leak report lists it, nor what can be reached from it by pointers. It may
  /// still be freed.
  /// A pointer that is no live block of this resource is reported as invalid pointer; of blocks that are not
  /// checked nothing is known, and nothing happens. Never throws. O(1). Thread-safe.
  void ignore(const void* p) noexcept;

  // Who holds the memory; <gpa/snapshot.hpp> has the types.

  /// What is live now, counted by call stack, tag and size class; with `options::profile` also what was. With
  /// `checks::never()` there is nothing to tell.
  /// Allocates from the global heap; throws std::bad_alloc. O(pages + blocks), with `options::profile` O(sites).
  /// Thread-safe, also while others allocate and free: what they do meanwhile may be counted or not.
  [[nodiscard]] snapshot take_snapshot() const;

  /// Bytes that users hold now, and the most they did since reset_peak(). Never throws. O(threads that used it).
  /// Thread-safe.
  [[nodiscard]] traced_memory traced() const noexcept;
  /// From now on peaks are those to come: statistics::peak_bytes and peak_blocks, and those of sites. Never throws.
  /// O(threads that used it + sites). Thread-safe.
  void reset_peak() noexcept;

  /// Where the live block at `p` was allocated; empty if none of this resource's starts there, or it is not checked.
  /// Any value is allowed: `p` is never followed. Never throws. O(1). Thread-safe.
  [[nodiscard]] stack_trace origin(const void* p) const noexcept;

  /// Writes the JSON document that gpa-report and other tools read (lib/report_schema.json in gpa's sources): totals,
  /// sites, mistakes, with modules and build ids, so that it can be named elsewhere. The file is complete or not there:
  /// written beside its place and moved.
  /// Throws std::system_error, whose text names the file, and std::bad_alloc. O(sites * frames) and more where names
  /// are looked up. Thread-safe, also while others allocate and free.
  void write_report(std::string_view file) const;

 private:
  friend const detail::front* detail::front_of(const std::pmr::memory_resource& r) noexcept;
  void* do_allocate(std::size_t bytes, std::size_t alignment) override;
  void do_deallocate(void* p, std::size_t bytes, std::size_t alignment) override;
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override;

  [[nodiscard]] std::pmr::memory_resource* target() noexcept;

  detail::front front_;
};

}  // namespace gpa
