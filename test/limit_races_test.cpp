#define BOOST_TEST_MODULE limit_races
#include <gpa/resource.hpp>

#include "support/resident.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <cstddef>
#include <thread>

namespace {

using gpa::test::rounds;

constexpr gpa::checks kinds[] = {gpa::checks::always(), gpa::checks::never(), gpa::checks::one_in(3)};

bool allows(gpa::resource& r, std::size_t bytes)
{
  void* const p = r.try_allocate(bytes, 8);
  if (p != nullptr) r.deallocate(p, bytes, 8);
  return p != nullptr;
}

}  // namespace

// Others may be in the middle of a call, with more reserved than they count.
BOOST_AUTO_TEST_CASE(the_same_limit_set_again_gives_nobody_more)
{
  for (const gpa::checks checks : kinds) {
    BOOST_TEST_CONTEXT("one in " << checks.interval())
    {
      constexpr std::size_t most = 100'000;
      gpa::resource r({.checks = checks, .memory_limit = most});
      std::atomic<bool> done{false};
      std::thread setter([&] {
        while (!done) r.set_memory_limit(most);
      });
      for (int i = 0; i != rounds(6'000); ++i) {
        void* p = nullptr;
        std::size_t bytes = 0;
        for (const std::size_t wanted : {most, most / 2}) {
          if (p = r.try_allocate(wanted, 8); p == nullptr) continue;
          bytes = wanted;
          break;
        }
        BOOST_TEST_REQUIRE(bytes == most);
        BOOST_TEST_REQUIRE(r.try_allocate(1, 8) == nullptr);
        r.deallocate(p, bytes, 8);
      }
      done = true;
      setter.join();
    }
  }
}

BOOST_AUTO_TEST_CASE(of_two_limits_set_at_once_one_holds)
{
  for (const gpa::checks checks : kinds) {
    BOOST_TEST_CONTEXT("one in " << checks.interval())
    {
      gpa::resource r({.checks = checks});
      for (int i = 0; i != rounds(3'000); ++i) {
        std::atomic<int> waiting{2};
        const auto at_once = [&](std::size_t limit) {
          --waiting;
          while (waiting != 0) std::this_thread::yield();
          r.set_memory_limit(limit);
        };
        std::thread other([&] { at_once(100); });
        at_once(gpa::unlimited);
        other.join();
        for (int again = 0; again != 3; ++again) BOOST_TEST_REQUIRE(allows(r, 101) == (r.memory_limit() != 100));
      }
    }
  }
}
