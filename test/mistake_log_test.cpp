#define BOOST_TEST_MODULE mistake_log
#include "profile/mistake_log.hpp"

#include <boost/test/unit_test.hpp>

#include <cstddef>

namespace {

using gpa::mistake;
using gpa::detail::mistake_log;

gpa::report numbered(mistake kind, std::size_t n)
{
  gpa::report r;
  r.kind = kind;
  r.bytes = n;
  return r;
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_there_is_no_place_for_is_counted_mistakes_and_leaks_alike)
{
  mistake_log log;
  for (std::size_t n = 0; n != mistake_log::most_mistakes + 3; ++n) log.add(numbered(mistake::double_free, n));
  for (std::size_t n = 0; n != mistake_log::most_leaks + 5; ++n) log.add_leak(numbered(mistake::leak, n));
  std::size_t missing = 0;
  const auto all = log.copy(missing);
  BOOST_TEST(missing == 8u);
  BOOST_TEST_REQUIRE(all.size() == mistake_log::most_mistakes + mistake_log::most_leaks);
  for (std::size_t n = 0; n != all.size(); ++n) {
    const bool is_leak = n >= mistake_log::most_mistakes;
    if (all[n].kind != (is_leak ? mistake::leak : mistake::double_free) ||
        all[n].bytes != (is_leak ? n - mistake_log::most_mistakes : n))
      BOOST_FAIL("number " << n);
  }
}

BOOST_AUTO_TEST_CASE(only_the_last_look_for_leaks_counts)
{
  mistake_log log;
  log.add(numbered(mistake::overflow, 1));
  for (std::size_t n = 0; n != mistake_log::most_leaks + 5; ++n) log.add_leak(numbered(mistake::leak, n));
  log.forget_leaks();
  log.add_leak(numbered(mistake::leak, 7));
  std::size_t missing = 1;
  const auto all = log.copy(missing);
  BOOST_TEST(missing == 0u);
  BOOST_TEST_REQUIRE(all.size() == 2u);
  BOOST_TEST(all[0].kind == mistake::overflow);
  BOOST_TEST(all[1].bytes == 7u);
}
