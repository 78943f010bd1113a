#define BOOST_TEST_MODULE sampled_range
#include "blocks/sampled_range.hpp"

#include "os/pages.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace {

using namespace gpa::detail;

struct runs {
  std::size_t open = open_runs_of_sampled_range();
  std::size_t closed = closed_runs_of_sampled_range();
};

void expect(std::size_t open, std::size_t closed)
{
  const runs now;
  BOOST_TEST(now.open == open);
  BOOST_TEST(now.closed == closed);
}

// Three that lie side by side, behind everything that was taken before.
std::array<std::byte*, 3> neighbours(std::size_t bytes)
{
  std::array<std::byte*, 3> all;
  for (std::byte*& p : all) {
    p = take_sampled_range(bytes, granule_size);
    BOOST_TEST_REQUIRE(p != nullptr);
  }
  BOOST_TEST_REQUIRE((all[1] == all[0] + bytes && all[2] == all[1] + bytes));
  return all;
}

}  // namespace

// Each is a mapping that the kernel counts, and there is a limit on those: may_close() in large_ranges.cpp.
BOOST_AUTO_TEST_CASE(runs_of_free_granules_are_counted_where_ranges_come_and_go)
{
  BOOST_TEST_REQUIRE(sampled_range_end() != 0u);
  for (const std::size_t bytes : {granule_size, 3 * granule_size}) {
    for (const given_back as : {given_back::closed, given_back::untouched}) {
      const bool closed = as == given_back::closed;
      std::byte* const before = take_sampled_range(granule_size, granule_size);  // so that the first has no free neighbour
      BOOST_TEST_REQUIRE(before != nullptr);
      const runs begin;
      const auto [a, b, c] = neighbours(bytes);
      expect(begin.open, begin.closed);  // of what is free behind them only the beginning moved
      give_back_sampled_range(b, bytes, as);
      expect(begin.open + (closed ? 0 : 1), begin.closed + (closed ? 1 : 0));
      give_back_sampled_range(a, bytes, as);  // one run with it
      expect(begin.open + (closed ? 0 : 1), begin.closed + (closed ? 1 : 0));
      give_back_sampled_range(c, bytes, as);  // one with what lies behind, which is enough to be closed
      expect(begin.open, begin.closed);
    }
  }
}

BOOST_AUTO_TEST_CASE(ranges_are_inaccessible_aligned_and_none_overlaps_another)
{
  for (const std::size_t alignment : {granule_size, 4 * granule_size, 64 * granule_size}) {
    std::array<std::byte*, 20> all;
    for (std::byte*& p : all) {
      p = take_sampled_range(3 * granule_size, alignment);
      BOOST_TEST_REQUIRE(p != nullptr);
      BOOST_TEST(reinterpret_cast<std::uintptr_t>(p) % alignment == 0u);
      BOOST_TEST(!is_readable(p, 1));
      for (std::byte* const* other = all.data(); other != &p; ++other)
        BOOST_TEST((*other + 3 * granule_size <= p || p + 3 * granule_size <= *other));
    }
    for (std::byte* const p : all) give_back_sampled_range(p, 3 * granule_size, given_back::closed);
  }
}

BOOST_AUTO_TEST_CASE(what_was_given_back_is_the_last_to_be_used_again)
{
  std::byte* const first = take_sampled_range(granule_size, granule_size);
  give_back_sampled_range(first, granule_size, given_back::closed);
  for (int i = 0; i != 100; ++i) {
    std::byte* const p = take_sampled_range(granule_size, granule_size);
    BOOST_TEST(p > first);
    give_back_sampled_range(p, granule_size, given_back::closed);
  }
}
