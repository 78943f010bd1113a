#define BOOST_TEST_MODULE bits
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>

#include "base/bits.hpp"

using namespace gpa::detail;

BOOST_AUTO_TEST_CASE(rounding_gives_the_nearest_multiple_and_keeps_multiples)
{
  bool right = true;
  for (std::size_t unit = 1; unit <= 256; unit *= 2) {
    for (std::size_t value = 0; value != 1024; ++value) {
      const std::size_t down = round_down(value, unit);
      const std::size_t up = round_up(value, unit);
      right = right && down % unit == 0 && down <= value && value - down < unit;
      right = right && up % unit == 0 && up >= value && up - value < unit;
    }
  }
  BOOST_TEST(right);
  static_assert(round_down(~std::uint64_t{0}, 65'536) == 0xFFFF'FFFF'FFFF'0000);
  static_assert(round_up(std::uint32_t{0xFFFF'0001}, 2) == 0xFFFF'0002);
}

BOOST_AUTO_TEST_CASE(logarithms_bracket_their_value)
{
  bool right = true;
  for (std::uint64_t value = 1; value != 5000; ++value) {
    const unsigned down = log2_down(value);
    const unsigned up = log2_up(value);
    right = right && (1ull << down) <= value && value < (2ull << down) && value <= (1ull << up);
    right = right && up - down == (is_power_of_two(value) ? 0u : 1u);
  }
  BOOST_TEST(right);
  static_assert(log2_down(~std::uint64_t{0}) == 63 && log2_up(~std::uint64_t{0}) == 64 && log2_up(1u) == 0);
}

BOOST_AUTO_TEST_CASE(zero_is_no_power_of_two)
{
  static_assert(!is_power_of_two(0u) && is_power_of_two(1u) && !is_power_of_two(3u) && is_power_of_two(1ull << 63));
}

BOOST_AUTO_TEST_CASE(addresses_are_as_aligned_as_their_lowest_bit)
{
  alignas(64) static const char bytes[65] = {};
  BOOST_TEST(is_aligned(bytes, 64));
  BOOST_TEST(is_aligned(bytes + 32, 32));
  BOOST_TEST(!is_aligned(bytes + 32, 64));
  BOOST_TEST(is_aligned(bytes + 33, 1));
  BOOST_TEST(address(bytes + 64) - address(bytes) == 64u);
}
