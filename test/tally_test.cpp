// What a tally says to others while its thread is in the middle of counting. Moments between two instructions: the race
// in stats_test meets them once in many runs.
#define BOOST_TEST_MODULE tally
#include "blocks/tally.hpp"

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <cstdint>

using gpa::detail::tally;

BOOST_AUTO_TEST_CASE(what_is_due_is_never_counted)
{
  tally t;
  t.set_due(0, 3);
  for (std::uint64_t n = 0; n != 2; ++n) {
    BOOST_TEST(t.allocated_blocks() == n);
    BOOST_TEST(!t.is_due());
    BOOST_TEST(t.count_allocation_unless_due(8));
  }
  BOOST_TEST(t.is_due());
  BOOST_TEST(!t.count_allocation_unless_due(8));
  BOOST_TEST(t.allocated_blocks() == 2u);  // another's tally counts it before this one goes on
  BOOST_TEST(t.is_due());
  t.set_next_due(3);
  BOOST_TEST(t.allocated_blocks() == 2u);
  BOOST_TEST(t.count_allocation_unless_due(8));
  BOOST_TEST(t.allocated_blocks() == 3u);
  BOOST_TEST(t.live_bytes() == 24);
}

// Between the hot path and the careful one a limit may be set, and refuse it.
BOOST_AUTO_TEST_CASE(what_was_due_and_refused_is_due_again)
{
  tally t;
  t.set_due(0, 2);
  BOOST_TEST(t.count_allocation_unless_due(8));
  BOOST_TEST(!t.count_allocation_unless_due(8));
  t.refuse_due();
  BOOST_TEST(t.allocated_blocks() == 1u);
  BOOST_TEST(t.is_due());
  BOOST_TEST(!t.count_allocation_unless_due(8));
  BOOST_TEST(t.allocated_blocks() == 1u);
  t.set_next_due(5);
  t.refuse_due();  // nothing was met
  BOOST_TEST(t.allocated_blocks() == 1u);
  BOOST_TEST(!t.is_due());
  tally unpicked;
  unpicked.refuse_due();
  BOOST_TEST(unpicked.allocated_blocks() == 0u);
}

BOOST_AUTO_TEST_CASE(the_next_due_may_be_set_before_anything_was_refused)
{
  tally t;
  t.set_due(0, 1);
  BOOST_TEST(t.is_due());
  t.set_next_due(2);
  BOOST_TEST(t.allocated_blocks() == 0u);
  BOOST_TEST(t.count_allocation_unless_due(8));
  BOOST_TEST(t.is_due());
}

BOOST_AUTO_TEST_CASE(between_the_two_stores_of_a_new_due_too_few_are_counted_never_too_many)
{
  for (std::uint64_t gap = 1; gap != 9; ++gap) {
    tally t;
    t.set_due(0, gap);
    for (std::uint64_t n = 1; n != gap; ++n) static_cast<void>(t.count_allocation_unless_due(1));
    static_cast<void>(t.count_allocation_unless_due(1));
    t.since_due.store(0 - std::uint64_t{5});  // the first of the two
    BOOST_TEST(static_cast<std::int64_t>(t.allocated_blocks()) <= static_cast<std::int64_t>(gap - 1));
  }
}

BOOST_AUTO_TEST_CASE(nothing_is_due_where_nothing_is_picked)
{
  tally t;
  BOOST_TEST(t.allocated_blocks() == 0u);
  for (std::uint64_t n = 1; n != 100; ++n) {
    BOOST_TEST(t.count_allocation_unless_due(8));
    BOOST_TEST(t.allocated_blocks() == n);
  }
  t.count_free(8);
  BOOST_TEST(t.live_blocks() == 98);
}
