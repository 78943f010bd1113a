#define BOOST_TEST_MODULE supply
#include "blocks/supply.hpp"

#include "base/tools.hpp"
#include "os/metadata.hpp"
#include "os/pages.hpp"

#include "support/modes.hpp"
#include "support/suspects.hpp"
#include "support/upstreams.hpp"

#include <gpa/resource.hpp>

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory_resource>
#include <new>
#include <set>
#include <stdexcept>
#include <vector>

namespace {

// UBSan, which this project runs together with ASan, stops at the broken promise itself.
#if GPA_TEST_ASAN
constexpr bool stopped_by_ubsan = true;
#else
constexpr bool stopped_by_ubsan = false;
#endif

using gpa::detail::supply;

constexpr std::size_t granule = 65'536;

// An upstream that does what a test tells it to.
class scripted final : public std::pmr::memory_resource {
 public:
  std::function<void*(std::size_t, std::size_t)> on_allocate;
  std::vector<void*> returned;

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override { return on_allocate(bytes, alignment); }
  void do_deallocate(void* p, std::size_t, std::size_t) override { returned.push_back(p); }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }
};

bool is_aligned(const void* p, std::size_t alignment)
{
  return reinterpret_cast<std::uintptr_t>(p) % alignment == 0;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_system_gives_zeroed_ranges_that_do_not_overlap)
{
  supply s(nullptr);
  BOOST_TEST(s.from_system());
  std::set<std::byte*> seen;
  for (std::size_t i = 0; i != 200; ++i) {
    std::byte* const p = s.take(granule * (1 + i % 8), granule);
    BOOST_REQUIRE(p != nullptr);
    BOOST_TEST(is_aligned(p, granule));
    gpa::detail::tools_open(p, granule * (1 + i % 8));  // to ASan, a range comes closed
    for (std::size_t g = 0; g <= i % 8; ++g) {
      BOOST_TEST(seen.insert(p + g * granule).second);
      BOOST_TEST((p[g * granule] == std::byte{0} && p[g * granule + granule - 1] == std::byte{0}));
      std::memset(p + g * granule, 0x41, granule);
    }
  }
  for (std::byte* const p : seen) s.give_back(p, granule, granule);
  BOOST_TEST(s.calls() == 0u);
}

BOOST_AUTO_TEST_CASE(the_first_segment_of_one_is_that_of_the_next)
{
  using namespace gpa::detail;
  empty_stocks();
  std::byte* first = nullptr;
  {
    supply s(nullptr);
    first = s.take(granule, granule);
    std::byte* const second = s.take(2 * granule, granule);
    BOOST_TEST(second == first + granule);
    s.give_back(first, granule, granule);
    BOOST_TEST(take_from(stock::open) == nullptr);  // some is still in use
    s.give_back(second, 2 * granule, granule);
    BOOST_TEST(take_from(stock::open) == nullptr);  // and the rest may be
    s.end();
  }
  {
    supply s(nullptr);
    BOOST_TEST(s.take(stock_segment, granule) == first);  // to the last byte
    std::byte* const more = s.take(granule, granule);
    s.give_back(first, stock_segment, granule);
    std::byte* const taken = take_from(stock::open);
    BOOST_TEST(taken == first);
    put_into(stock::open, taken);
    s.give_back(more, granule, granule);
  }
  empty_stocks();
  BOOST_TEST(!is_readable(first, 1));
  BOOST_TEST(take_from(stock::open) == nullptr);
}

BOOST_AUTO_TEST_CASE(a_segment_that_is_in_use_when_its_supply_ends_goes_when_it_is_not)
{
  using namespace gpa::detail;
  for (const stock which : {stock::open, stock::closed}) {
    empty_stocks();
    supply s(nullptr, huge_page_size, which);
    std::byte* const used = s.take(granule, granule);
    std::byte* const before = s.take(granule, granule);
    std::byte* const after = s.take(granule, granule);
    for (std::byte* const p : {used, before, after}) {
      tools_open(p, granule);
      std::memset(p, 0x41, granule);
    }
    // Zero, or inaccessible: 0x41 stands there no more.
    const auto gone = [&](std::byte* p) {
      tools_open(p, granule);
      return which == stock::closed ? !is_readable(p + 7, 1) : p[7] == std::byte{0};
    };
    s.give_back(before, granule, granule);
    s.end();
    BOOST_TEST(gone(before));
    BOOST_TEST((used[7] == std::byte{0x41} && after[granule - 1] == std::byte{0x41}));
    s.give_back(after, granule, granule);
    BOOST_TEST(gone(after));
    BOOST_TEST((used[7] == std::byte{0x41}));
    s.give_back(used, granule, granule);
    BOOST_TEST(is_readable(used, 1) == (which == stock::open));
    empty_stocks();
    BOOST_TEST(!is_readable(used, 1));
  }
}

// Of a segment that another supply used, those that nobody has come for yet.
BOOST_AUTO_TEST_CASE(trim_gives_back_the_pages_that_wait_in_a_segment)
{
  using namespace gpa::detail;
  empty_stocks();
  auto* const segment = static_cast<std::byte*>(map_pages(stock_segment, granule));
  std::memset(segment, 0x41, stock_segment);
  put_into(stock::open, segment);
  supply s(nullptr);
  std::byte* const first = s.take(granule, granule);
  BOOST_TEST_REQUIRE(first == segment);
  s.trim();
  std::byte* const second = s.take(granule, granule);
  for (std::byte* const p : {first, second}) tools_open(p, granule);
  BOOST_TEST((first[7] == std::byte{0x41}));
  BOOST_TEST((second[7] == std::byte{0}));
  s.give_back(first, granule, granule);
  s.give_back(second, granule, granule);
  s.end();
  empty_stocks();
}

BOOST_AUTO_TEST_CASE(neighbours_on_both_sides_of_a_border_of_the_first_segment_are_given_back_together)
{
  using namespace gpa::detail;
  empty_stocks();
  auto* const around = static_cast<std::byte*>(map_pages(3 * stock_segment, granule));
  std::byte* const middle = around + stock_segment;
  put_into(stock::open, middle);
  supply s(nullptr);
  const supply::taken taken_again = s.take_told(stock_segment, granule);
  BOOST_TEST(taken_again.p == middle);
  BOOST_TEST(taken_again.may_be_resident);
  constexpr std::size_t half = stock_segment / 2;
  s.give_back(around, stock_segment + half, granule);  // from in front of it into it
  BOOST_TEST(!is_readable(around, 1));
  BOOST_TEST(is_readable(middle + half, 1));
  s.give_back(middle + half, stock_segment + half, granule);  // and out of it
  BOOST_TEST(!is_readable(middle + stock_segment, 1));
  std::byte* const whole = take_from(stock::open);
  BOOST_TEST(whole == middle);
  unmap_pages(middle, stock_segment);
}

BOOST_AUTO_TEST_CASE(after_release_nobody_reaches_what_was_there_and_the_resource_goes_on)
{
  using namespace gpa::detail;
  empty_stocks();
  gpa::resource r({.checks = gpa::checks::always()});
  std::set<const void*> seen;
  for (int round = 0; round != 5; ++round) {
    void* const p = r.allocate(100);
    std::memset(p, 0x41, 100);
    if (round < 2) BOOST_TEST(seen.insert(p).second);
    r.release();
    BOOST_TEST(!is_readable(p, 1));
    BOOST_TEST(r.stats().live_blocks == 0u);
  }
  BOOST_TEST((r.deinit() == gpa::check::ok));
}

BOOST_AUTO_TEST_CASE(what_is_handed_on_goes_to_the_next_supply_if_the_stock_has_a_place_for_it)
{
  using namespace gpa::detail;
  empty_stocks();
  supply first(nullptr);
  const supply::taken fresh_one = first.take_told(stock_segment, granule);
  std::byte* const one = fresh_one.p;
  BOOST_TEST(!fresh_one.may_be_resident);
  std::byte* const two = first.take(2 * stock_segment, granule);
  std::byte* const four = first.take(4 * stock_segment, granule);
  std::byte* const eight = first.take(8 * stock_segment, granule);
  tools_open(two, 1);
  tools_open(four, 1);
  *two = *four = std::byte{0x41};
  first.hand_on(eight, 8 * stock_segment, granule, false);
  first.hand_on(four, 4 * stock_segment, granule, true);
  first.hand_on(two, 2 * stock_segment, granule, false);
  first.give_back(one, stock_segment, granule);
  BOOST_TEST(!is_readable(eight, 1));
  {
    supply next(nullptr);
    BOOST_TEST(next.take(stock_segment, granule) == one);
    const supply::taken used = next.take_told(2 * stock_segment, granule);
    BOOST_TEST(used.p == two);
    BOOST_TEST(used.may_be_resident);
    BOOST_TEST(next.take(4 * stock_segment, granule) == four);
    tools_open(four, 1);
    BOOST_TEST((*four == std::byte{0x41}));
    const supply::taken fresh = next.take_told(8 * stock_segment, granule);
    BOOST_TEST(!fresh.may_be_resident);
    next.give_back(fresh.p, 8 * stock_segment, granule);
    next.give_back(four, 4 * stock_segment, granule);  // of a resource that lives: to the system
    BOOST_TEST(!is_readable(four, 1));
    next.hand_on(two, 2 * stock_segment, granule, false);
    next.give_back(one, stock_segment, granule);
  }
  {
    supply checked(nullptr, huge_page_size, stock::closed);
    std::byte* const p = checked.take(2 * stock_segment, granule);
    BOOST_TEST(p != two);
    checked.hand_on(p, 2 * stock_segment, granule, false);
    BOOST_TEST(!is_readable(p, 1));
  }
  empty_stocks();
  BOOST_TEST(!is_readable(two, 1));
}

BOOST_AUTO_TEST_CASE(the_system_serves_any_alignment)
{
  supply s(nullptr);
  for (std::size_t alignment = granule; alignment <= std::size_t{1} << 26; alignment *= 2) {
    std::byte* const p = s.take(granule, alignment);
    BOOST_REQUIRE(p != nullptr);
    BOOST_TEST(is_aligned(p, alignment));
    s.give_back(p, granule, alignment);
  }
}

BOOST_AUTO_TEST_CASE(the_system_refuses_the_impossible)
{
  supply s(nullptr);
  BOOST_TEST(s.take(std::size_t{1} << 50, granule) == nullptr);
  BOOST_TEST(s.take(granule, std::size_t{1} << 62) == nullptr);
  BOOST_TEST(s.take(granule, std::size_t{1} << 63) == nullptr);
  std::byte* const p = s.take(granule, granule);
  BOOST_TEST(p != nullptr);
  s.give_back(p, granule, granule);
}

BOOST_AUTO_TEST_CASE(calls_of_an_upstream_pair_exactly_and_are_counted)
{
  gpa::test::recording_upstream upstream;
  supply s(&upstream);
  BOOST_TEST(!s.from_system());
  std::byte* const a = s.take(granule, granule);
  std::byte* const b = s.take(3 * granule, 4 * granule);
  BOOST_TEST(is_aligned(b, 4 * granule));
  BOOST_TEST(s.calls() == 2u);
  s.give_back(b, 3 * granule, 4 * granule);
  s.give_back(a, granule, granule);
  BOOST_TEST(s.calls() == 4u);
  BOOST_TEST(upstream.live() == 0u);
  BOOST_TEST(upstream.wrong() == 0u);
}

BOOST_AUTO_TEST_CASE(an_upstream_that_throws_has_refused)
{
  scripted upstream;
  supply s(&upstream);
  upstream.on_allocate = [](std::size_t, std::size_t) -> void* { throw std::bad_alloc(); };
  BOOST_TEST(s.take(granule, granule) == nullptr);
  upstream.on_allocate = [](std::size_t, std::size_t) -> void* { throw std::runtime_error("no"); };
  BOOST_TEST(s.take(granule, granule) == nullptr);
  upstream.on_allocate = [](std::size_t, std::size_t) -> void* { throw 7; };
  BOOST_TEST(s.take(granule, granule) == nullptr);
  BOOST_TEST(upstream.returned.empty());

  alignas(granule) static std::byte memory[granule];
  upstream.on_allocate = [](std::size_t, std::size_t) -> void* { return memory; };
  BOOST_TEST((s.take(granule, granule) == memory));  // no lock was left held
}

BOOST_AUTO_TEST_CASE(a_null_answer_is_a_refusal_and_is_not_given_back)
{
  if (stopped_by_ubsan) return;
  scripted upstream;
  supply s(&upstream);
  upstream.on_allocate = [](std::size_t, std::size_t) -> void* { return nullptr; };
  BOOST_TEST(s.take(granule, granule) == nullptr);
  BOOST_TEST(upstream.returned.empty());
}

BOOST_AUTO_TEST_CASE(a_misaligned_answer_is_given_back_and_is_a_refusal)
{
  if (stopped_by_ubsan) return;
  alignas(granule) static std::byte memory[2 * granule];
  scripted upstream;
  supply s(&upstream);
  for (const std::size_t offset : {16U, 4096U, 32'768U}) {
    upstream.returned.clear();
    upstream.on_allocate = [offset](std::size_t, std::size_t) -> void* { return memory + offset; };
    BOOST_TEST(s.take(granule, granule) == nullptr);
    BOOST_REQUIRE(upstream.returned.size() == 1u);
    BOOST_TEST(upstream.returned.front() == memory + offset);
  }
}

BOOST_AUTO_TEST_CASE(an_upstream_that_calls_back_is_refused)
{
  scripted upstream;
  supply s(&upstream);
  alignas(granule) static std::byte memory[granule];
  std::byte* inner = memory;
  upstream.on_allocate = [&](std::size_t bytes, std::size_t alignment) -> void* {
    inner = s.take(bytes, alignment);
    return memory;
  };
  BOOST_TEST((s.take(granule, granule) == memory));
  BOOST_TEST(inner == nullptr);
  s.give_back(memory, granule, granule);
  BOOST_TEST(upstream.returned.size() == 1u);
}

// The same through the front door: a resource whose upstream wants memory from that resource.
BOOST_AUTO_TEST_CASE(an_upstream_that_allocates_from_its_own_resource_gets_bad_alloc)
{
  scripted upstream;
  gpa::resource r(gpa::options{.checks = gpa::checks::always()}, &upstream);
  int refused = 0;
  upstream.on_allocate = [&](std::size_t bytes, std::size_t alignment) -> void* {
    try {
      static_cast<void>(r.allocate(24, 8));
    } catch (const std::bad_alloc&) {
      ++refused;
    }
    return std::pmr::new_delete_resource()->allocate(bytes, alignment);
  };
  void* const p = r.allocate(24, 8);
  BOOST_TEST(refused == 1);
  BOOST_TEST(r.stats().live_blocks == 1u);
  r.deallocate(p, 24, 8);
  BOOST_TEST((r.deinit() == gpa::check::ok));
  for (void* const range : upstream.returned) std::pmr::new_delete_resource()->deallocate(range, granule, granule);
}

// What a resource prepares before it asks the upstream goes back when that refuses.
BOOST_AUTO_TEST_CASE(refusals_leave_no_records_behind)
{
  for (const gpa::test::mode& m : gpa::test::every_mode()) {
    if (gpa::test::is_sampled(m)) continue;
    BOOST_TEST_CONTEXT(m.name)
    {
      gpa::test::recording_upstream upstream;
      upstream.refuse(0, gpa::test::recording_upstream::never);
      gpa::resource r(m.options, &upstream);
      std::size_t before = 0;
      for (int round = 0; round != 1000; ++round) {
        for (const std::size_t bytes : {24U, 5'000U, 40'000U, 300'000U})
          BOOST_TEST_REQUIRE(r.try_allocate(bytes) == nullptr);
        if (round == 0) before = gpa::detail::metadata_held();
      }
      BOOST_TEST(gpa::detail::metadata_held() == before);
    }
  }
}
