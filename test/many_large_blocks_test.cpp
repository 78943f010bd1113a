// Programs with very many large blocks, checked: the mappings that the kernel allows a process are not used up.
#define BOOST_TEST_MODULE many_large_blocks
#include <gpa/resource.hpp>

#include "support/accomplices.hpp"
#include "support/mappings.hpp"
#include "support/resident.hpp"
#include "support/suspects.hpp"
#include "support/witness.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace {

using gpa::test::mappings;
using gpa::test::sanitized;
using gpa::test::witness;

/// Blocks of 33 to 66 KB, or of 33 to 233, of which any is freed.
class herd {
 public:
  herd(gpa::resource& r, unsigned seed, std::size_t span = 33'000) : r_(&r), random_(seed), span_(span) {}
  herd(const herd&) = delete;
  herd& operator=(const herd&) = delete;
  ~herd() { shrink_to(0); }

  void grow_to(std::size_t count)
  {
    while (blocks_.size() < count) add();
  }
  void shrink_to(std::size_t count)
  {
    while (blocks_.size() > count) remove();
  }
  void turn(std::size_t times)
  {
    while (times-- != 0) {
      remove();
      add();
    }
  }

 private:
  void add()
  {
    const std::size_t bytes = 33'000 + random_() % span_;
    auto* const p = static_cast<std::byte*>(r_->allocate(bytes));
    p[0] = p[bytes - 1] = std::byte{0x41};
    blocks_.emplace_back(p, bytes);
  }
  void remove()
  {
    std::swap(blocks_[random_() % blocks_.size()], blocks_.back());
    const auto [p, bytes] = blocks_.back();
    blocks_.pop_back();
    if (p[0] != std::byte{0x41} || p[bytes - 1] != std::byte{0x41}) ++spoiled;
    r_->deallocate(p, bytes);
  }

  gpa::resource* r_;
  std::mt19937 random_;
  std::size_t span_;
  std::vector<std::pair<std::byte*, std::size_t>> blocks_;

 public:
  std::size_t spoiled = 0;
};

struct fixture {
  witness w;
  gpa::resource r{w.listening(
      {.checks = gpa::checks::always(), .stack_frames = 0, .protect_large = gpa::protect_large::always})};
};

// An eighth of the kernel's 65 530 may be closed, and part two others each; as many more may have moved.
constexpr std::size_t most_mappings = 22'000;

}  // namespace

BOOST_FIXTURE_TEST_CASE(blocks_freed_and_allocated_in_turn_and_in_waves_keep_to_a_third_of_the_mappings, fixture)
{
  for (const std::size_t span : {std::size_t{33'000}, std::size_t{200'000}}) {
    herd h(r, 1, span);
    h.grow_to(20'000);
    const auto looks_right = [&](const char* after) {
      if (!sanitized) BOOST_TEST(mappings() < most_mappings, after);
      BOOST_TEST(h.spoiled == 0u, after);
    };
    for (int i = 0; i != 2; ++i) {
      h.turn(40'000);
      looks_right("turns");
    }
    for (int i = 0; i != 2; ++i) {
      h.shrink_to(3'000);
      looks_right("ebb");
      h.grow_to(20'000);
      looks_right("flood");
    }
    BOOST_TEST(r.verify() == 0u);
    h.shrink_to(0);
    looks_right("end");
    BOOST_TEST(r.stats().held_bytes <= std::size_t{64} << 20);
  }
  r.trim();
  BOOST_TEST(r.stats().held_bytes == 0u);
  BOOST_TEST(w.count() == 0u);
}

// Those that were picked lie side by side in a range of their own, whose free parts are mappings, too.
BOOST_AUTO_TEST_CASE(blocks_picked_by_sampling_keep_to_a_third_of_the_mappings_and_leave_none_behind)
{
  const std::size_t before = mappings();
  {
    witness w;
    gpa::resource one(w.listening({.checks = gpa::checks::one_in(2), .stack_frames = 0}));
    gpa::resource other(w.listening({.checks = gpa::checks::one_in(2), .stack_frames = 0}));
    herd a(one, 1, 2'000);
    herd b(other, 2, 2'000);
    for (herd* const h : {&a, &b}) h->grow_to(60'000);
    for (herd* const h : {&a, &b}) h->turn(30'000);
    if (!sanitized) BOOST_TEST(mappings() < most_mappings);
    for (herd* const h : {&a, &b}) h->shrink_to(0);
    if (!sanitized) BOOST_TEST(mappings() < most_mappings);
    BOOST_TEST(a.spoiled + b.spoiled == 0u);
    BOOST_TEST(w.count() == 0u);
  }
  if (!sanitized) BOOST_TEST(mappings() < before + 200);
}

BOOST_FIXTURE_TEST_CASE(addresses_left_long_ago_are_used_again_and_young_ones_are_double_frees, fixture)
{
  herd h(r, 2);
  h.grow_to(9'000);
  const std::size_t before = gpa::test::status_kib("VmSize");
  h.turn(70'000);
  const std::size_t settled = gpa::test::status_kib("VmSize");
  h.turn(20'000);
  // 70 000 ranges of 192 KiB at first; then nearly none.
  if (!sanitized) BOOST_TEST(gpa::test::status_kib("VmSize") - settled < (settled - before) / 8);

  void* const young = gpa::test::obtain(r, 50'000);
  gpa::test::discard(r, young, 50'000);
  h.turn(5'000);
  gpa::test::discard(r, young, 50'000);
  BOOST_TEST(w.count(gpa::mistake::double_free) == 1u);
  BOOST_TEST(r.verify() == 0u);
  BOOST_TEST(h.spoiled == 0u);
  BOOST_TEST(w.count() == 1u);
}

// Others than those that new blocks are as large as rest as long as ever.
BOOST_FIXTURE_TEST_CASE(what_was_freed_last_is_not_old_because_nothing_of_its_size_is_wanted, fixture)
{
  herd h(r, 2);
  h.grow_to(9'000);
  h.turn(66'000);
  void* const young = gpa::test::obtain(r, 50'000);
  gpa::test::discard(r, young, 50'000);
  for (int i = 0; i != 2'000; ++i) gpa::test::discard(r, gpa::test::obtain(r, 400'000), 400'000);
  gpa::test::discard(r, young, 50'000);
  BOOST_TEST(w.count(gpa::mistake::double_free) == 1u);
}

// Each has a mapping of its own, freed or not.
BOOST_FIXTURE_TEST_CASE(over_aligned_blocks_leave_the_program_its_mappings, fixture)
{
  const std::size_t before = mappings();
  constexpr std::size_t alignment = std::size_t{2} << 20;
  for (int i = 0; i != 20'000; ++i) r.deallocate(r.allocate(100'000, alignment), 100'000, alignment);
  if (!sanitized) BOOST_TEST(mappings() < before + 5'000);
  BOOST_TEST(r.stats().held_bytes == 0u);
  BOOST_TEST(w.count() == 0u);
}

BOOST_FIXTURE_TEST_CASE(threads_take_old_addresses_while_somebody_looks_and_trims, fixture)
{
  const auto turn = [this](unsigned seed) {
    herd h(r, seed);
    h.grow_to(5'000);
    h.turn(40'000);
    return h.spoiled;
  };
  std::array<std::size_t, 2> spoiled{};
  std::thread first([&] { spoiled[0] = turn(3); });
  std::thread second([&] { spoiled[1] = turn(4); });
  for (int i = 0; i != 20; ++i) {
    BOOST_TEST(r.verify() == 0u);
    r.trim();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  first.join();
  second.join();
  BOOST_TEST(spoiled[0] + spoiled[1] == 0u);
  BOOST_TEST(r.stats().live_blocks == 0u);
  BOOST_TEST(w.count() == 0u);
}
