#define BOOST_TEST_MODULE segment_stock
#include "blocks/segment_stock.hpp"

#include "os/pages.hpp"

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <utility>
#include <vector>

namespace {

constexpr std::size_t granule = 65'536;

// Segments of which one page is there.
std::vector<std::byte*> touched_segments(std::size_t count)
{
  std::vector<std::byte*> all(count);
  for (std::byte*& each : all) {
    each = static_cast<std::byte*>(gpa::detail::map_pages(gpa::detail::stock_segment, granule));
    *each = std::byte{0x41};
  }
  return all;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_open_stock_gives_the_newest_and_keeps_four)
{
  using namespace gpa::detail;
  empty_stocks();
  const std::vector<std::byte*> all = touched_segments(6);
  for (std::byte* const each : all) put_into(stock::open, each);
  BOOST_TEST(!is_readable(all[0], 1));
  BOOST_TEST(!is_readable(all[1], 1));
  for (std::size_t i = 6; i != 2; --i) {
    std::byte* const taken = take_from(stock::open);
    BOOST_TEST(taken == all[i - 1]);
    BOOST_TEST((*taken == std::byte{0x41}));
    unmap_pages(taken, stock_segment);
  }
  BOOST_TEST(take_from(stock::open) == nullptr);
}

BOOST_AUTO_TEST_CASE(the_open_stock_keeps_two_segments_of_two_mib_and_one_of_four)
{
  using namespace gpa::detail;
  empty_stocks();
  for (const auto& [bytes, most] : {std::pair{2 * stock_segment, 2}, std::pair{4 * stock_segment, 1}}) {
    BOOST_TEST(has_place_for(stock::open, bytes));
    BOOST_TEST(!has_place_for(stock::closed, bytes));
    std::vector<std::byte*> all;
    for (int i = 0; i != most + 1; ++i) all.push_back(static_cast<std::byte*>(map_pages(bytes, granule)));
    for (std::byte* const each : all) put_into(stock::open, each, bytes);
    BOOST_TEST(!is_readable(all[0], 1));
    BOOST_TEST(take_from(stock::open) == nullptr);
    for (int i = most; i != 0; --i) {
      std::byte* const taken = take_from(stock::open, bytes);
      BOOST_TEST(taken == all[static_cast<std::size_t>(i)]);
      unmap_pages(taken, bytes);
    }
    BOOST_TEST(take_from(stock::open, bytes) == nullptr);
  }
  BOOST_TEST(!has_place_for(stock::open, 8 * stock_segment));
  BOOST_TEST(!has_place_for(stock::open, granule));
}

BOOST_AUTO_TEST_CASE(the_closed_stock_gives_the_oldest_and_never_the_newest)
{
  using namespace gpa::detail;
  empty_stocks();
  const std::vector<std::byte*> all = touched_segments(4);
  for (std::byte* const each : all) {
    put_into(stock::closed, each);
    BOOST_TEST(!is_readable(each, 1));
  }
  BOOST_TEST(take_from(stock::open) == nullptr);
  for (std::size_t i = 0; i != 3; ++i) {
    std::byte* const taken = take_from(stock::closed);
    BOOST_TEST(taken == all[i]);
    BOOST_TEST((*taken == std::byte{0x41}));
    unmap_pages(taken, stock_segment);
  }
  BOOST_TEST(take_from(stock::closed) == nullptr);
  empty_stocks();
}
