// Who frees to a slab without a locked instruction, and that all mistakes are found where several do.
#define BOOST_TEST_MODULE slab_owners
#include "blocks/page_map.hpp"
#include "checked/slab.hpp"
#include "os/barrier.hpp"

#include "support/race.hpp"
#include "support/suspects.hpp"
#include "support/witness.hpp"

#include <gpa/resource.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <set>
#include <thread>
#include <vector>

namespace {

using namespace gpa::detail;
using gpa::test::stray_write;
using gpa::test::witness;

const gpa::options plain{.checks = gpa::checks::always(), .quarantine_bytes = 65'536, .stack_frames = 0};

std::vector<std::byte*> allocated(gpa::resource& r, std::size_t count, std::size_t bytes)
{
  std::vector<std::byte*> all(count);
  for (std::byte*& p : all) p = static_cast<std::byte*>(r.allocate(bytes, 8));
  return all;
}

void free_all(gpa::resource& r, const std::vector<std::byte*>& all, std::size_t bytes)
{
  for (std::byte* const p : all) r.deallocate(p, bytes, 8);
}

const void* sole_of(const void* p) { return region_of(p)->sole.load(); }

std::set<const void*> soles_of(const std::vector<std::byte*>& all)
{
  std::set<const void*> soles;
  for (const std::byte* const p : all) soles.insert(sole_of(p));
  return soles;
}

}  // namespace

BOOST_AUTO_TEST_CASE(this_machine_has_the_barrier)
{
  BOOST_TEST(process_barrier_available());  // or nobody has a slab alone
}

BOOST_AUTO_TEST_CASE(threads_allocate_from_slabs_of_their_own)
{
  for (const std::size_t bytes : {8U, 100U, 500U, 4'000U}) {
    gpa::resource r(plain);
    std::array<std::vector<std::byte*>, 3> blocks;
    gpa::test::race(3, 20, [] {}, [&](unsigned self) {
      const std::vector<std::byte*> more = allocated(r, 10, bytes);
      blocks[self].insert(blocks[self].end(), more.begin(), more.end());
    }, [] {});
    std::set<const void*> all;
    for (const std::vector<std::byte*>& of_one : blocks) {
      const std::set<const void*> soles = soles_of(of_one);
      BOOST_TEST(soles.size() == 1u, bytes);
      all.merge(std::set<const void*>(soles));
    }
    BOOST_TEST(all.size() == 3u, bytes);
    BOOST_TEST(all.count(nullptr) == 0u, bytes);
    for (const std::vector<std::byte*>& of_one : blocks) free_all(r, of_one, bytes);
  }
}

BOOST_AUTO_TEST_CASE(what_others_left_free_is_used_before_more_is_asked_for)
{
  constexpr std::size_t count = 40'000;  // of 48 bytes a slot: less than is given back
  gpa::resource r(plain);
  free_all(r, allocated(r, count, 40), 40);
  const std::size_t held = r.stats().held_bytes;
  std::thread([&] {
    const std::vector<std::byte*> blocks = allocated(r, count - 2'000, 40);
    BOOST_TEST(r.stats().held_bytes <= held + held / 8 + 4 * 65'536);
    free_all(r, blocks, 40);
  }).join();
}

BOOST_AUTO_TEST_CASE(many_threads_do_not_hold_many_slabs)
{
  gpa::resource r(plain);
  const std::vector<std::byte*> first = allocated(r, 10, 40);
  for (int i = 0; i != 50; ++i) std::thread([&] { free_all(r, allocated(r, 10, 40), 40); }).join();
  BOOST_TEST(r.stats().held_bytes <= 2 * 65'536u);  // each goes on with the cache of the one before
  free_all(r, first, 40);
}

// However many threads there were at once: when they are gone, their slabs are used before there are new ones.
BOOST_AUTO_TEST_CASE(slabs_of_threads_that_ended_are_used_again)
{
  constexpr unsigned threads = 16;
  gpa::resource r(plain);
  const std::vector<std::byte*> first = allocated(r, 10, 40);
  gpa::test::race(threads, 1, [] {}, [&](unsigned self) {
    if (self != 0) free_all(r, allocated(r, 10, 40), 40);
  }, [] {});
  const std::size_t held = r.stats().held_bytes;
  BOOST_TEST(held >= threads * 65'536u);
  const std::vector<std::byte*> more = allocated(r, (threads - 1) * 1'000, 40);
  BOOST_TEST(r.stats().held_bytes <= held + held / 8 + 2 * 65'536);
  free_all(r, more, 40);
  free_all(r, first, 40);
}

BOOST_AUTO_TEST_CASE(who_had_to_share_gets_slabs_of_its_own_again)
{
  gpa::resource r(plain);
  const std::vector<std::byte*> few = allocated(r, 100, 40);
  std::thread([&] { free_all(r, few, 40); }).join();
  BOOST_TEST(sole_of(few[0]) == nullptr);
  const std::vector<std::byte*> more = allocated(r, 1'000, 40);
  BOOST_TEST(sole_of(more.back()) != nullptr);
  free_all(r, more, 40);
}

// The sizes are of each kind of slot that the hot path knows.
BOOST_AUTO_TEST_CASE(where_several_free_each_mistake_is_told_once_and_no_right_free)
{
  for (const bool stacks : {false, true}) {
    for (const std::size_t bytes : {1U, 24U, 100U, 127U, 128U, 300U, 700U, 1'000U, 1'024U, 4'000U, 32'768U}) {
      witness w;
      gpa::options o = plain;
      o.stack_frames = stacks ? 32 : 0;
      gpa::resource r(w.listening(o));
      const std::vector<std::byte*> blocks = allocated(r, 8, bytes);
      std::thread([&] { r.deallocate(blocks[0], bytes, 8); }).join();
      BOOST_REQUIRE(sole_of(blocks[1]) == nullptr);
      for (const std::size_t i : {1U, 2U, 3U}) r.deallocate(blocks[i], bytes, 8);
      BOOST_TEST(w.count() == 0u, bytes);
      r.deallocate(blocks[1], bytes, 8);
      BOOST_TEST(w.count(gpa::mistake::double_free) == 1u, bytes);
      r.deallocate(blocks[4], bytes + 1, 8);
      BOOST_TEST(w.count(gpa::mistake::size_mismatch) == 1u, bytes);
      r.deallocate(blocks[4], bytes, 16);
      BOOST_TEST(w.count(gpa::mistake::alignment_mismatch) == 1u, bytes);
      r.deallocate(blocks[4], bytes, 8);
      stray_write(blocks[5], static_cast<std::ptrdiff_t>(bytes));
      r.deallocate(blocks[5], bytes, 8);
      BOOST_TEST(w.count(gpa::mistake::overflow) == 1u, bytes);
      r.deallocate(blocks[6] + 1, bytes, 8);
      BOOST_TEST(w.count(gpa::mistake::invalid_pointer) == 1u, bytes);
      BOOST_TEST(w.count() == 5u, bytes);
      stray_write(blocks[2], 0);
      BOOST_TEST(r.verify() == 1u, bytes);
      BOOST_TEST(w.count(gpa::mistake::write_after_free) == 1u, bytes);
      for (const std::size_t i : {6U, 7U}) r.deallocate(blocks[i], bytes, 8);
      const gpa::statistics s = r.stats();
      BOOST_TEST(s.live_blocks == 0u, bytes);
      BOOST_TEST(s.live_bytes == 0u, bytes);
      // The slots go on, through full periods too.
      for (int i = 0; i != 3'000; ++i) r.deallocate(r.allocate(bytes, 8), bytes, 8);
      BOOST_TEST(w.count() == 6u, bytes);
    }
  }
}

// A slab's own thread and another one free, and free once more, the same blocks at the same moments.
BOOST_AUTO_TEST_CASE(of_two_who_free_one_block_of_a_shared_slab_one_is_told)
{
  witness w;
  gpa::resource r(w.listening(plain));
  constexpr std::size_t rounds = 2'000;
  for (const std::size_t bytes : {40U, 300U, 4'000U}) {
    std::vector<std::byte*> blocks;
    std::size_t before = 0;
    gpa::test::race(2, rounds / 4, [&] {
      blocks = allocated(r, 4, bytes);
      before = w.count();
    }, [&](unsigned) { free_all(r, blocks, bytes); }, [&] {
      BOOST_REQUIRE(w.count() == before + 4);
    });
  }
  BOOST_TEST(w.count(gpa::mistake::double_free) == w.count());
  BOOST_TEST(r.stats().live_blocks == 0u);
}
