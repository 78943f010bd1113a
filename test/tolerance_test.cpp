// How much free memory a heap keeps, by what it gave back too early.
#define BOOST_TEST_MODULE tolerance
#include "blocks/tolerance.hpp"

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <cstdint>

namespace {

using gpa::detail::tolerance;

constexpr std::size_t mib = std::size_t{1} << 20;

std::int64_t now = 0;  // milliseconds
std::int64_t test_clock() noexcept { return now; }

struct fixture {
  tolerance t{test_clock};

  fixture() { now = 1'000'000; }

  // 100 MiB are given back, and come again MiB by MiB, so many milliseconds apart; the first after `pause`.
  void burst(std::int64_t pause, std::int64_t apart)
  {
    t.note_given_back(100 * mib);
    now += pause;
    for (std::size_t i = 0; i != 100; ++i) {
      t.note_need(mib, 0);
      t.note_less(0);
      now += apart;
    }
  }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(at_first_nothing_is_tolerated, fixture)
{
  BOOST_TEST(!t.tolerates());
  BOOST_TEST(t.allowed(5 * mib, 90 * mib) == 5 * mib);
  t.note_need(10 * mib, 0);  // but nothing was given back
  BOOST_TEST(!t.tolerates());
}

BOOST_FIXTURE_TEST_CASE(what_is_needed_again_at_once_is_tolerated_and_a_quarter_more, fixture)
{
  burst(500, 0);
  BOOST_TEST(t.allowed(5 * mib, 90 * mib) == 130 * mib);
}

BOOST_FIXTURE_TEST_CASE(what_is_needed_after_more_than_a_second_was_a_burst, fixture)
{
  burst(1'001, 0);
  BOOST_TEST(!t.tolerates());
}

BOOST_FIXTURE_TEST_CASE(it_may_take_ten_seconds_to_come_back_once_it_has_begun, fixture)
{
  burst(0, 100);  // ten seconds
  BOOST_TEST(t.allowed(5 * mib, 100 * mib) == 130 * mib);
  BOOST_TEST(t.allowed(5 * mib, 100 * mib) == 130 * mib);
}

BOOST_FIXTURE_TEST_CASE(but_what_a_program_grows_by_long_after_is_not_what_it_gave_back, fixture)
{
  t.note_given_back(100 * mib);
  for (int i = 0; i != 100; ++i) {
    t.note_need(mib, 0);
    now += 999;
  }
  BOOST_TEST(t.added_to(0) <= 15 * mib);
}

BOOST_FIXTURE_TEST_CASE(no_more_than_was_given_back, fixture)
{
  burst(0, 0);
  for (int i = 0; i != 100; ++i) t.note_need(mib, 0);
  BOOST_TEST(t.allowed(5 * mib, 100 * mib) == 130 * mib);
}

BOOST_FIXTURE_TEST_CASE(a_second_that_does_not_use_it_ends_it, fixture)
{
  burst(0, 0);
  BOOST_TEST(t.allowed(5 * mib, 100 * mib) == 130 * mib);
  now += 1'001;
  BOOST_TEST(t.allowed(5 * mib, 100 * mib) == 130 * mib);  // the burst was part of it
  t.note_less(70 * mib);
  now += 1'001;
  BOOST_TEST(t.allowed(5 * mib, 100 * mib) == 5 * mib + 30 * mib + 30 * mib / 4);
  now += 1'001;
  BOOST_TEST(t.allowed(5 * mib, 100 * mib) == 5 * mib);
  BOOST_TEST(!t.tolerates());
}

BOOST_FIXTURE_TEST_CASE(a_pause_is_no_such_second, fixture)
{
  burst(0, 0);
  now += 60'000;
  t.note_less(0);  // the next burst
  BOOST_TEST(t.allowed(5 * mib, 100 * mib) == 130 * mib);
}

BOOST_FIXTURE_TEST_CASE(forgetting_is_forgetting, fixture)
{
  burst(0, 0);
  t.forget();
  BOOST_TEST(!t.tolerates());
  t.note_need(10 * mib, 0);
  BOOST_TEST(!t.tolerates());
}
