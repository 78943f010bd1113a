#define BOOST_TEST_MODULE leak_twins
#include "leak_twins.hpp"

#include "support/not_run.hpp"
#include "trace/depot.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace {

using namespace gpa::detail;

[[gnu::noinline]] std::uintptr_t here()
{
  return reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
}

struct two_calls {
  std::uintptr_t one;
  std::uintptr_t other;
};
[[gnu::noinline]] two_calls on_one_line()
{
  const two_calls all{here(), here()};
  return all;
}

std::array<std::byte, 100> memory;

// As a scan finds it: `n` says where its first block lies, and how much there is of everything.
leak_group group(std::uintptr_t address, std::size_t n, bool is_owned = false)
{
  leak_group g;
  g.first.address = memory.data() + n;
  g.first.trace = depot_intern(std::array{address}, 0);
  g.last = memory.data() + 50 + n;
  g.own = {.blocks = n, .bytes = 10 * n};
  g.owned = {.blocks = 2 * n, .bytes = 30 * n};
  g.is_owned = is_owned;
  return g;
}

}  // namespace

// Two places within one call instruction, as two copies of a call that a compiler made have two.
BOOST_AUTO_TEST_CASE(groups_that_read_the_same_are_one_with_the_sums_of_both)
{
#if !GPA_HAVE_LIBDW
  gpa::test::not_run_here("without libdw no line is known");
  return;
#endif
  const std::uintptr_t place = here();
  list_of<leak_group> groups = {group(place, 5), group(place - 1, 3)};
  merge_twins(groups);
  BOOST_TEST_REQUIRE(groups.size() == 1u);
  BOOST_TEST(groups[0].first.address == memory.data() + 3);
  BOOST_TEST(groups[0].last == memory.data() + 55);
  BOOST_TEST(groups[0].own.blocks == 8u);
  BOOST_TEST(groups[0].own.bytes == 80u);
  BOOST_TEST(groups[0].owned.blocks == 16u);
  BOOST_TEST(groups[0].owned.bytes == 240u);
  groups = {group(place, 3), group(place - 1, 5)};
  merge_twins(groups);
  BOOST_TEST_REQUIRE(groups.size() == 1u);
  BOOST_TEST(groups[0].last == memory.data() + 55);
}

BOOST_AUTO_TEST_CASE(others_stay_apart)
{
  const auto [one, other] = on_one_line();
  const std::uintptr_t elsewhere = here();
  list_of<leak_group> groups = {group(one, 5), group(other, 4), group(elsewhere, 3)};  // other columns, another line
  merge_twins(groups);
  BOOST_TEST(groups.size() == 3u);
  groups = {group(one, 5), group(one - 1, 3, true)};  // an owner and what is owned
  merge_twins(groups);
  BOOST_TEST(groups.size() == 2u);
}
