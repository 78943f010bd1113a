// The history of call sites where blocks are resized, peaks begin anew, and one block in n is looked at.
#define BOOST_TEST_MODULE history
#include <gpa/resource.hpp>
#include <gpa/snapshot.hpp>

#include "support/sites.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <vector>

namespace {

using gpa::test::site_of;

gpa::options profiled(gpa::checks checks = gpa::checks::always())
{
  return {.checks = checks, .environment = gpa::environment::ignored, .profile = true};
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_a_block_grew_by_is_among_what_was_ever_allocated)
{
  gpa::resource r(profiled());
  void* const p = r.allocate(200'000);
  BOOST_TEST_REQUIRE(r.try_resize(p, 200'000, 200'100));
  BOOST_TEST_REQUIRE(r.try_resize(p, 200'100, 200'050));
  BOOST_TEST(site_of(r, 212'992).total_bytes == 200'100u);
  BOOST_TEST(site_of(r, 212'992).live_bytes == 200'050u);
  BOOST_TEST(r.stats().total_bytes == 200'100u);
  r.deallocate(p, 200'050);
  BOOST_TEST(site_of(r, 212'992).live_bytes == 0u);
}

// As high as the one that was forgotten, but of other sites.
BOOST_AUTO_TEST_CASE(a_peak_that_began_anew_is_of_what_was_live_then)
{
  gpa::resource r(profiled());
  void* const kept = r.allocate(100);
  r.deallocate(r.allocate(5'000), 5'000);
  BOOST_TEST(site_of(r, 5'120).at_peak_bytes == 5'000u);
  r.reset_peak();
  std::array<void*, 5> blocks;
  for (void*& p : blocks) p = r.allocate(1'000);
  for (void* const p : blocks) r.deallocate(p, 1'000);
  BOOST_TEST(r.stats().peak_bytes == 5'100u);
  BOOST_TEST(site_of(r, 112).at_peak_bytes == 100u);
  BOOST_TEST(site_of(r, 1'008).at_peak_bytes == 5'000u);
  BOOST_TEST(site_of(r, 5'120).at_peak_bytes == 0u);
  r.deallocate(kept, 100);
}

BOOST_AUTO_TEST_CASE(a_site_of_which_nothing_is_live_has_no_row)
{
  gpa::resource r(profiled());
  r.deallocate(r.allocate(100), 100);
  BOOST_TEST(r.take_snapshot().sites().size() == 1u);
  BOOST_TEST(r.take_snapshot().statistics(gpa::by::line).empty());
  BOOST_TEST(r.take_snapshot().statistics(gpa::by::size_class).empty());
}

BOOST_AUTO_TEST_CASE(of_a_sampled_resource_the_average_lifetime_is_that_of_the_blocks_looked_at)
{
  using namespace std::chrono;
  gpa::resource r(profiled(gpa::checks::one_in(50)));
  std::vector<void*> blocks(2'000);
  for (void*& p : blocks) p = r.allocate(100);
  const auto born = steady_clock::now();
  while (steady_clock::now() - born < milliseconds(10)) {
  }
  for (void* const p : blocks) r.deallocate(p, 100);
  const gpa::site s = site_of(r, 112);
  BOOST_TEST(s.total_blocks > 0u);
  BOOST_TEST(s.live_blocks == 0u);
  BOOST_TEST(s.average_lifetime() >= 9'990.0);
}
