// Threads that take from one span cache at the same moment.
#define BOOST_TEST_MODULE span_races
#include "fast/span_cache.hpp"

#include "support/race.hpp"
#include "support/resident.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>

namespace {

using namespace gpa::detail;
using gpa::test::rounds;

class quiet_owner final : public owner {
 public:
  void tell(gpa::report) noexcept override {}
  void heartbeat() noexcept override {}
};

}  // namespace

// Each asks the system, as none finds anything. A slab in a segment of its own would be one in a huge page of its own.
BOOST_AUTO_TEST_CASE(threads_that_begin_at_the_same_moment_share_one_segment)
{
  constexpr unsigned threads = 8;
  quiet_owner owner;
  supply from_system{nullptr};
  std::optional<span_cache> pages;
  std::array<span*, threads> taken{};
  std::size_t apart = 0;
  gpa::test::race(
      threads, static_cast<std::size_t>(rounds(500)), [&] { pages.emplace(owner, from_system); },
      [&](unsigned self) { taken[self] = pages->take(granule_size, granule_size, region_kind::fast_slab); },
      [&] {
        BOOST_TEST_REQUIRE(std::count(taken.begin(), taken.end(), nullptr) == 0);
        if (!std::all_of(taken.begin(), taken.end(), [&](const span* s) { return s->home == taken[0]->home; })) ++apart;
        BOOST_TEST(pages->held_bytes() == threads * granule_size);
        pages->check();
        for (span* const s : taken) pages->put(*s);
        pages.reset();
      });
  BOOST_TEST(apart == 0u);
}
