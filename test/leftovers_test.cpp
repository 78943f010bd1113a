// What resources take for themselves, beside the blocks: all of it serves the next ones when they are gone.
#define BOOST_TEST_MODULE leftovers
#include <gpa/resource.hpp>
#include <gpa/snapshot.hpp>

#include "os/metadata.hpp"
#include "support/mappings.hpp"
#include "support/modes.hpp"
#include "support/resident.hpp"
#include "support/upstreams.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <memory_resource>
#include <thread>
#include <vector>

namespace {

using gpa::detail::metadata_held;
using gpa::test::every_mode;
using gpa::test::mappings;
using gpa::test::mode;

// Blocks of every kind, some of them freed before trim(), and some by another thread.
void use(gpa::resource& r, bool by_another_thread)
{
  struct request {
    std::size_t bytes;
    std::size_t alignment;
  };
  constexpr std::array<request, 7> requests = {
      {{24, 8}, {24, 64}, {700, 8}, {5'000, 8}, {40'000, 8}, {300'000, 8}, {5'000, 131'072}}};
  std::array<std::array<void*, 3>, requests.size()> blocks;
  for (std::size_t i = 0; i != requests.size(); ++i)
    for (void*& p : blocks[i]) p = r.allocate(requests[i].bytes, requests[i].alignment);
  const auto free = [&](std::size_t number) {
    for (std::size_t i = 0; i != requests.size(); ++i)
      r.deallocate(blocks[i][number], requests[i].bytes, requests[i].alignment);
  };
  free(0);
  BOOST_TEST(r.verify() == 0u);
  static_cast<void>(r.detect_leaks());
  r.trim();
  free(1);
  if (by_another_thread) {
    std::thread([&] { free(2); }).join();
  } else {
    free(2);
  }
}

void come_and_go(const mode& m, std::pmr::memory_resource* upstream)
{
  gpa::options o = m.options;
  o.on_report = [](const gpa::report&) {};
  gpa::resource r(o, upstream);
  use(r, o.thread_safe);
  BOOST_TEST((r.deinit() == gpa::check::ok));
}

}  // namespace

BOOST_AUTO_TEST_CASE(resources_that_came_and_went_leave_nothing_behind)
{
  constexpr int enough = 140;  // dead ones are known for a while, so that late calls of them are told
  for (const mode& m : every_mode()) {
    for (const bool own_upstream : {false, true}) {
      BOOST_TEST_CONTEXT(m.name << (own_upstream ? ", over an upstream" : ""))
      {
        gpa::test::recording_upstream upstream;
        std::pmr::memory_resource* const from = own_upstream ? &upstream : nullptr;
        for (int i = 0; i != enough; ++i) come_and_go(m, from);
        const std::size_t held = metadata_held();
        const std::size_t mapped = mappings();
        for (int i = 0; i != enough; ++i) come_and_go(m, from);
        BOOST_TEST(metadata_held() == held);
        if (!gpa::test::sanitized) BOOST_TEST(mappings() <= mapped + 4);
        BOOST_TEST(upstream.live() == 0u);
      }
    }
  }
}

// The other way to the same end: all blocks at once, again and again.
BOOST_AUTO_TEST_CASE(a_resource_that_is_released_again_and_again_takes_no_more)
{
  for (const mode& m : every_mode()) {
    BOOST_TEST_CONTEXT(m.name)
    {
      gpa::resource r(m.options);
      const auto fill_and_release = [&r] {
        for (const std::size_t bytes : {24U, 700U, 5'000U, 40'000U, 300'000U}) static_cast<void>(r.allocate(bytes));
        r.release();
      };
      for (int i = 0; i != 50; ++i) fill_and_release();
      const std::size_t held = metadata_held();
      const std::size_t mapped = mappings();
      for (int i = 0; i != 250; ++i) fill_and_release();
      BOOST_TEST(metadata_held() == held);
      if (!gpa::test::sanitized) BOOST_TEST(mappings() <= mapped + 4);
      BOOST_TEST(r.stats().live_blocks == 0u);
      BOOST_TEST((r.deinit() == gpa::check::ok));
    }
  }
}

BOOST_AUTO_TEST_CASE(threads_leave_what_they_had_in_each_resource_to_those_to_come)
{
  for (const gpa::checks checks : {gpa::checks::always(), gpa::checks::never()}) {
    std::vector<std::unique_ptr<gpa::resource>> all;
    for (int i = 0; i != 100; ++i) all.push_back(std::make_unique<gpa::resource>(gpa::options{.checks = checks}));
    const auto use_first = [&all](std::size_t count) {
      std::thread([&] {
        for (std::size_t i = 0; i != count; ++i) all[i]->deallocate(all[i]->allocate(24), 24);
      }).join();
    };
    use_first(all.size());
    const std::size_t held = metadata_held();
    for (std::size_t count = 1; count != all.size(); ++count)
      for (int i = 0; i != 4; ++i) use_first(count);
    BOOST_TEST(metadata_held() == held);
  }
}

BOOST_AUTO_TEST_CASE(a_limit_costs_memory_once_and_not_with_each_call)
{
  for (const mode& m : every_mode()) {
    BOOST_TEST_CONTEXT(m.name)
    {
      gpa::options o = m.options;
      o.memory_limit = std::size_t{1} << 30;
      gpa::resource r(o);
      const auto allocate_and_free = [&r] { r.deallocate(r.allocate(24), 24); };
      for (int i = 0; i != 100; ++i) allocate_and_free();
      const std::size_t held = metadata_held();
      for (int i = 0; i != 1'000; ++i) allocate_and_free();
      BOOST_TEST(metadata_held() == held);
    }
  }
}
