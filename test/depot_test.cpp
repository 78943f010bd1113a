#define BOOST_TEST_MODULE depot
#include "trace/depot.hpp"

#include <gpa/resource.hpp>

#include "support/child.hpp"
#include "support/outcome.hpp"
#include "support/suspects.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace gpa::detail;
using stack = std::vector<std::uintptr_t>;

// Addresses of user space, all different for different `seed`s.
stack made_stack(std::uintptr_t seed, std::size_t frames)
{
  stack s(frames);
  std::iota(s.begin(), s.end(), 0x5500'0000'0000 + seed * 0x1000);
  return s;
}

bool holds(std::uint32_t id, const stack& expected)
{
  const auto found = depot_frames(id);
  return std::equal(found.begin(), found.end(), expected.begin(), expected.end());
}

// Fills the depot with stacks of `frames` frames until one is not kept whole; returns how many were.
std::size_t fill(std::size_t frames)
{
  std::size_t kept = 0;
  while (!depot_is_full() && kept != std::size_t{8} << 20) {
    const stack s = made_stack(kept + 1'000'000, frames);
    if (holds(depot_intern(s), s)) ++kept;
  }
  return kept;
}

// The same, and no room is left for shorter ones either.
void fill_whole()
{
  fill(64);
  for (const std::size_t frames : {32U, 16U, 8U, 4U, 2U}) {
    for (std::uintptr_t i = 0;; ++i) {
      const stack s = made_stack(20'000'000 + i, frames);
      if (!holds(depot_intern(s), s)) break;
    }
  }
}

[[gnu::noinline]] void* made_early(gpa::resource& r)
{
  void* const p = r.allocate(24, 8);
  STAY;
  return p;
}
[[gnu::noinline]] void* made_late(gpa::resource& r)
{
  void* const p = r.allocate(100, 8);
  STAY;
  return p;
}

}  // namespace

BOOST_AUTO_TEST_CASE(an_empty_stack_is_number_0_and_number_0_is_an_empty_stack)
{
  BOOST_TEST(depot_intern({}) == 0u);
  BOOST_TEST(depot_frames(0).empty());
}

BOOST_AUTO_TEST_CASE(a_stack_with_a_tag_is_another_stack_with_the_same_frames)
{
  const stack s = made_stack(77, 20);
  const std::uint32_t plain = depot_intern(s);
  const std::uint32_t one = depot_intern(s, 1);
  const std::uint32_t last = depot_intern(s, 0xFFFF);
  BOOST_TEST(plain != one);
  BOOST_TEST(one != last);
  BOOST_TEST(depot_intern(s, 1) == one);
  for (const std::uint32_t id : {plain, one, last}) BOOST_TEST(holds(id, s));
  BOOST_TEST(depot_tag(plain) == 0u);
  BOOST_TEST(depot_tag(one) == 1u);
  BOOST_TEST(depot_tag(last) == 0xFFFFu);
  BOOST_TEST(depot_tag(0) == 0u);
}

BOOST_AUTO_TEST_CASE(a_tag_alone_is_kept_too)
{
  const std::uint32_t id = depot_intern({}, 5);
  BOOST_TEST(id != 0u);
  BOOST_TEST(depot_intern({}, 5) == id);
  BOOST_TEST(depot_intern({}, 6) != id);
  BOOST_TEST(depot_tag(id) == 5u);
  BOOST_TEST(depot_frames(id).empty());
}

BOOST_AUTO_TEST_CASE(a_stack_comes_back_as_it_was)
{
  for (const std::size_t frames : {1u, 2u, 31u, 32u, 64u}) {
    const stack s = made_stack(frames, frames);
    const std::uint32_t id = depot_intern(s);
    BOOST_TEST(id != 0u);
    BOOST_TEST(holds(id, s));
  }
}

BOOST_AUTO_TEST_CASE(equal_stacks_have_one_number_and_different_ones_have_different_numbers)
{
  const stack a = made_stack(100, 8);
  stack longer = a;
  longer.push_back(1);
  stack shorter(a.begin(), a.end() - 1);

  const std::uint32_t id = depot_intern(a);
  BOOST_TEST(depot_intern(stack(a)) == id);
  BOOST_TEST(depot_intern(longer) != id);
  BOOST_TEST(depot_intern(shorter) != id);
}

BOOST_AUTO_TEST_CASE(stacks_with_equal_hashes_are_told_apart)
{
  // The hash adds up its frames, each times an odd number: the second frame can undo a difference in the first.
  const auto hash_of = [](const stack& frames) { return depot_hash(frames); };
  const std::uint64_t first_factor = hash_of({1, 0}) - hash_of({0, 0});
  const std::uint64_t second_factor = hash_of({0, 1}) - hash_of({0, 0});
  std::uint64_t inverse = second_factor;
  for (int i = 0; i != 6; ++i) inverse *= 2 - second_factor * inverse;
  const stack a = {0x401000, 0x403000};
  const stack b = {0x402000, 0x403000 - 0x1000 * first_factor * inverse};
  BOOST_REQUIRE(depot_hash(a) == depot_hash(b));

  const std::uint32_t id_a = depot_intern(a);
  const std::uint32_t id_b = depot_intern(b);
  BOOST_TEST(id_a != id_b);
  BOOST_TEST(holds(id_a, a));
  BOOST_TEST(holds(id_b, b));
}

BOOST_AUTO_TEST_CASE(a_number_never_given_out_is_an_empty_stack)
{
  const stack s = made_stack(200, 5);
  const std::uint32_t id = depot_intern(s);
  for (std::uint32_t i = 1; i <= s.size(); ++i) BOOST_TEST(depot_frames(id + i).empty());  // inside the stack
  BOOST_TEST(depot_frames(5'000'000).empty());
  BOOST_TEST(depot_frames(0xFFFFFFFF).empty());
}

BOOST_AUTO_TEST_CASE(a_hundred_thousand_stacks_keep_their_numbers)
{
  std::vector<std::uint32_t> ids;
  for (std::uintptr_t i = 0; i != 100'000; ++i) ids.push_back(depot_intern(made_stack(i + 2'000, 1 + i % 16)));
  std::size_t wrong = 0;
  for (std::uintptr_t i = 0; i != 100'000; ++i) {
    const stack s = made_stack(i + 2'000, 1 + i % 16);
    if (!holds(ids[i], s) || depot_intern(s) != ids[i]) ++wrong;
  }
  BOOST_TEST(wrong == 0u);
  std::sort(ids.begin(), ids.end());
  BOOST_TEST((std::adjacent_find(ids.begin(), ids.end()) == ids.end()));
}

BOOST_AUTO_TEST_CASE(threads_that_intern_the_same_stacks_agree_on_their_numbers)
{
  constexpr std::size_t thread_count = 4;
  constexpr std::uintptr_t stacks = 5'000;
  std::vector<std::vector<std::uint32_t>> ids(thread_count);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t != thread_count; ++t) {
    threads.emplace_back([&mine = ids[t]] {
      for (std::uintptr_t i = 0; i != stacks; ++i) mine.push_back(depot_intern(made_stack(500'000 + i, 1 + i % 8)));
    });
  }
  for (std::thread& t : threads) t.join();
  for (std::size_t t = 1; t != thread_count; ++t) BOOST_TEST((ids[t] == ids[0]));
  std::size_t wrong = 0;
  for (std::uintptr_t i = 0; i != stacks; ++i)
    if (!holds(ids[0][i], made_stack(500'000 + i, 1 + i % 8))) ++wrong;
  BOOST_TEST(wrong == 0u);
}

BOOST_AUTO_TEST_CASE(a_depot_with_room_is_not_full)
{
  BOOST_TEST(gpa::test::true_in_child([] { return depot_intern(made_stack(7, 7)) != 0 && !depot_is_full(); }));
}

// The full ones end in children, so that the other cases keep their room. Millions of stacks, and one thread: not for
// ThreadSanitizer.
#define GPA_TEST_WITH_A_FULL_DEPOT BOOST_TEST_DECORATOR(*boost::unit_test::enable_if<GPA_TEST_TSAN == 0>())

GPA_TEST_WITH_A_FULL_DEPOT
BOOST_AUTO_TEST_CASE(the_last_eighth_cuts_stacks_to_their_first_frame)
{
  BOOST_TEST(gpa::test::true_in_child([] {
    const std::size_t kept = fill(64);
    const std::size_t bytes = kept * 65 * sizeof(std::uintptr_t);
    const stack late = made_stack(1, 64);
    return bytes > depot_limit / 2 && bytes < depot_limit / 8 * 7 && holds(depot_intern(late), {late.front()});
  }));
}

GPA_TEST_WITH_A_FULL_DEPOT
BOOST_AUTO_TEST_CASE(a_full_depot_answers_0_and_keeps_what_it_has)
{
  BOOST_TEST(gpa::test::true_in_child([] {
    const stack early = made_stack(3, 20);
    const std::uint32_t id = depot_intern(early);
    fill(64);
    std::size_t refused = 0;
    for (std::uintptr_t i = 0; i != 4'000'000 && refused < 100; ++i)
      if (depot_intern(made_stack(0x10'0000 + i, 1)) == 0) ++refused;
    return refused == 100 && depot_is_full() && holds(id, early) && depot_intern(early) == id;
  }));
}

GPA_TEST_WITH_A_FULL_DEPOT
BOOST_AUTO_TEST_CASE(short_stacks_alone_fill_the_tables_and_leave_room_for_callers)
{
  BOOST_TEST(gpa::test::true_in_child([] {
    const std::size_t kept = fill(2);
    std::size_t cut = 0;
    for (std::uintptr_t i = 1; i != 500'000 && cut < 100; ++i) {
      const stack late = made_stack(i, 2);
      const std::uint32_t id = depot_intern(late);
      if (!holds(id, late) && !holds(id, {late.front()})) return false;
      if (holds(id, {late.front()})) ++cut;
    }
    return kept > 500'000 && cut == 100;
  }));
}

// Stacks that were seen before stay whole; a new one says that it may have been cut.
GPA_TEST_WITH_A_FULL_DEPOT
BOOST_AUTO_TEST_CASE(reports_with_a_full_depot_say_what_they_do_not_know)
{
  const auto o = gpa::test::outcome_of([] {
    gpa::resource r({.checks = gpa::checks::always(), .after_mistake = gpa::after_mistake::carry_on});
    const auto make = [&r] { return made_early(r); };
    static_cast<void>(make());
    fill_whole();
    void* const late = made_late(r);
    r.deallocate(late, 99, 8);
    static_cast<void>(r.deinit());
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == 0);
    BOOST_TEST((o.reports() == std::vector<std::string>{"size-mismatch", "leak", "leak"}));
    const std::size_t leaks = o.err.find("error: leak");
    BOOST_TEST_REQUIRE(leaks != std::string::npos);
    const std::string mismatch = o.err.substr(0, leaks);
    BOOST_TEST(mismatch.find("hint: the 64 MiB for call stacks are used up, and this one may have been cut\n") !=
               std::string::npos);
    const std::size_t early = o.err.find("error: leak of 24 bytes in 1 block");
    BOOST_TEST_REQUIRE(early != std::string::npos);
    const std::string whole = o.err.substr(early);
    BOOST_TEST(whole.find("made_early") != std::string::npos);
    BOOST_TEST(whole.find("may have been cut") == std::string::npos);
  }
}

GPA_TEST_WITH_A_FULL_DEPOT
BOOST_AUTO_TEST_CASE(a_full_depot_says_so_once)
{
  const auto o = gpa::test::outcome_of([] {
    fill(64);
    for (std::uintptr_t i = 0; i != 1'000; ++i) static_cast<void>(depot_intern(made_stack(i, 64)));
  });
  BOOST_TEST(o.status == 0);
  BOOST_TEST(o.err == "gpa: warning: the 64 MiB for call stacks are used up: stacks not seen before are cut to their "
                      "first frame, or not kept\n");
}
