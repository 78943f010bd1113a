// When an address comes back, as a program sees it.
#define BOOST_TEST_MODULE reuse
#include "base/size_class.hpp"
#include "checked/quarantine.hpp"

#include "support/witness.hpp"

#include <gpa/resource.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace {

using namespace gpa::detail;

constexpr std::size_t mib = std::size_t{1} << 20;

// What a program sees when it allocates and frees `pairs` blocks of `bytes`, in slots of `slot`, in turns: the bytes of slots
// freed between a block's free and the next one at its address, at least, and how many addresses there were.
struct rest {
  std::size_t shortest;
  std::size_t addresses;
};

rest rest_of_addresses(gpa::resource& r, std::size_t bytes, std::size_t slot, std::size_t pairs,
                       std::unordered_map<void*, std::size_t> freed_at = {}, std::size_t freed = 0)
{
  std::size_t shortest = gpa::unlimited;
  for (std::size_t i = 0; i != pairs; ++i) {
    void* const p = r.allocate(bytes, 8);
    const auto [known, is_new] = freed_at.try_emplace(p, 0);
    if (!is_new) shortest = std::min(shortest, freed - known->second);
    r.deallocate(p, bytes, 8);
    freed += slot;
    known->second = freed;
  }
  return {shortest, freed_at.size()};
}

// Slots that a thread has ready already, or opens up for the first time, go before those whose wait is over.
constexpr std::size_t soon = 512;

gpa::options with_quarantine(std::size_t bytes)
{
  return {.checks = gpa::checks::always(), .quarantine_bytes = bytes, .stack_frames = 0};
}

}  // namespace

BOOST_AUTO_TEST_CASE(an_address_rests_until_its_quarantine_was_freed_and_not_many_rest_longer)
{
  for (const std::size_t quarantine : {std::size_t{4096}, std::size_t{65'536}, 300 * std::size_t{1024}}) {
    for (const std::size_t bytes : {8U, 40U, 1000U, 30'000U}) {
      gpa::resource r(with_quarantine(quarantine));
      const std::size_t slot = std::max(slot_size(size_class(bytes + 1)), quarantine_rule::of(quarantine).least_step);
      const std::size_t most = 3 * quarantine / slot + soon;
      const rest seen = rest_of_addresses(r, bytes, slot, 4 * most);
      BOOST_TEST(seen.shortest >= quarantine, bytes << " bytes, quarantine " << quarantine);
      BOOST_TEST(seen.addresses <= most, bytes << " bytes, quarantine " << quarantine);
    }
  }
}

// Of the periods that are over the last one goes first: its poison is still in the CPU's cache.
BOOST_AUTO_TEST_CASE(what_rested_longest_rests_on)
{
  constexpr std::size_t quarantine = 65'536;
  gpa::resource r(with_quarantine(quarantine));
  std::vector<void*> old(400);
  for (void*& p : old) p = r.allocate(1000, 8);
  for (void* const p : old) r.deallocate(p, 1000, 8);  // some six quarantines of them
  std::size_t oldest = 0;
  for (std::size_t i = 0; i != 1000; ++i) {
    void* const p = r.allocate(1000, 8);
    if (std::find(old.begin(), old.begin() + 50, p) != old.begin() + 50) ++oldest;
    r.deallocate(p, 1000, 8);
  }
  BOOST_TEST(oldest <= 20u);
}

BOOST_AUTO_TEST_CASE(frees_of_any_size_end_the_wait_of_any_other)
{
  gpa::resource r(with_quarantine(65'536));
  void* const first = r.allocate(40, 8);
  r.deallocate(first, 40, 8);
  r.deallocate(r.allocate(30'000, 8), 30'000, 8);
  void* const early = r.allocate(40, 8);
  BOOST_TEST(early != first);
  r.deallocate(r.allocate(30'000, 8), 30'000, 8);
  r.deallocate(r.allocate(30'000, 8), 30'000, 8);
  std::vector<void*> late;
  for (std::size_t i = 0; i != soon; ++i) late.push_back(r.allocate(40, 8));  // looks at the clock, once a batch
  for (int i = 0; i != 3; ++i) r.deallocate(r.allocate(30'000, 8), 30'000, 8);
  for (std::size_t i = 0; i != soon; ++i) late.push_back(r.allocate(40, 8));
  BOOST_TEST((std::find(late.begin(), late.end(), first) != late.end()));
  for (void* const p : late) r.deallocate(p, 40, 8);
  r.deallocate(early, 40, 8);
}

// Whether a block freed in one resource is used again there, after the thread freed three quarantines in another.
bool is_over_after_frees_elsewhere(gpa::resource& r, gpa::resource& other)
{
  const std::size_t quarantine = r.options().quarantine_bytes;
  void* const first = r.allocate(40, 8);
  r.deallocate(first, 40, 8);
  bool seen = false;
  std::vector<void*> taken;
  for (int turn = 0; turn != 3; ++turn) {
    for (std::size_t freed = 0; freed < quarantine; freed += 1000) other.deallocate(other.allocate(1000, 8), 1000, 8);
    for (std::size_t i = 0; i != soon; ++i) taken.push_back(r.allocate(40, 8));
  }
  seen = std::find(taken.begin(), taken.end(), first) != taken.end();
  for (void* const p : taken) r.deallocate(p, 40, 8);
  return seen;
}

BOOST_AUTO_TEST_CASE(resources_of_a_thread_share_the_usual_quarantine_and_no_other)
{
  const gpa::options usual{.checks = gpa::checks::always(), .stack_frames = 0};
  gpa::resource a(usual);
  gpa::resource b(usual);
  BOOST_TEST(is_over_after_frees_elsewhere(a, b));
  BOOST_TEST(is_over_after_frees_elsewhere(b, a));
  gpa::resource own(with_quarantine(100'000));
  BOOST_TEST(!is_over_after_frees_elsewhere(own, b));
  gpa::resource as_long(with_quarantine(b.options().quarantine_bytes));
  BOOST_TEST(!is_over_after_frees_elsewhere(as_long, b));
  gpa::resource much(with_quarantine(1'000'000));
  gpa::resource again(usual);
  BOOST_TEST(!is_over_after_frees_elsewhere(again, much));
}

// What a thread freed is remembered with the resources it uses: it goes on counting when those become many.
BOOST_AUTO_TEST_CASE(an_address_rests_while_its_thread_begins_to_use_many_more_resources)
{
  const gpa::options usual{.checks = gpa::checks::always(), .stack_frames = 0};
  gpa::resource r(usual);
  for (std::size_t i = 0; i != 1000; ++i) r.deallocate(r.allocate(4'000, 8), 4'000, 8);
  std::unordered_set<void*> resting;
  std::vector<void*> blocks;
  for (int i = 0; i != 2'000; ++i) blocks.push_back(r.allocate(24, 8));
  for (void* const p : blocks) {
    r.deallocate(p, 24, 8);
    resting.insert(p);
  }
  std::vector<std::unique_ptr<gpa::resource>> others;
  for (int i = 0; i != 100; ++i) {
    others.push_back(std::make_unique<gpa::resource>(usual));
    others.back()->deallocate(others.back()->allocate(24, 8), 24, 8);
    r.deallocate(r.allocate(100, 8), 100, 8);
  }
  std::size_t early = 0;
  for (int i = 0; i != 2'000; ++i) early += resting.count(r.allocate(24, 8));
  BOOST_TEST(early == 0u);
  r.release();
}

BOOST_AUTO_TEST_CASE(who_goes_on_with_the_cache_of_another_thread_lets_its_blocks_rest)
{
  const gpa::options usual{.checks = gpa::checks::always(), .stack_frames = 0};
  const std::size_t slot = slot_size(size_class(40 + 1));
  for (const std::size_t before : {std::size_t{0}, 3 * mib}) {
    for (const std::size_t after : {std::size_t{0}, 3 * mib}) {
      gpa::resource r(usual);
      const auto free_elsewhere = [&](std::size_t bytes) {
        gpa::resource other(usual);
        for (std::size_t freed = 0; freed < bytes; freed += 1000) other.deallocate(other.allocate(1000, 8), 1000, 8);
      };
      std::unordered_map<void*, std::size_t> freed_at;
      std::size_t freed = 0;
      std::thread([&] {
        free_elsewhere(before);
        for (int i = 0; i != 10'000; ++i) {
          void* const p = r.allocate(40, 8);
          r.deallocate(p, 40, 8);
          freed_at[p] = freed += slot;
        }
      }).join();
      std::thread([&] {
        free_elsewhere(after);
        const rest seen = rest_of_addresses(r, 40, slot, 20'000, freed_at, freed);
        BOOST_TEST(seen.shortest >= r.options().quarantine_bytes, before << " bytes before, " << after << " after");
        BOOST_TEST(seen.addresses <= 3 * r.options().quarantine_bytes / slot + soon, before << ", " << after);
      }).join();
    }
  }
}

BOOST_AUTO_TEST_CASE(a_thread_keeps_16384_blocks_at_most)
{
  gpa::resource r(with_quarantine(std::size_t{1} << 30));
  const rest seen = rest_of_addresses(r, 8, 1, 100'000);
  BOOST_TEST(seen.shortest >= 15'000u);
  BOOST_TEST(seen.addresses <= 2 * 16'384u);
}

BOOST_AUTO_TEST_CASE(without_a_quarantine_an_address_is_soon_used_again)
{
  gpa::resource r(with_quarantine(0));
  for (const std::size_t bytes : {0U, 8U, 1000U, 30'000U}) {
    const rest seen = rest_of_addresses(r, bytes, 1, 4 * soon);
    BOOST_TEST(seen.shortest < soon);
    BOOST_TEST(seen.addresses < soon);
  }
}

BOOST_AUTO_TEST_CASE(with_an_unlimited_quarantine_no_address_is_used_twice)
{
  gpa::resource r(with_quarantine(gpa::unlimited));
  std::unordered_set<void*> seen;
  std::size_t twice = 0;
  for (std::size_t i = 0; i != 100'000; ++i) {
    const std::size_t bytes = i % 10 == 0 ? 200 : 24;
    void* const p = r.allocate(bytes, 8);
    r.deallocate(p, bytes, 8);
    if (!seen.insert(p).second) ++twice;
    if (i % 20'000 == 19'999) r.trim();
  }
  BOOST_TEST(twice == 0u);
}

BOOST_AUTO_TEST_CASE(an_address_freed_long_ago_is_a_double_free_with_an_unlimited_quarantine)
{
  gpa::test::witness witness;
  gpa::resource r(witness.listening(with_quarantine(gpa::unlimited)));
  void* const first = r.allocate(24, 8);
  r.deallocate(first, 24, 8);
  for (std::size_t i = 0; i != 50'000; ++i) r.deallocate(r.allocate(24, 8), 24, 8);
  r.trim();
  BOOST_TEST(witness.count() == 0u);
  r.deallocate(first, 24, 8);
  BOOST_TEST(witness.count(gpa::mistake::double_free) == 1u);
}

// What one thread frees waits for what that thread frees; another's frees do not shorten it.
BOOST_AUTO_TEST_CASE(each_thread_has_a_quarantine_of_its_own)
{
  gpa::resource r(with_quarantine(65'536));
  void* const first = r.allocate(40, 8);
  r.deallocate(first, 40, 8);
  bool reused = false;
  std::thread([&] {
    for (std::size_t i = 0; i != 10'000; ++i) {
      void* const p = r.allocate(40, 8);
      r.deallocate(p, 40, 8);
      if (p == first) reused = true;
    }
  }).join();
  BOOST_TEST(!reused);
  void* const next = r.allocate(40, 8);
  BOOST_TEST(next != first);
  r.deallocate(next, 40, 8);
}

BOOST_AUTO_TEST_CASE(trim_ends_the_quarantine)
{
  gpa::resource r(with_quarantine(mib));
  void* const first = r.allocate(40, 8);
  void* const held = r.allocate(40, 8);  // keeps the slab
  r.deallocate(first, 40, 8);
  r.trim();
  std::vector<void*> blocks;
  for (std::size_t i = 0; i != 100; ++i) blocks.push_back(r.allocate(40, 8));
  BOOST_TEST((std::find(blocks.begin(), blocks.end(), first) != blocks.end()));
  for (void* const p : blocks) r.deallocate(p, 40, 8);
  r.deallocate(held, 40, 8);
}
