#define BOOST_TEST_MODULE span_cache
#include "fast/span_cache.hpp"

#include "base/tools.hpp"
#include "os/pages.hpp"

#include "support/resident.hpp"
#include "support/upstreams.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <random>
#include <vector>

namespace {

using gpa::detail::granule_size;
using gpa::detail::region_kind;
using gpa::detail::region_of;
using gpa::detail::span;
using gpa::detail::span_cache;
using gpa::test::recording_upstream;

constexpr std::size_t mega = std::size_t{1} << 20;

class quiet_owner final : public gpa::detail::owner {
 public:
  void tell(gpa::report) noexcept override { ++told; }
  void heartbeat() noexcept override { ++heartbeats; }
  int told = 0;
  int heartbeats = 0;
};

// Time goes on when a case says so.
std::int64_t milliseconds = 0;
std::int64_t test_clock() noexcept { return milliseconds; }
void more_than_a_second_passes() { milliseconds += 1'100; }

struct fixture {
  quiet_owner owner;
  recording_upstream upstream;
  gpa::detail::supply from_system{nullptr};
  gpa::detail::supply from_upstream{&upstream};
  span_cache pages{owner, from_system, test_clock};
  span_cache above{owner, from_upstream, test_clock};

  ~fixture()
  {
    pages.check();
    above.check();
    BOOST_TEST(owner.told == 0);
  }
  static span& take(span_cache& c, std::size_t granules)
  {
    span* const s = c.take(granules * granule_size, granule_size, region_kind::fast_large);
    BOOST_REQUIRE(s != nullptr);
    BOOST_REQUIRE(s->bytes == granules * granule_size);
    return *s;
  }
};

void touch(const span& s)
{
  gpa::detail::tools_open(s.base, s.bytes);
  for (std::size_t at = 0; at < s.bytes; at += 4096) s.base[at] = std::byte{1};
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_span_stands_in_the_page_map_while_it_is_used, fixture)
{
  span& s = take(pages, 3);
  std::byte* const base = s.base;
  for (std::size_t at = 0; at != s.bytes; at += granule_size) BOOST_TEST(region_of(base + at) == &s);
  BOOST_TEST(s.owner == &owner);
  pages.put(s);
  for (std::size_t i = 0; i != 3; ++i) BOOST_TEST(region_of(base + i * granule_size) == nullptr);
}

BOOST_FIXTURE_TEST_CASE(segments_of_a_heap_that_ends_come_with_their_pages_to_the_next, fixture)
{
  gpa::detail::empty_stocks();
  static_cast<void>(take(pages, mega / granule_size));  // the first segment is of one MiB
  const std::byte* const second = take(pages, 1).base;
  BOOST_TEST(pages.held_bytes() == mega + granule_size);
  pages.release();
  BOOST_TEST(pages.held_bytes() == 0U);

  gpa::detail::supply another(nullptr);
  span_cache next(owner, another);
  static_cast<void>(take(next, mega / granule_size));
  BOOST_TEST(take(next, 1).base == second);
  BOOST_TEST(next.held_bytes() == 3 * mega);
  next.check();
  next.trim();
  BOOST_TEST(next.held_bytes() == mega + granule_size);
  next.check();
  next.release();
  gpa::detail::empty_stocks();
}

BOOST_FIXTURE_TEST_CASE(no_huge_page_comes_with_a_segment_to_a_heap_that_did_not_ask_for_one, fixture)
{
  gpa::detail::empty_stocks();
  static_cast<void>(take(pages, mega / granule_size));
  span& large = take(pages, 2 * mega / granule_size);  // huge pages are asked for
  touch(large);
  pages.release();
  gpa::detail::supply another(nullptr, ~std::size_t{0});
  span_cache next(owner, another);
  static_cast<void>(take(next, mega / granule_size));
  span& small = take(next, 1);
  next.trim();
  const std::size_t before = gpa::test::resident_bytes();
  touch(small);
  BOOST_TEST(gpa::test::resident_bytes() - before < mega);
  next.release();
  gpa::detail::empty_stocks();
}

BOOST_FIXTURE_TEST_CASE(what_was_freed_last_is_handed_out_next, fixture)
{
  for (span_cache* const c : {&pages, &above}) {
    span& s = take(*c, 5);
    static_cast<void>(take(*c, 5));
    std::byte* const base = s.base;
    c->put(s);
    BOOST_TEST(take(*c, 5).base == base);
  }
}

BOOST_FIXTURE_TEST_CASE(free_neighbours_melt_in_every_order, fixture)
{
  std::vector<int> order{0, 1, 2, 3};
  do {
    span_cache c(owner, from_system);
    std::vector<span*> spans;
    for (const std::size_t granules : {2U, 1U, 4U, 3U}) spans.push_back(&take(c, granules));
    span& wall = take(c, 1);
    std::byte* const base = spans[0]->base;
    for (const int i : order) {
      c.put(*spans[static_cast<std::size_t>(i)]);
      c.check();
    }
    BOOST_TEST(take(c, 10).base == base);
    static_cast<void>(wall);
  } while (std::next_permutation(order.begin(), order.end()));
}

// Over an upstream each span has a segment of its own, so none melts with another.
BOOST_FIXTURE_TEST_CASE(no_span_is_cut_while_one_of_the_right_size_is_free, fixture)
{
  for (int i = 0; i != 8; ++i) static_cast<void>(take(above, 512));  // so that what follows is little enough to be kept
  const std::vector<std::size_t> sizes{1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144};
  std::vector<span*> spans;
  std::map<std::size_t, std::byte*> where;
  for (const std::size_t granules : sizes) {
    spans.push_back(&take(above, granules));
    where[granules] = spans.back()->base;
  }
  for (span* const s : spans) above.put(*s);
  for (const std::size_t granules : sizes) BOOST_TEST(take(above, granules).base == where[granules]);
  BOOST_TEST(upstream.asked() == 8 + sizes.size());
}

BOOST_FIXTURE_TEST_CASE(a_block_grows_into_what_is_free_behind_it, fixture)
{
  span& s = take(pages, 4);
  span& behind = take(pages, 6);
  span& wall = take(pages, 1);
  BOOST_TEST(!pages.resize(s, 5 * granule_size));
  pages.put(behind);
  BOOST_TEST(!pages.resize(s, 11 * granule_size));
  BOOST_TEST(pages.resize(s, 5 * granule_size));
  pages.check();
  BOOST_TEST(region_of(s.base + 4 * granule_size) == &s);
  BOOST_TEST(pages.resize(s, 10 * granule_size));
  BOOST_TEST(s.base + s.bytes == wall.base);
  pages.check();
  BOOST_TEST(pages.resize(s, granule_size));
  pages.check();
  BOOST_TEST(region_of(s.base + granule_size) == nullptr);
  BOOST_TEST(take(pages, 9).base == s.base + granule_size);
}

BOOST_FIXTURE_TEST_CASE(very_large_and_very_aligned_blocks_go_back_at_once, fixture)
{
  for (span_cache* const c : {&pages, &above}) {
    span* const large = c->take(40 * mega, granule_size, region_kind::fast_large);
    span* const aligned = c->take(granule_size, 4 * mega, region_kind::fast_large);
    BOOST_REQUIRE(large != nullptr);
    BOOST_REQUIRE(aligned != nullptr);
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(aligned->base) % (4 * mega) == 0u);
    BOOST_TEST(c->held_bytes() == 40 * mega + granule_size);
    BOOST_TEST(!c->resize(*large, 41 * mega));
    c->put(*large);
    c->put(*aligned);
    BOOST_TEST(c->held_bytes() == 0u);
  }
  BOOST_TEST(upstream.live() == 0u);
}

BOOST_FIXTURE_TEST_CASE(an_upstream_gives_what_is_wanted_and_has_it_back_whole, fixture)
{
  span& a = take(above, 3);
  span& b = take(above, 7);
  BOOST_TEST(upstream.live_bytes() == 10 * granule_size);
  BOOST_TEST(above.held_bytes() == 10 * granule_size);
  above.put(b);
  span& part = take(above, 2);  // of b's, which now cannot go back
  above.trim();
  BOOST_TEST(upstream.live() == 2u);
  above.put(part);
  above.put(a);
  BOOST_TEST(upstream.live() == 2u);  // little is kept
  above.trim();
  BOOST_TEST(upstream.live() == 0u);
  BOOST_TEST(upstream.wrong() == 0u);
  BOOST_TEST(above.held_bytes() == 0u);
}

BOOST_FIXTURE_TEST_CASE(a_refusal_gives_back_what_was_kept_and_tries_again, fixture)
{
  above.put(take(above, 4));
  BOOST_TEST(upstream.live() == 1u);
  upstream.refuse(upstream.asked(), 1);
  span& s = take(above, 8);
  BOOST_TEST(upstream.live() == 1u);
  above.put(s);
  upstream.refuse(upstream.asked(), recording_upstream::never);
  BOOST_TEST(above.take(9 * granule_size, granule_size, region_kind::fast_large) == nullptr);
  BOOST_TEST(above.take(64 * mega, granule_size, region_kind::fast_large) == nullptr);
  above.check();
}

BOOST_FIXTURE_TEST_CASE(a_burst_leaves_little_behind, fixture)
{
  const std::size_t before = gpa::test::resident_bytes();
  std::vector<span*> spans;
  for (int i = 0; i != 100; ++i) touch(*spans.emplace_back(&take(pages, 32)));
  BOOST_TEST(pages.held_bytes() >= 200 * mega);
  for (span* const s : spans) pages.put(*s);
  BOOST_TEST(pages.held_bytes() <= 16 * mega);
  if (!gpa::test::sanitized) BOOST_TEST(gpa::test::resident_bytes() <= before + 20 * mega);
  pages.trim();
  BOOST_TEST(pages.held_bytes() == 0u);
  if (!gpa::test::sanitized) BOOST_TEST(gpa::test::resident_bytes() <= before + 2 * mega);
}

BOOST_FIXTURE_TEST_CASE(a_burst_that_comes_again_at_once_finds_its_memory_until_it_has_been_idle_for_a_second, fixture)
{
  const auto burst = [this] {
    std::vector<span*> spans;
    for (int i = 0; i != 64; ++i) spans.push_back(&take(pages, 16));
    for (span* const s : spans) pages.put(*s);
  };
  burst();
  BOOST_TEST(pages.held_bytes() <= 16 * mega);
  burst();
  BOOST_TEST(pages.held_bytes() >= 48 * mega);
  const std::size_t kept = pages.held_bytes();
  burst();
  BOOST_TEST(pages.held_bytes() == kept);  // nothing went back and nothing new was needed
  for (int second = 0; second != 2; ++second) {  // one that began before the last burst, and one without
    more_than_a_second_passes();
    pages.put(take(pages, 1));
  }
  BOOST_TEST(pages.held_bytes() <= 16 * mega);
}

// Idle is what lies free while something is freed, not what waits for a burst that is late.
BOOST_FIXTURE_TEST_CASE(bursts_with_pauses_of_over_a_second_find_their_memory, fixture)
{
  std::vector<span*> spans;
  const auto burst = [&] {
    for (int i = 0; i != 64; ++i) spans.push_back(&take(pages, 16));
    for (span* const s : spans) pages.put(*s);
    spans.clear();
  };
  burst();
  burst();
  const std::size_t kept = pages.held_bytes();
  BOOST_TEST(kept >= 64 * mega);
  for (int i = 0; i != 2; ++i) {
    more_than_a_second_passes();
    burst();
    BOOST_TEST(pages.held_bytes() == kept);
    burst();
    BOOST_TEST(pages.held_bytes() == kept);
  }
}

BOOST_FIXTURE_TEST_CASE(slow_paths_that_put_no_span_give_back_what_lay_idle, fixture)
{
  for (int i = 0; i != 2; ++i) {
    std::vector<span*> spans;
    for (int n = 0; n != 64; ++n) spans.push_back(&take(pages, 16));
    for (span* const s : spans) pages.put(*s);
  }
  for (int i = 0; i != 2; ++i) {
    pages.shed_idle();
    BOOST_TEST(pages.held_bytes() >= 64 * mega);
    more_than_a_second_passes();
    pages.shed_idle();
  }
  BOOST_TEST(pages.held_bytes() <= 16 * mega);
}

BOOST_FIXTURE_TEST_CASE(what_is_used_most_is_a_heartbeat, fixture)
{
  span& s = take(pages, 4);
  BOOST_TEST(owner.heartbeats == 1);
  pages.put(s);
  span& again = take(pages, 4);
  BOOST_TEST(owner.heartbeats == 1);
  static_cast<void>(take(pages, 1));
  BOOST_TEST(owner.heartbeats == 2);
  pages.put(again);
}

// An upstream takes whole segments back, and here are many older parts of some that cannot go.
BOOST_FIXTURE_TEST_CASE(trim_finds_whole_segments_behind_any_number_of_parts, fixture)
{
  for (int i = 0; i != 40; ++i) BOOST_REQUIRE(above.resize(take(above, 16), granule_size));
  const std::size_t used = upstream.live_bytes();
  above.put(take(above, 320));
  above.trim();
  BOOST_TEST(upstream.live_bytes() == used);
}

BOOST_FIXTURE_TEST_CASE(what_is_kept_goes_back_where_more_is_refused, fixture)
{
  for (const std::size_t granules : {std::size_t{12}, 33 * mega / granule_size}) {
    above.put(take(above, 10));
    BOOST_REQUIRE(upstream.live() == 1u);
    upstream.refuse(upstream.asked(), 1);
    above.put(take(above, granules));
    above.trim();
  }
}

// Random operations against a map of what must be where.
BOOST_FIXTURE_TEST_CASE(used_spans_never_overlap_and_keep_their_contents, fixture)
{
  for (span_cache* const c : {&pages, &above}) {
    std::mt19937 random(17);
    std::map<std::byte*, span*> live;
    std::size_t bytes = 0;
    for (int step = 0; step != gpa::test::rounds(20'000); ++step) {
      const auto dice = random() % 100;
      if (dice < 50 && live.size() < 200) {
        std::size_t granules = 1 + random() % 8;
        if (dice < 5) granules *= 70;
        const std::size_t alignment = dice == 49 ? 2 * mega : granule_size;
        span* const s = c->take(granules * granule_size, alignment, region_kind::fast_large);
        BOOST_REQUIRE(s != nullptr);
        const auto [at, fresh] = live.emplace(s->base, s);
        BOOST_REQUIRE(fresh);
        BOOST_REQUIRE((std::next(at) == live.end() || s->base + s->bytes <= std::next(at)->first));
        BOOST_REQUIRE((at == live.begin() || std::prev(at)->first + std::prev(at)->second->bytes <= s->base));
        gpa::detail::tools_open(s->base, sizeof s);
        std::memcpy(s->base, &s, sizeof s);
        bytes += s->bytes;
      } else if (!live.empty()) {
        auto at = live.lower_bound(std::next(live.begin(), static_cast<std::ptrdiff_t>(random() % live.size()))->first);
        span& s = *at->second;
        const span* seen = nullptr;
        std::memcpy(&seen, s.base, sizeof seen);
        BOOST_REQUIRE(seen == &s);
        bytes -= s.bytes;
        if (dice >= 90) {
          static_cast<void>(c->resize(s, (1 + random() % 12) * granule_size));
          bytes += s.bytes;
        } else {
          live.erase(at);
          c->put(s);
        }
      }
      if (dice == 99) c->trim();
      if (step % 64 == 0) c->check();
      BOOST_REQUIRE(c->held_bytes() >= bytes);
    }
    c->release();
    BOOST_TEST(c->held_bytes() == 0u);
    for (const auto& [base, s] : live) BOOST_TEST(region_of(base) == nullptr);
  }
  BOOST_TEST(upstream.live() == 0u);
  BOOST_TEST(upstream.wrong() == 0u);
}
