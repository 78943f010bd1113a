#define BOOST_TEST_MODULE address_stock
#include "checked/address_stock.hpp"

#include "os/pages.hpp"
#include "support/mappings.hpp"
#include "support/resident.hpp"

#include <boost/test/unit_test.hpp>
#include <sys/mman.h>

#include <cstddef>
#include <cstring>
#include <set>
#include <vector>

namespace {

using namespace gpa::detail;
using namespace gpa::test;

constexpr std::size_t mib = std::size_t{1} << 20;
constexpr std::size_t bytes = 3 * granule_size;

struct fixture {
  address_stock stock;
  std::vector<std::byte*> taken;

  std::byte* take_and_touch()
  {
    std::byte* const p = stock.take(bytes);
    BOOST_TEST_REQUIRE(p != nullptr);
    BOOST_TEST_REQUIRE(open_pages(p, bytes));
    std::memset(p, 1, page_size);
    taken.push_back(p);
    return p;
  }
  void close(std::byte* p)
  {
    BOOST_TEST_REQUIRE(close_pages(p, bytes));
    stock.note_closed(p, bytes);
  }
  ~fixture()
  {
    stock.release();
    for (std::byte* const p : taken) unmap_pages(p, bytes);
  }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(no_address_is_given_twice_and_none_is_accessible, fixture)
{
  std::set<std::byte*> seen;
  for (int i = 0; i != 1000; ++i) {  // three reserves
    std::byte* const p = stock.take(bytes);
    BOOST_TEST_REQUIRE(p != nullptr);
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(p) % granule_size == 0u);
    BOOST_TEST(!is_accessible(p));
    const auto above = seen.lower_bound(p);
    BOOST_TEST((above == seen.end() || *above >= p + bytes));
    BOOST_TEST((above == seen.begin() || *std::prev(above) + bytes <= p));
    seen.insert(p);
    taken.push_back(p);
  }
}

BOOST_FIXTURE_TEST_CASE(what_it_gives_at_most_grows, fixture)
{
  BOOST_TEST(stock.largest() == 16 * mib);
  taken.push_back(stock.take(bytes));
  BOOST_TEST(stock.largest() == 32 * mib);
}

BOOST_FIXTURE_TEST_CASE(tables_of_what_is_closed_go, fixture)
{
  if (sanitized) return;  // shadow memory has tables too
  const std::size_t before = status_kib("VmPTE");
  for (int i = 0; i != 10'000; ++i) close(take_and_touch());  // 1.8 GiB
  BOOST_TEST(status_kib("VmPTE") < before + 400);
}

BOOST_FIXTURE_TEST_CASE(neither_open_nor_forgotten_ranges_are_touched, fixture)
{
  std::vector<std::byte*> kept;
  for (int i = 0; i != 5'000; ++i) {
    std::byte* const p = take_and_touch();
    if (i % 50 == 0) {
      kept.push_back(p);  // open
      continue;
    }
    close(p);
    if (i % 50 != 1) continue;
    stock.note_forgotten(p, bytes);  // and given to somebody else
    unmap_pages(p, bytes);
    BOOST_TEST_REQUIRE(::mmap(p, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
                              0) == static_cast<void*>(p));
    *p = std::byte{1};
    kept.push_back(p);
  }
  for (const std::byte* const p : kept) BOOST_TEST((is_accessible(p) && *p == std::byte{1}));
}

BOOST_FIXTURE_TEST_CASE(ranges_longer_than_what_is_counted_are_skipped, fixture)
{
  for (int i = 0; i != 20; ++i) static_cast<void>(take_and_touch());
  while (stock.largest() < 256 * mib) {
    const std::size_t most = stock.largest();
    std::byte* const p = stock.take(most);
    BOOST_TEST_REQUIRE(p != nullptr);
    BOOST_TEST(!is_accessible(p));
    stock.note_closed(p, most);
    stock.note_forgotten(p, most);
    unmap_pages(p, most);
    close(take_and_touch());
  }
}

// What was left of a reserve that was too small for the next range, too.
BOOST_AUTO_TEST_CASE(what_was_never_handed_out_is_unmapped_in_the_end)
{
  if (sanitized) return;  // shadow memory has addresses too
  const std::size_t before = status_kib("VmSize");
  address_stock stock;
  while (stock.largest() < 512 * mib) {
    const std::size_t most = stock.largest() - granule_size;  // the fourth leaves four granules, and so on
    std::byte* const p = stock.take(most);
    BOOST_TEST_REQUIRE(p != nullptr);
    unmap_pages(p, most);
  }
  stock.release();
  BOOST_TEST(status_kib("VmSize") < before + 100);
}
