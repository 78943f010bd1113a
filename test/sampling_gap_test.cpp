#define BOOST_TEST_MODULE sampling_gap
#include "sampling.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdint>

namespace {

constexpr int throws = 20'000;

// Of `gap`, in gaps of `n`.
template <class Gap>
double mean(Gap gap, std::uint32_t n)
{
  std::uint32_t dice = 1;
  double sum = 0;
  for (int i = 0; i != throws; ++i) sum += static_cast<double>(gap(dice, n));
  return sum / throws / n;
}

}  // namespace

BOOST_AUTO_TEST_CASE(gaps_are_n_on_average_for_any_n)
{
  for (const std::uint32_t n : {2U, 1'000U, 1'000'000'000U, 3'000'000'000U, ~0U}) {
    BOOST_TEST_CONTEXT(n)
    {
      BOOST_TEST(mean(gpa::detail::sampling_gap, n) > 0.97);
      BOOST_TEST(mean(gpa::detail::sampling_gap, n) < 1.03);
    }
  }
}

// What is left of a gap at any moment: two thirds of one, if long ones are met as often as they are long.
BOOST_AUTO_TEST_CASE(the_first_gap_is_what_is_left_of_one)
{
  for (const std::uint32_t n : {1'000U, 3'000'000'000U}) {
    BOOST_TEST_CONTEXT(n)
    {
      BOOST_TEST(mean(gpa::detail::first_sampling_gap, n) > 0.64);
      BOOST_TEST(mean(gpa::detail::first_sampling_gap, n) < 0.69);
    }
  }
}
