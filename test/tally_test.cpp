// What is counted, across the ends of the words that count it; and what a tally says to others meanwhile.
#define BOOST_TEST_MODULE tally
#include "blocks/tally.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>

using gpa::detail::counted;
using gpa::detail::counting_word;
using gpa::detail::earlier_counts;
using gpa::detail::small_limit;
using gpa::detail::tally;

namespace {

constexpr std::uint64_t until_full = std::uint64_t{1} << 22;  // allocations, of a tally where nothing is picked

void check(const counted& seen, std::uint64_t blocks, std::uint64_t bytes)
{
  BOOST_TEST(seen.blocks == blocks);
  BOOST_TEST(seen.bytes == bytes);
}

[[nodiscard]] bool counts(tally& t, std::size_t bytes)
{
  const std::size_t before = bytes;
  const bool counted = t.count_small_allocation_unless_due(bytes);
  if (bytes != before) BOOST_FAIL(before << " bytes became " << bytes);
  return counted;
}

// As a heap does: what the hot path refuses is allocated by another way.
void allocate(tally& t, std::size_t bytes)
{
  if (!counts(t, bytes)) t.count_allocation(bytes);
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_is_due_is_never_counted)
{
  tally t;
  t.set_due(3);
  for (std::uint64_t n = 0; n != 2; ++n) {
    check(t.allocated(), n, 8 * n);
    BOOST_TEST(!t.is_due());
    BOOST_TEST(counts(t, 8));
  }
  // A limit may refuse it, any number of times.
  for (int refused = 0; refused != 3; ++refused) {
    BOOST_TEST(t.is_due());
    BOOST_TEST(!counts(t, 8));
    check(t.allocated(), 2, 16);  // another's tally counts it before this one goes on
  }
  t.set_due(3);
  check(t.allocated(), 2, 16);
  BOOST_TEST(!t.is_due());
  BOOST_TEST(counts(t, 8));
  check(t.allocated(), 3, 24);
  BOOST_TEST(t.live().bytes == 24);
}

BOOST_AUTO_TEST_CASE(the_very_next_may_be_due)
{
  tally t;
  t.set_due(1);
  BOOST_TEST(t.is_due());
  BOOST_TEST(!counts(t, 8));
  t.set_due(2);  // the one that was due is not picked after all
  BOOST_TEST(!t.is_due());
  t.count_allocation(8);
  BOOST_TEST(t.is_due());
  check(t.allocated(), 1, 8);
}

BOOST_AUTO_TEST_CASE(one_is_due_far_behind_the_end_of_a_word)
{
  for (const std::uint64_t gap : {until_full - 1, until_full, until_full + 1, 2 * until_full, 2 * until_full + 1, 3 * until_full + 7}) {
    tally t;
    t.set_due(gap);
    for (std::uint64_t n = 1; n != gap; ++n) {
      if (t.is_due()) BOOST_FAIL("due after " << n << " of " << gap);
      allocate(t, 16);
    }
    BOOST_TEST(t.is_due());
    BOOST_TEST(!counts(t, 16));
    check(t.allocated(), gap - 1, 16 * (gap - 1));
  }
}

BOOST_AUTO_TEST_CASE(nothing_is_due_where_nothing_is_picked)
{
  tally t;
  t.set_due(tally::never);
  std::uint64_t refused = 0;
  for (std::uint64_t n = 0; n != 3 * until_full; ++n) {
    if (t.is_due()) BOOST_FAIL("due after " << n);
    if (counts(t, small_limit)) continue;
    ++refused;
    check(t.allocated(), n, small_limit * n);
    t.count_allocation(small_limit);
    check(t.allocated(), n + 1, small_limit * (n + 1));
  }
  BOOST_TEST(refused == 3u);  // that is what beginning anew costs
  check(t.allocated(), 3 * until_full, small_limit * 3 * until_full);
}

// Of the fast heap: a free that leaves the hot path looks at the word, or the allocation that begins anew does.
BOOST_AUTO_TEST_CASE(frees_are_counted_across_the_end_of_their_word)
{
  constexpr std::uint64_t room = std::uint64_t{1} << 20;  // in the arrays of a thread, and more
  tally t;
  t.set_due(tally::never);
  std::uint64_t freed = 0;
  for (std::uint64_t n = 0; n != 6 * until_full; ++n) {
    allocate(t, small_limit);
    t.count_small_free(small_limit);
    ++freed;
    if (n % (2 * until_full) == 0)
      for (std::uint64_t more = 0; more != room; ++more, ++freed) t.count_small_free(small_limit);
    if (n % (3 * until_full) == until_full) t.settle_frees();
  }
  check(t.freed(), freed, small_limit * freed);
  BOOST_TEST(t.live().blocks == static_cast<std::int64_t>(6 * until_full) - static_cast<std::int64_t>(freed));
}

// Of the checked heap: both words end now and then.
BOOST_AUTO_TEST_CASE(settled_words_count_on)
{
  tally t;
  std::uint64_t n = 0;
  for (; n != 5 * until_full; ++n) {
    t.count_small_allocation(17);
    t.count_small_free(16);
    if (n % 4096 == 0) t.settle();
  }
  check(t.allocated(), n, 17 * n);
  check(t.freed(), n, 16 * n);
  BOOST_TEST(t.live().blocks == 0);
  BOOST_TEST(t.live().bytes == static_cast<std::int64_t>(n));
}

// One thread allocates, another one frees.
BOOST_AUTO_TEST_CASE(settled_words_count_on_where_only_one_of_them_ends)
{
  tally in;
  tally out;
  std::uint64_t n = 0;
  for (; n != 5 * until_full; ++n) {
    in.count_small_allocation(17);
    out.count_small_free(17);
    if (n % 4096 != 0) continue;
    in.settle();
    out.settle();
  }
  check(in.allocated(), n, 17 * n);
  check(in.freed(), 0, 0);
  check(out.allocated(), 0, 0);
  check(out.freed(), n, 17 * n);
  BOOST_TEST(in.live().bytes == static_cast<std::int64_t>(17 * n));
  BOOST_TEST(out.live().bytes == -static_cast<std::int64_t>(17 * n));
}

BOOST_AUTO_TEST_CASE(large_blocks_and_resizes_are_counted_to_the_byte)
{
  constexpr std::size_t large = std::size_t{1} << 46;
  tally t;
  t.set_due(tally::never);
  t.count_allocation(large);
  t.count_allocation(small_limit);
  t.count_allocation(small_limit + 1);
  check(t.allocated(), 3, large + 2 * small_limit + 1);
  t.count_resize(large, large + 5);
  check(t.allocated(), 3, large + 2 * small_limit + 6);
  t.count_resize(large + 5, 1);
  t.count_free(1);
  t.count_free(small_limit + 1);
  check(t.freed(), 2, large + 4 + 1 + small_limit + 1);
  BOOST_TEST(t.live().blocks == 1);
  BOOST_TEST(t.live().bytes == static_cast<std::int64_t>(small_limit));
  t.free_all();
  BOOST_TEST(t.live().blocks == 0);
  BOOST_TEST(t.live().bytes == 0);
  t.count_allocation(10);
  BOOST_TEST(t.live().bytes == 10);
}

// An upstream that is asked for the block's memory may have used the resource meanwhile.
BOOST_AUTO_TEST_CASE(what_is_due_may_be_counted_after_all_and_the_next_is_due)
{
  tally t;
  t.set_due(1);
  t.count_allocation(8);
  check(t.allocated(), 1, 8);
  BOOST_TEST(t.is_due());
  BOOST_TEST(!counts(t, 8));
  check(t.allocated(), 1, 8);
}

BOOST_AUTO_TEST_CASE(a_thread_that_is_lost_as_it_meets_the_end_leaves_a_block_that_is_not_counted)
{
  tally t;
  t.set_due(2);
  t.count_allocation(100);
  t.count_small_allocation(8);  // and does not look
  BOOST_TEST(t.allocated().blocks == 1u);
  t.repair();
  BOOST_TEST(t.allocated().blocks == 1u);
  BOOST_TEST(t.is_due());
  BOOST_TEST(t.live().blocks == 1);
  t.set_due(tally::never);
  t.count_allocation(100);
  BOOST_TEST(t.allocated().blocks == 2u);
}

// A moment between two instructions of the hot path; a fork makes it last.
BOOST_AUTO_TEST_CASE(a_block_that_met_the_end_is_counted_by_nobody)
{
  std::atomic<std::uint64_t> word{counting_word::first << counting_word::blocks_shift};
  earlier_counts before;
  before.begin_anew(word, counting_word::end - 2, before.with(word));
  word += counting_word::one_of(100);
  check(before.with(word), 1, 100);
  word += counting_word::one_of(0);
  BOOST_TEST(counting_word::is_beyond_end(word));
  check(before.with(word), 1, 100);
  word -= counting_word::one_of(0);
  BOOST_TEST(!counting_word::is_beyond_end(word));
  check(before.with(word), 1, 100);
}

// The word begins anew all the time: who reads sees what was counted at some moment of the reading.
BOOST_AUTO_TEST_CASE(others_see_what_was_counted_at_one_moment)
{
  tally t;
  t.set_due(3);
  std::atomic<std::uint64_t> done{0};
  std::atomic<std::uint64_t> begun{0};
  std::atomic<bool> stop{false};
  std::thread counting([&] {
    constexpr std::array<std::uint64_t, 5> gaps{1, 2, 3, 2, 7};
    for (std::uint64_t n = 0; !stop.load(std::memory_order_relaxed); ++n) {
      begun.store(n + 1, std::memory_order_release);
      while (!counts(t, 16)) t.set_due(gaps[n % gaps.size()] + 1);
      done.store(n + 1, std::memory_order_release);
    }
  });
  std::uint64_t last = 0;
  for (int n = 0; n != 200'000; ++n) {
    const std::uint64_t least = done.load(std::memory_order_acquire);
    const counted seen = t.allocated();
    std::atomic_thread_fence(std::memory_order_acquire);
    const std::uint64_t most = begun.load(std::memory_order_acquire);
    if (seen.blocks < least || seen.blocks < last || seen.blocks > most)
      BOOST_FAIL(seen.blocks << " blocks seen, of " << least << " to " << most << ", " << last << " before");
    if (seen.bytes / 16 < seen.blocks || seen.bytes / 16 > seen.blocks + 1)
      BOOST_FAIL(seen.bytes << " bytes seen in " << seen.blocks << " blocks");
    last = seen.blocks;
  }
  stop = true;
  counting.join();
  BOOST_TEST(last > 0u);
}
