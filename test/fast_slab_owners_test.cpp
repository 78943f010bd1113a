// Without checks: whose slabs a thread takes slots from, and what lies free for that.
#define BOOST_TEST_MODULE fast_slab_owners
#include "blocks/page_map.hpp"
#include "fast/fast_heap.hpp"

#include "support/child.hpp"
#include "support/fast_heaps.hpp"
#include "support/suspects.hpp"

#include <boost/test/unit_test.hpp>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <random>
#include <set>
#include <thread>
#include <vector>

namespace {

using gpa::detail::fast_cache;
using gpa::detail::fast_heap;
using gpa::detail::granule_size;
using gpa::test::recording_upstream;
using fixture = gpa::test::fast_heaps;

const void* maker_of(const void* p) { return gpa::detail::region_of(p)->sole.load(); }

struct taken {
  fast_heap& heap;
  fast_cache& cache;
  std::size_t bytes;
  std::vector<std::byte*> blocks{};

  void more(std::size_t count)
  {
    for (std::size_t i = 0; i != count; ++i) blocks.push_back(fixture::take(heap, cache, bytes));
  }
  [[nodiscard]] std::set<const void*> makers() const
  {
    std::set<const void*> all;
    for (const std::byte* const p : blocks) all.insert(maker_of(p));
    return all;
  }
  void give_all()
  {
    for (std::byte* const p : blocks) fixture::give(heap, cache, p, bytes);
    blocks.clear();
    heap.flush(cache);
  }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(two_threads_never_share_a_slab, fixture)
{
  for (const std::size_t bytes : {16U, 48U, 100U, 500U, 1'024U, 4'000U, 32'768U}) {
    std::array<taken, 2> both{{{pages, k, bytes}, {pages, other, bytes}}};
    for (int round = 0; round != 20; ++round)
      for (taken& t : both) t.more(50);
    BOOST_TEST((both[0].makers() == std::set<const void*>{&k}), bytes);
    BOOST_TEST((both[1].makers() == std::set<const void*>{&other}), bytes);
    // Nor later, when slots of all their slabs are free, but not many slabs' worth.
    std::mt19937 random(1);
    for (int round = 0; round != (bytes <= 500 ? 20 : 0); ++round) {
      for (taken& t : both) {
        std::shuffle(t.blocks.begin(), t.blocks.end(), random);
        for (int i = 0; i != 200; ++i) {
          give(pages, t.cache, t.blocks.back(), bytes);
          t.blocks.pop_back();
        }
        pages.flush(t.cache);
      }
      for (taken& t : both) t.more(200);
    }
    BOOST_TEST((both[0].makers() == std::set<const void*>{&k}), bytes);
    BOOST_TEST((both[1].makers() == std::set<const void*>{&other}), bytes);
    for (taken& t : both) t.give_all();
    pages.check();
  }
}

BOOST_FIXTURE_TEST_CASE(memory_of_a_users_upstream_is_shared, fixture)
{
  std::array<taken, 2> both{{{above, k, 48}, {above, other, 48}}};
  for (int round = 0; round != 5; ++round)
    for (taken& t : both) t.more(50);
  BOOST_TEST((both[0].makers() == both[1].makers()));
  for (taken& t : both) t.give_all();
}

BOOST_FIXTURE_TEST_CASE(what_others_left_free_is_used_before_more_is_asked_for, fixture)
{
  constexpr std::size_t count = 40'000;  // 1.8 MiB: less than is given back
  taken first{pages, k, 48};
  first.more(count);
  std::vector<std::byte*> kept;  // of which each slab stays
  for (std::size_t i = 0; i < count; i += 1'000) kept.push_back(first.blocks[i]);
  for (std::size_t i = 0; i != count; ++i)
    if (i % 1'000 != 0) give(pages, k, first.blocks[i], 48);
  pages.flush(k);
  const std::size_t held = pages.held_bytes();
  taken second{pages, other, 48};
  second.more(count - 3'000);
  BOOST_TEST(pages.held_bytes() <= held + held / 8 + 4 * granule_size);
  BOOST_TEST(second.makers().count(&k) == 1u);
  second.give_all();
  first.blocks = kept;
  first.give_all();
}

BOOST_FIXTURE_TEST_CASE(slabs_of_threads_that_ended_are_used_again, fixture)
{
  constexpr std::size_t threads = 16;
  taken mine{pages, k, 48};
  mine.more(10);
  std::array<fast_cache, threads> ended;
  std::vector<taken> theirs;
  for (fast_cache& cache : ended) theirs.push_back({pages, cache, 48});
  for (taken& t : theirs) t.more(10);
  std::set<const void*> makers;
  for (taken& t : theirs) makers.merge(t.makers());
  BOOST_TEST(makers.size() == threads);
  for (taken& t : theirs) {
    std::byte* const last = t.blocks.back();  // of which its slab stays
    t.blocks.pop_back();
    t.give_all();
    t.blocks.push_back(last);
    pages.leave(t.cache);
  }
  const std::size_t held = pages.held_bytes();
  mine.more((threads - 1) * 1'000);
  BOOST_TEST(pages.held_bytes() <= held + held / 8 + 2 * granule_size);
  mine.give_all();
  for (taken& t : theirs) {
    t.give_all();
    fast_heap::free_arrays(t.cache);
  }
}

#if !GPA_TEST_ASAN && !GPA_TEST_TSAN  // which want memory themselves
BOOST_FIXTURE_TEST_CASE(where_there_is_no_memory_for_an_own_slab_others_have_slots, fixture)
{
  BOOST_TEST(gpa::test::true_in_child([&] {
    std::vector<void*> blocks;
    blocks.reserve(100'000);
    const rlimit none{0, 0};
    if (::setrlimit(RLIMIT_AS, &none) != 0) return false;
    for (void* p = nullptr; (p = pages.allocate(k, 2'048, 8)) != nullptr;) blocks.push_back(p);
    std::size_t free = 0;
    for (std::size_t i = 0; i < blocks.size(); i += 20, ++free) pages.deallocate(k, blocks[i], 2'048, 8);
    pages.flush(k);
    while (free != 0 && pages.allocate(other, 2'048, 8) != nullptr) --free;
    pages.check();
    return blocks.size() > 20 && free == 0 && pages.allocate(other, 2'048, 8) == nullptr;
  }));
}
#endif

// Undefined for the user, yet other blocks stay whole: each slot goes back to the slab it lies in.
BOOST_FIXTURE_TEST_CASE(slots_of_two_classes_in_one_batch_go_to_their_own_slabs, fixture)
{
  taken small{pages, k, 64};
  taken larger{pages, k, 80};
  small.more(30);
  larger.more(30);
  pages.flush(k);
  for (std::size_t i = 0; i != 30; ++i)
    for (std::byte* const p : {small.blocks[i], larger.blocks[i]}) give(pages, k, p, 64);
  pages.flush(k);
  pages.check();
  small.blocks.clear();
  larger.blocks.clear();
  small.more(2'000);
  larger.more(2'000);
  std::set<std::byte*> all;
  for (const taken* t : {&small, &larger})
    for (std::byte* const p : t->blocks) BOOST_REQUIRE(all.insert(p).second);
  small.give_all();
  larger.give_all();
}

// 64 KiB a thread and class are little for a few threads of a few classes.
BOOST_FIXTURE_TEST_CASE(many_threads_with_blocks_of_many_classes_share, fixture)
{
  constexpr std::size_t threads = 64;
  std::vector<fast_cache> caches(threads);
  std::vector<taken> all;
  for (int round = 0; round != 3; ++round) {
    for (fast_cache& cache : caches)
      for (std::size_t bytes = 100; bytes <= 800; bytes += 100) {
        if (round == 0) all.push_back({pages, cache, bytes});
        pages.flush(cache);
      }
    for (taken& t : all) t.more(1);
    BOOST_TEST(pages.held_bytes() <= std::size_t{15} << 20);  // of 32 MiB, had each its own
    pages.check();
  }
  for (taken& t : all) t.give_all();
  for (fast_cache& cache : caches) {
    pages.leave(cache);
    fast_heap::free_arrays(cache);
  }
  pages.check();
}

BOOST_FIXTURE_TEST_CASE(a_refusal_of_an_upstream_is_asked_for_once, fixture)
{
  upstream.refuse(0, recording_upstream::never);
  BOOST_TEST(above.allocate(k, 1'000'000, 8) == nullptr);
  const std::size_t for_a_span = upstream.asked();
  BOOST_TEST(above.allocate(k, 48, 8) == nullptr);
  BOOST_TEST(upstream.asked() <= 2 * for_a_span);
}

// The fork waits for what another thread is doing to a class, and so bits, slabs and their sums agree in the child.
BOOST_FIXTURE_TEST_CASE(a_forked_child_counts_right, fixture)
{
  taken all{pages, other, 400};
  all.more(3'000);
  std::atomic<bool> over{false};
  std::thread another([&] {
    std::mt19937 random(1);
    while (!over.load()) {
      std::shuffle(all.blocks.begin() + 1'000, all.blocks.end(), random);
      for (std::size_t i = 2'000; i != 3'000; ++i) give(pages, other, all.blocks[i], 400);
      pages.flush(other);
      for (std::size_t i = 2'000; i != 3'000; ++i) all.blocks[i] = take(pages, other, 400);
      pages.flush(other);
    }
  });
  const auto fork_now = [&] {
    pages.lock_for_fork();
    const pid_t child = ::fork();
    pages.unlock_after_fork();
    if (child == 0) {
      ::alarm(20);    // a lock that somebody held who is not here
      pages.check();  // aborts
      ::_exit(0);
    }
    int status = -1;
    return child > 0 && ::waitpid(child, &status, 0) == child && status == 0;
  };
  int right = 0;
  for (int i = 0; i != 300; ++i) right += fork_now() ? 1 : 0;
  over = true;
  another.join();
  BOOST_TEST(right == 300);
  all.give_all();
}

// A slab of 18 slots, and one whose last slot comes back twice.
BOOST_FIXTURE_TEST_CASE(a_slab_that_a_single_batch_empties_goes_or_stays_whole, fixture)
{
  for (const std::size_t bytes : {28'672U, 500U}) {
    const std::size_t slots = gpa::detail::slab_size(gpa::detail::size_class(bytes)) / bytes;
    taken two_slabs{pages, k, bytes};
    two_slabs.more(2 * slots);
    pages.flush(k);
    std::byte* const last = two_slabs.blocks.back();
    two_slabs.give_all();
    pages.check();
    if (gpa::detail::region_of(last) != nullptr) pages.free_buried(last);  // twice: undefined, but nothing else is hurt
    pages.check();
    two_slabs.more(2 * slots);
    BOOST_TEST(std::set<std::byte*>(two_slabs.blocks.begin(), two_slabs.blocks.end()).size() == 2 * slots);
    two_slabs.give_all();
  }
}
