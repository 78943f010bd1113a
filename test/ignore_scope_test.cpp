#define BOOST_TEST_MODULE ignore_scope
#include <gpa/resource.hpp>
#include <gpa/tag_scope.hpp>

#include "support/witness.hpp"

#include <boost/test/unit_test.hpp>

#include <memory_resource>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

namespace {

using gpa::test::witness;

std::size_t leaked_blocks(gpa::resource& r, witness& w)
{
  const std::size_t count = r.detect_leaks();
  static_cast<void>(w.take());
  return count;
}

}  // namespace

static_assert(!std::is_copy_constructible_v<gpa::ignore_scope> && !std::is_move_constructible_v<gpa::ignore_scope>);

BOOST_AUTO_TEST_CASE(blocks_of_every_size_made_in_it_are_no_leaks_and_those_around_it_are)
{
  for (const std::size_t frames : {0U, 32U}) {
    witness w;
    gpa::resource r(w.listening({.checks = gpa::checks::always(), .stack_frames = frames}));
    static_cast<void>(r.allocate(24));
    {
      const gpa::ignore_scope scope;
      for (const std::size_t bytes : {1U, 24U, 5'000U, 200'000U}) static_cast<void>(r.allocate(bytes));
      static_cast<void>(r.try_allocate(24));
      static_cast<void>(r.allocator().allocate(24));
    }
    static_cast<void>(r.allocate(24));
    BOOST_TEST(leaked_blocks(r, w) == 2u);
    BOOST_TEST(r.stats().live_blocks == 8u);
    BOOST_TEST((r.deinit() == gpa::check::leak));
    BOOST_TEST(w.take().front().blocks <= 2u);
  }
}

BOOST_AUTO_TEST_CASE(all_that_is_live_may_be_meant_to_stay)
{
  witness w;
  gpa::resource r(w.listening({.checks = gpa::checks::always()}));
  std::pmr::vector<std::pmr::string>* registry = nullptr;
  {
    const gpa::ignore_scope scope;
    registry = r.allocator().new_object<std::pmr::vector<std::pmr::string>>(10, "longer than a short string is");
  }
  BOOST_TEST(registry->size() == 10u);
  BOOST_TEST((r.deinit() == gpa::check::ok));
  BOOST_TEST(w.count() == 0u);
}

BOOST_AUTO_TEST_CASE(scopes_nest)
{
  witness w;
  gpa::resource r(w.listening({.checks = gpa::checks::always()}));
  {
    const gpa::ignore_scope outer;
    {
      const gpa::ignore_scope inner;
      static_cast<void>(r.allocate(24));
    }
    static_cast<void>(r.allocate(24));
    BOOST_TEST(leaked_blocks(r, w) == 0u);
  }
  static_cast<void>(r.allocate(24));
  BOOST_TEST(leaked_blocks(r, w) == 1u);
  r.release();
}

BOOST_AUTO_TEST_CASE(it_is_about_every_resource_and_this_thread_alone)
{
  witness w;
  gpa::resource one(w.listening({.checks = gpa::checks::always()}));
  gpa::resource two(w.listening({.checks = gpa::checks::always()}));
  const gpa::ignore_scope scope;
  static_cast<void>(one.allocate(24));
  static_cast<void>(two.allocate(24));
  std::thread([&] { static_cast<void>(two.allocate(24)); }).join();
  BOOST_TEST(leaked_blocks(one, w) == 0u);
  BOOST_TEST(leaked_blocks(two, w) == 1u);
  two.release();
}

BOOST_AUTO_TEST_CASE(what_is_ignored_is_checked_and_freed_as_ever)
{
  witness w;
  gpa::resource r(w.listening({.checks = gpa::checks::always(), .memory_limit = 100'000}));
  void* p = nullptr;
  void* q = nullptr;
  {
    const gpa::ignore_scope scope;
    p = r.allocate(24);
    q = r.allocate(24);
    r.deallocate(q, 24);  // inside
    BOOST_TEST(r.try_allocate(200'000) == nullptr);
  }
  r.deallocate(p, 23);
  const auto told = w.take();
  BOOST_TEST_REQUIRE(told.size() == 1u);
  BOOST_TEST((told.front().kind == gpa::mistake::size_mismatch));
  r.deallocate(p, 24);  // outside
  BOOST_TEST(r.stats().live_blocks == 0u);
  BOOST_TEST(w.count() == 0u);
}

// It is made before the thread's first allocation, so what gpa does at a thread's end comes before the scope's.
BOOST_AUTO_TEST_CASE(a_scope_may_last_as_long_as_its_thread_and_not_longer)
{
  for (const bool tagged : {false, true}) {
    witness w;
    gpa::resource r(w.listening({.checks = gpa::checks::always()}));
    std::thread([&r, tagged] {
      struct allocator_at_end {
        gpa::resource* from = nullptr;
        std::size_t bytes = 0;
        ~allocator_at_end() { static_cast<void>(from->allocate(bytes)); }
      };
      thread_local allocator_at_end after_it{&r, 77};
      static_cast<void>(&after_it);
      thread_local const gpa::ignore_scope scope;
      static_cast<void>(&scope);
      static_cast<void>(r.allocate(24));
      thread_local allocator_at_end before_it_ends{&r, 100};
      static_cast<void>(&before_it_ends);
      thread_local std::optional<gpa::tag_scope> tag;
      if (tagged) tag.emplace("of the thread");
    }).join();
    BOOST_TEST(r.stats().live_blocks == 3u);
    BOOST_TEST(leaked_blocks(r, w) == 1u);
    BOOST_TEST((r.deinit() == gpa::check::leak));
    BOOST_TEST(w.take().front().total_bytes == 77u);
  }
}

// A slot that was ignored once is not for ever.
BOOST_AUTO_TEST_CASE(an_address_that_comes_again_is_a_leak_again)
{
  witness w;
  gpa::resource r(w.listening({.checks = gpa::checks::always(), .quarantine_bytes = 0}));
  {
    const gpa::ignore_scope scope;
    for (int i = 0; i != 1'000; ++i) r.deallocate(r.allocate(24), 24);
  }
  for (int i = 0; i != 1'000; ++i) static_cast<void>(r.allocate(24));
  BOOST_TEST(leaked_blocks(r, w) == 1'000u);
  r.release();
}
