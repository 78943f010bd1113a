#define BOOST_TEST_MODULE page_map
#include "blocks/page_map.hpp"

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <cstdint>
#include <random>

namespace {

using namespace gpa::detail;

constexpr std::size_t granule = 65'536;

std::byte* at(std::uintptr_t value)
{
  return reinterpret_cast<std::byte*>(value);
}

struct made : region {
  made(std::uintptr_t begin, std::size_t granules)
  {
    base = at(begin);
    bytes = granules * granule;
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(any_value_may_be_asked_for)
{
  for (unsigned n = 0; n != 64; ++n) {
    const std::uintptr_t power = std::uintptr_t{1} << n;
    for (const std::uintptr_t value : {power - 1, power, power + 1, ~power, ~std::uintptr_t{0} - power})
      BOOST_TEST(region_of(at(value)) == nullptr);
  }
  std::mt19937_64 random(7);
  std::size_t found = 0;
  for (int i = 0; i != 1'000'000; ++i)
    if (region_of(at(random())) != nullptr) ++found;
  BOOST_TEST(found == 0u);
}

BOOST_AUTO_TEST_CASE(a_region_is_found_from_each_of_its_addresses_and_from_no_other)
{
  made r(0x1234'5678'0000, 3);
  BOOST_REQUIRE(enter_region(r));
  for (const std::uintptr_t offset :
       {std::uintptr_t{0}, std::uintptr_t{1}, granule - 1, granule, 2 * granule, 3 * granule - 1})
    BOOST_TEST(region_of(r.base + offset) == &r);
  BOOST_TEST(region_of(r.base - 1) == nullptr);
  BOOST_TEST(region_of(r.base + 3 * granule) == nullptr);
  BOOST_TEST(region_of(at(0x1234'5678'0000 + (std::uintptr_t{1} << 47))) == nullptr);  // the same low bits
  BOOST_TEST(region_of(at(0x1234'5678'0000 + (std::uintptr_t{1} << 48))) == nullptr);
  BOOST_TEST(region_of(at(0x1234'5678'0000 + (std::uintptr_t{1} << 32))) == nullptr);
  clear_region(r);
  for (std::size_t i = 0; i != 3; ++i) BOOST_TEST(region_of(r.base + i * granule) == nullptr);
}

BOOST_AUTO_TEST_CASE(a_region_may_lie_across_leaves)
{
  constexpr std::uintptr_t edge = std::uintptr_t{0x2345} << 32;
  made r(edge - 2 * granule, 2 * granule + 5);  // a whole leaf and a bit of each neighbour
  BOOST_REQUIRE(enter_region(r));
  for (const std::uintptr_t address : {edge - 2 * granule, edge - 1, edge, edge + (std::uintptr_t{1} << 32) - 1,
                                       edge + (std::uintptr_t{1} << 32), edge - 2 * granule + r.bytes - 1})
    BOOST_TEST(region_of(at(address)) == &r);
  BOOST_TEST(region_of(at(edge - 2 * granule - 1)) == nullptr);
  BOOST_TEST(region_of(at(edge - 2 * granule + r.bytes)) == nullptr);
  clear_region(r);
  BOOST_TEST(region_of(at(edge - 1)) == nullptr);
  BOOST_TEST(region_of(at(edge)) == nullptr);
  BOOST_TEST(region_of(at(edge + (std::uintptr_t{1} << 32))) == nullptr);
}

BOOST_AUTO_TEST_CASE(the_first_and_the_last_granule_of_user_space_have_an_entry)
{
  made first(0, 1);
  made last((std::uintptr_t{1} << 47) - granule, 1);
  BOOST_REQUIRE(enter_region(first));
  BOOST_REQUIRE(enter_region(last));
  BOOST_TEST(region_of(nullptr) == &first);
  BOOST_TEST(region_of(at((std::uintptr_t{1} << 47) - 1)) == &last);
  BOOST_TEST(region_of(at(std::uintptr_t{1} << 47)) == nullptr);
  clear_region(first);
  clear_region(last);
  BOOST_TEST(region_of(nullptr) == nullptr);
}

BOOST_AUTO_TEST_CASE(neighbours_do_not_disturb_each_other)
{
  made a(0x3000'0000'0000, 2);
  made b(0x3000'0000'0000 + 2 * granule, 1);
  BOOST_REQUIRE(enter_region(a));
  BOOST_REQUIRE(enter_region(b));
  BOOST_TEST(region_of(b.base - 1) == &a);
  BOOST_TEST(region_of(b.base) == &b);
  clear_region(a);
  BOOST_TEST(region_of(b.base - 1) == nullptr);
  BOOST_TEST(region_of(b.base) == &b);
  clear_region(b);
  BOOST_TEST(region_of(b.base) == nullptr);
}

BOOST_AUTO_TEST_CASE(an_address_is_the_next_regions_once_the_one_before_is_cleared)
{
  made before(0x3100'0000'0000, 4);
  made after(0x3100'0000'0000 + granule, 1);
  BOOST_REQUIRE(enter_region(before));
  clear_region(before);
  BOOST_REQUIRE(enter_region(after));
  BOOST_TEST(region_of(after.base) == &after);
  BOOST_TEST(region_of(after.base + granule) == nullptr);
  clear_region(after);
}

BOOST_AUTO_TEST_CASE(a_region_inside_another_is_found_first_and_the_outer_one_again_after_it)
{
  made outer(0x3200'0000'0000, 8);
  made inner(0x3200'0000'0000 + 2 * granule, 3);
  made innermost(0x3200'0000'0000 + 3 * granule, 1);
  for (region* const r : {&outer, &inner, &innermost}) BOOST_REQUIRE(enter_region(*r));
  BOOST_TEST(region_of(outer.base) == &outer);
  BOOST_TEST(region_of(inner.base) == &inner);
  BOOST_TEST(region_of(innermost.base) == &innermost);
  BOOST_TEST(region_of(inner.base + 3 * granule) == &outer);
  clear_region(innermost);
  BOOST_TEST(region_of(innermost.base) == &inner);
  clear_region(inner);
  for (std::size_t i = 0; i != 8; ++i) BOOST_TEST(region_of(outer.base + i * granule) == &outer);
  clear_region(outer);
  for (std::size_t i = 0; i != 8; ++i) BOOST_TEST(region_of(outer.base + i * granule) == nullptr);
}

BOOST_AUTO_TEST_CASE(an_outer_region_that_goes_first_does_not_come_back)
{
  made outer(0x3300'0000'0000, 4);
  made inner(0x3300'0000'0000 + granule, 2);
  BOOST_REQUIRE(enter_region(outer));
  BOOST_REQUIRE(enter_region(inner));
  clear_region(outer);
  BOOST_TEST(region_of(outer.base) == nullptr);
  BOOST_TEST(region_of(inner.base) == &inner);
  clear_region(inner);
  for (std::size_t i = 0; i != 4; ++i) BOOST_TEST(region_of(outer.base + i * granule) == nullptr);
}

// As an upstream may give them that maps with a hint, where the CPU has five levels of page tables.
BOOST_AUTO_TEST_CASE(addresses_from_two_to_the_47_on_are_refused)
{
  made across(0x7FFF'FFFE'0000, 3);
  made beyond(0x8000'0000'0000, 1);
  made far_beyond(0xFF'0000'0000'0000, 1);
  for (region* const r : {&across, &beyond, &far_beyond}) BOOST_TEST(!enter_region(*r));
  BOOST_TEST(region_of(across.base) == nullptr);
}
