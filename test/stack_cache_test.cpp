#define BOOST_TEST_MODULE stack_cache
#include "trace/stack_cache.hpp"

#include "os/metadata.hpp"
#include "support/child.hpp"
#include "support/drawn_stack.hpp"
#include "support/oracle.hpp"

#include <sys/resource.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <latch>
#include <thread>
#include <vector>

namespace {

using namespace gpa::detail;
using gpa::test::drawn_stack;
using gpa::test::taken;

struct fixture {
  std::unique_ptr<stack_cache> cache = std::make_unique<stack_cache>();
  drawn_stack s;

  fixture() { cache->remember(s.key(), s.walked, s.id); }
  [[nodiscard]] std::uint32_t found() const { return cache->find(s.key()); }
};

[[gnu::noinline]] taken recurse(unsigned depth)
{
  taken t = depth == 0 ? gpa::test::take() : recurse(depth - 1);
  t.captured.shrink_to_fit();  // not a tail call
  return t;
}

bool is_right(const taken& t)
{
  return !t.expected.empty() && t.captured == t.expected;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_remembered_stack_is_found, fixture)
{
  BOOST_TEST(s.id != 0u);
  BOOST_TEST(found() == s.id);
}

BOOST_FIXTURE_TEST_CASE(an_empty_cache_finds_nothing, fixture)
{
  const auto empty = std::make_unique<stack_cache>();
  BOOST_TEST(empty->find({s.from().sp, s.from().pc, s.caller(), 32}) == 0u);
}

// The words that decide: gpa's saved rbp, each return address, the rbp a frame hangs on, the chain of saved ones.
BOOST_FIXTURE_TEST_CASE(every_word_that_decides_is_looked_at, fixture)
{
  for (const std::size_t i : {2u, 3u, 6u, 7u, 10u, 11u, 15u}) {
    const std::uintptr_t right = s.word(i);
    for (const std::uintptr_t wrong : {right + 8, right ^ std::uintptr_t{1} << 63, std::uintptr_t{0}}) {
      s.word(i) = wrong;
      BOOST_TEST(found() == 0u, "word " << i);
    }
    s.word(i) = right;
    BOOST_TEST(found() == s.id);
  }
}

BOOST_FIXTURE_TEST_CASE(other_words_of_the_stack_do_not_matter, fixture)
{
  for (const std::size_t i : {4u, 5u, 8u, 9u, 12u, 13u, 14u, 16u}) s.word(i) = 0xAAAA;
  BOOST_TEST(found() == s.id);
}

BOOST_FIXTURE_TEST_CASE(the_place_the_caller_and_the_limit_are_part_of_the_question, fixture)
{
  call_site elsewhere = s.from();
  elsewhere.sp += 16;
  BOOST_TEST(cache->find({elsewhere.sp, elsewhere.pc, s.caller(), 32}) == 0u);
  call_site another = s.from();
  another.pc += 1;
  BOOST_TEST(cache->find({another.sp, another.pc, s.caller(), 32}) == 0u);
  BOOST_TEST(cache->find({s.from().sp, s.from().pc, s.caller() + 1, 32}) == 0u);
  BOOST_TEST(cache->find({s.from().sp, s.from().pc, s.caller(), 31}) == 0u);
}

BOOST_FIXTURE_TEST_CASE(a_frame_is_read_only_when_those_inside_it_are_right, fixture)
{
  s.walked.layout.places[4] = drawn_stack::word_count;  // where the third frame stood, nothing can be read now
  s.word(7) = 0;
  cache = std::make_unique<stack_cache>();
  cache->remember(s.key(), s.walked, s.id);
  BOOST_TEST(found() == 0u);
}

BOOST_FIXTURE_TEST_CASE(what_does_not_fit_is_not_remembered, fixture)
{
  cache = std::make_unique<stack_cache>();
  s.walked.fits = false;
  cache->remember(s.key(), s.walked, s.id);
  BOOST_TEST(found() == 0u);
  s.walked.fits = true;
  cache->remember(s.key(), s.walked, 0);  // the depot had no room
  BOOST_TEST(found() == 0u);
}

BOOST_FIXTURE_TEST_CASE(a_stack_that_the_depot_cut_is_known_by_all_its_words, fixture)
{
  cache = std::make_unique<stack_cache>();
  const std::uint32_t cut = depot_intern({s.walked.frames.data(), 1});
  cache->remember(s.key(), s.walked, cut);
  BOOST_TEST(found() == cut);
  s.word(15) = 0;
  BOOST_TEST(found() == 0u);
}

// The short way of the front door looks at the same words, and knows only its own entries.
BOOST_FIXTURE_TEST_CASE(the_front_door_finds_what_stood_there_last, fixture)
{
  const auto at_once = [&] { return cache->find_at_once(s.base(), 32); };
  BOOST_TEST(at_once() == 0u);  // that one has a caller further up
  cache->remember(s.key_of_the_door(), s.walked, s.id);
  BOOST_TEST(at_once() == s.id);
  for (const std::size_t i : {2u, 3u, 6u, 7u, 10u, 11u, 15u}) {
    const std::uintptr_t right = s.word(i);
    for (const std::uintptr_t wrong : {right + 8, right ^ std::uintptr_t{1} << 63, std::uintptr_t{0}}) {
      s.word(i) = wrong;
      BOOST_TEST(at_once() == 0u, "word " << i);
    }
    s.word(i) = right;
    BOOST_TEST(at_once() == s.id);
  }
  BOOST_TEST(cache->find_at_once(s.base(), 31) == 0u);
  BOOST_TEST(cache->find_at_once(s.base() + 2, 32) == 0u);
}

// However many there are: four are looked at at a time, first what four leave over, and fewer than four are filled up.
BOOST_FIXTURE_TEST_CASE(the_front_door_looks_at_all_words_of_any_number, fixture)
{
  constexpr std::size_t first = 3;
  for (std::uint16_t count = 0; count != 20; ++count) {
    cache = std::make_unique<stack_cache>();
    s.walked.layout.count = count;
    for (std::uint16_t i = 0; i != count; ++i) {
      s.walked.layout.places[i] = static_cast<std::uint16_t>(first + i);
      s.walked.layout.values[i] = s.word(first + i);
    }
    cache->remember(s.key_of_the_door(), s.walked, s.id);
    BOOST_TEST(cache->find_at_once(s.base(), 32) == s.id, count << " words");
    for (std::size_t i = first; i != drawn_stack::word_count; ++i) {
      s.word(i) += 1;
      const bool decides = i < first + count;
      BOOST_TEST(cache->find_at_once(s.base(), 32) == (decides ? 0 : s.id), "word " << i << " of " << count);
      BOOST_TEST(cache->find(s.key_of_the_door()) == (decides ? 0 : s.id), "word " << i << " of " << count);
      s.word(i) -= 1;
    }
  }
}

// Two callers of one function, and a third place that is captured before one of them: what came after what.
BOOST_FIXTURE_TEST_CASE(the_front_door_expects_what_came_after_the_last_capture, fixture)
{
  std::vector<std::uint32_t> ids;
  const auto stand = [&](std::uintptr_t outer) {
    s.word(7) = s.walked.layout.values[3] = s.walked.frames[1] = 0x40'6000 + outer;
  };
  const auto at_once = [&] { return cache->find_at_once(s.base(), 32); };
  const auto key = s.key_of_the_door();
  cache = std::make_unique<stack_cache>();
  for (std::uintptr_t i = 0; i != 3; ++i) {
    stand(i);
    ids.push_back(depot_intern({s.walked.frames.data(), s.walked.count}));
    cache->remember(key, s.walked, ids.back());
  }
  std::size_t missed = 0;
  for (std::size_t round = 0; round != 20; ++round) {
    for (const std::uintptr_t which : {0u, 1u, 0u, 2u, 1u}) {
      stand(which);
      const std::uint32_t found = at_once();
      BOOST_TEST((found == 0 || found == ids[which]));
      if (round >= 10 && found == 0) ++missed;
      if (found == 0) BOOST_TEST(cache->find(key) == ids[which]);
    }
  }
  // What comes after the first depends on what came before it, further back than is remembered; others are expected.
  BOOST_TEST(missed == 20u);
}

BOOST_FIXTURE_TEST_CASE(the_front_door_leaves_modules_that_may_go_to_the_whole_search, fixture)
{
  s.walked.layout.stops[0] = {drawn_stack::own_pc, 1, 3};
  s.walked.layout.stop_count = 1;
  cache->remember(s.key_of_the_door(), s.walked, s.id);
  BOOST_TEST(cache->find_at_once(s.base(), 32) == 0u);
}

BOOST_FIXTURE_TEST_CASE(stacks_that_differ_far_up_are_told_apart, fixture)
{
  std::vector<std::uint32_t> ids;
  const auto stand = [&](std::uintptr_t inner, std::uintptr_t outer) {
    s.word(7) = s.walked.layout.values[3] = s.walked.frames[1] = 0x40'6000 + inner;
    s.word(15) = s.walked.layout.values[6] = s.walked.frames[3] = 0x40'5000 + outer;
  };
  for (std::uintptr_t i = 0; i != 9; ++i) {
    stand(i % 3, i / 3);
    ids.push_back(depot_intern({s.walked.frames.data(), s.walked.count}));
    cache->remember(s.key(), s.walked, ids.back());
  }
  // Each after each other: what stood there when the last one failed is tried, and looked at like all.
  for (std::uintptr_t i = 0; i != 3 * 81; ++i) {
    for (const std::uintptr_t which : {i % 9, i / 9 % 9}) {
      stand(which % 3, which / 3);
      BOOST_TEST(found() == ids[which]);
    }
  }
}

BOOST_FIXTURE_TEST_CASE(a_full_cache_forgets_and_never_mixes_up, fixture)
{
  const auto stand = [&](std::uintptr_t i) {
    s.word(3) = s.walked.layout.values[1] = s.walked.frames[0] = 0x50'0000 + i * 16;
    return stack_cache::key{s.from().sp, drawn_stack::own_pc, s.word(3), 32};
  };
  std::size_t remembered = 0;
  for (std::uintptr_t i = 0; i != 5'000; ++i) {
    const stack_cache::key k = stand(i);
    const std::uint32_t id = depot_intern({s.walked.frames.data(), s.walked.count});
    BOOST_TEST_REQUIRE(cache->find(k) == 0u);
    cache->remember(k, s.walked, id);
    BOOST_TEST_REQUIRE(cache->find(k) == id);
  }
  for (std::uintptr_t i = 0; i != 5'000; ++i) {
    const stack_cache::key k = stand(i);
    const std::uint32_t id = cache->find(k);
    if (id == 0) continue;
    ++remembered;
    BOOST_TEST_REQUIRE(id == depot_intern({s.walked.frames.data(), s.walked.count}));
  }
  BOOST_TEST(remembered > 200u);
  BOOST_TEST(remembered < 5'000u);
}

// Call sites whose stacks alternate, among ever new ones: what a half held that began anew is forgotten everywhere.
BOOST_FIXTURE_TEST_CASE(a_full_cache_forgets_what_it_expected, fixture)
{
  const auto key = s.key_of_the_door();
  const auto stand = [&](std::uintptr_t outer) {
    s.word(7) = s.walked.layout.values[3] = s.walked.frames[1] = 0x40'6000 + outer;
    return depot_intern({s.walked.frames.data(), s.walked.count});
  };
  const auto capture = [&](std::uintptr_t outer) {
    const std::uint32_t id = stand(outer);
    std::uint32_t found = cache->find_at_once(s.base(), 32);
    if (found == 0) found = cache->find(key);
    if (found == 0) cache->remember(key, s.walked, found = id);
    BOOST_TEST_REQUIRE(found == id);
  };
  for (std::uintptr_t i = 0; i != 20'000; ++i) {
    for (std::uintptr_t round = 0; round != 3; ++round)
      for (std::uintptr_t which = 0; which != 3; ++which) capture(which);
    capture(16 + i);
  }
}

// In a signal handler no half begins anew: what the thread looked at when it came may lie there.
BOOST_FIXTURE_TEST_CASE(where_a_handler_may_run_a_full_half_stays_full, fixture)
{
  const auto stand = [&](std::uintptr_t i) {
    s.word(3) = s.walked.layout.values[1] = s.walked.frames[0] = 0x50'0000 + i * 16;
    return stack_cache::key{s.from().sp, drawn_stack::own_pc, s.word(3), 32};
  };
  cache = std::make_unique<stack_cache>();
  s.walked.cut = true;
  s.walked.rest = {s.place(16), reinterpret_cast<std::uintptr_t>(&s),
                   s.place(20)};  // code of no module: no rule leads on
  std::uintptr_t remembered = 0;
  while (remembered != 5'000) {
    const stack_cache::key k = stand(remembered);
    cache->remember(k, s.walked, s.id);
    if (cache->find(k) == 0) break;
    ++remembered;
  }
  BOOST_TEST(remembered > 200u);
  BOOST_TEST(remembered < 5'000u);
  for (std::uintptr_t i = remembered - 100; i != remembered; ++i) BOOST_TEST(cache->find(stand(i)) == s.id);
  s.walked.cut = false;
  const stack_cache::key k = stand(remembered);
  cache->remember(k, s.walked, s.id);
  BOOST_TEST(cache->find(k) == s.id);
}

BOOST_AUTO_TEST_CASE(captures_are_right_before_while_and_after_a_thread_has_a_cache)
{
  std::thread([] {
    BOOST_TEST(!has_stack_cache());
    BOOST_TEST(is_right(recurse(5)));
    BOOST_TEST(!has_stack_cache());  // nobody would give it back
    begin_stack_cache();
    for (unsigned i = 0; i != 30; ++i) BOOST_TEST(is_right(recurse(i % 7)));
    BOOST_TEST(has_stack_cache());
    end_stack_cache();
    BOOST_TEST(!has_stack_cache());
    BOOST_TEST(is_right(recurse(5)));
    BOOST_TEST(!has_stack_cache());
  }).join();
}

BOOST_AUTO_TEST_CASE(a_stack_unwound_and_grown_again_is_seen_as_it_is)
{
  begin_stack_cache();
  for (unsigned i = 0; i != 200; ++i) BOOST_TEST_REQUIRE(is_right(recurse(i * 7 % 40)));
  end_stack_cache();
}

BOOST_AUTO_TEST_CASE(a_thread_takes_over_what_another_left)
{
  const auto cache_of_a_thread = [] {
    stack_cache* mine = nullptr;
    std::thread([&mine] {
      begin_stack_cache();
      for (unsigned i = 0; i != 20; ++i) BOOST_TEST(is_right(recurse(i % 5)));
      mine = have_stack_cache();
      end_stack_cache();
    }).join();
    return mine;
  };
  stack_cache* const first = cache_of_a_thread();
  BOOST_TEST(first != nullptr);
  BOOST_TEST(cache_of_a_thread() == first);
}

BOOST_AUTO_TEST_CASE(threads_that_end_give_their_memory_back)
{
  const auto capture_in_thread = [] {
    std::thread([] {
      begin_stack_cache();
      static_cast<void>(recurse(3));
      end_stack_cache();
    }).join();
  };
  for (int i = 0; i != 10; ++i) capture_in_thread();
  const std::size_t before = metadata_held();
  for (int i = 0; i != 100; ++i) capture_in_thread();
  BOOST_TEST(metadata_held() == before);
}

// However many are there at a time.
BOOST_AUTO_TEST_CASE(many_threads_that_end_together_give_their_memory_back)
{
  const auto capture_in_many = [] {
    constexpr int count = 40;
    std::latch all_captured(count);
    std::vector<std::thread> threads;
    for (int i = 0; i != count; ++i) {
      threads.emplace_back([&all_captured] {
        begin_stack_cache();
        static_cast<void>(recurse(3));
        all_captured.arrive_and_wait();
        end_stack_cache();
      });
    }
    for (std::thread& t : threads) t.join();
  };
  capture_in_many();
  const std::size_t before = metadata_held();
  for (int i = 0; i != 5; ++i) capture_in_many();
  BOOST_TEST(metadata_held() <= before + (std::size_t{1} << 20));  // of one time it would be six
}

BOOST_AUTO_TEST_CASE(without_memory_for_caches_stacks_are_walked_each_time)
{
  BOOST_TEST(gpa::test::true_in_child([] {
    if (!is_right(recurse(2))) return false;  // the depot and the rules have their memory
    for (int i = 0; i != 20; ++i) {           // nor may there be one that another thread left
      begin_stack_cache();
      static_cast<void>(have_stack_cache());
      my_stacks = nullptr;
    }
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_AS, &none);
    while (metadata_allocate(std::size_t{256} << 10) != nullptr) {
    }
    begin_stack_cache();
    const std::uint32_t first = capture_stack(32, nullptr);
    return have_stack_cache() == nullptr && first != 0;
  }));
}
