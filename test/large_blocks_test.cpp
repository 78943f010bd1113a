// Large checked blocks by the thousand, protected: what stays inaccessible, what is forgotten, and what the kernel has to keep.
#define BOOST_TEST_MODULE large_blocks
#include <gpa/resource.hpp>

#include "support/accomplices.hpp"
#include "support/death.hpp"
#include "support/mappings.hpp"
#include "support/resident.hpp"
#include "support/upstreams.hpp"
#include "support/witness.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstddef>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

namespace {

using namespace gpa::test;
using gpa::mistake;

constexpr std::size_t kib = 1024;

gpa::options without_stacks()
{
  return {.checks = gpa::checks::always(), .stack_frames = 0, .protect_large = gpa::protect_large::always};
}

// `count` blocks one after the other, eight live at a time; the freed ones in the order of their frees.
std::vector<void*> freed_blocks(gpa::resource& r, std::size_t bytes, int count)
{
  std::mt19937 random(3);
  std::array<void*, 8> live{};
  std::vector<void*> freed;
  for (int i = 0; i != count; ++i) {
    void*& p = live[random() % live.size()];
    if (p != nullptr) {
      discard(r, p, bytes);
      freed.push_back(p);
    }
    p = obtain(r, bytes);
    std::memset(p, 1, 64);
  }
  for (void* const p : live) {
    discard(r, p, bytes);
    freed.push_back(p);
  }
  return freed;
}

}  // namespace

BOOST_AUTO_TEST_CASE(freed_blocks_stay_inaccessible_however_many_they_are)
{
  const ending e = in_child([] {
    const std::size_t before = mappings();
    for (const std::size_t bytes : {40 * kib, 64 * kib, 200 * kib}) {
      gpa::resource r(without_stacks());
      std::size_t open = 0;
      for (void* const p : freed_blocks(r, bytes, rounds(20'000)))
        if (is_accessible(p) || is_accessible(static_cast<std::byte*>(p) + bytes - 1)) ++open;
      if (open != 0) ::_exit(1);
      if (!sanitized && mappings() > before + 200) ::_exit(2);
    }
  });
  BOOST_TEST(e.is_clean(), e);
}

BOOST_AUTO_TEST_CASE(the_page_tables_of_freed_blocks_go)
{
  if (sanitized) return;  // shadow memory has tables too
  gpa::resource r(without_stacks());
  const std::size_t before = status_kib("VmPTE");
  static_cast<void>(freed_blocks(r, 64 * kib, 20'000));  // 3.7 GiB of addresses: 7.3 MiB of tables
  BOOST_TEST(status_kib("VmPTE") < before + 1024);
}

BOOST_AUTO_TEST_CASE(pages_that_no_block_came_for_leave_no_holes_and_go_in_the_end)
{
  const std::size_t before = mappings();
  const std::size_t addresses_before = status_kib("VmSize");
  {
    gpa::resource r(without_stacks());
    std::vector<void*> blocks;
    for (int round = 0; round != rounds(100); ++round) {
      for (std::size_t i = 0; i != 200; ++i) blocks.push_back(obtain(r, (i % 20 + 1) * 100 * kib));
      for (std::size_t i = 0; i != 200; ++i) discard(r, blocks[i], (i % 20 + 1) * 100 * kib);
      blocks.clear();
      if (round % 2 == 0) r.trim();
    }
    if (!sanitized) BOOST_TEST(mappings() < before + 200);
    r.trim();
    BOOST_TEST(r.verify() == 0u);
    BOOST_TEST(r.stats().held_bytes < 64 * kib);
    BOOST_TEST(r.deinit() == gpa::check::ok);
  }
  if (!sanitized) BOOST_TEST(status_kib("VmSize") < addresses_before + 64 * kib);
}

BOOST_AUTO_TEST_CASE(the_oldest_are_forgotten_beyond_65536_and_the_others_are_not)
{
  if (sanitized) return;  // takes too long there
  witness w;
  gpa::resource r(w.listening(without_stacks()));
  constexpr std::size_t bytes = 40 * kib;
  const std::vector<void*> freed = freed_blocks(r, bytes, 65'536 + 1'000);
  blunder(r, freed.front(), bytes);
  blunder(r, freed[freed.size() - 65'000], bytes);
  blunder(r, freed.back(), bytes);
  BOOST_TEST(w.count() == 3u);
  BOOST_TEST(w.count(mistake::double_free) == 2u);
  BOOST_TEST(w.count(mistake::invalid_pointer) == 1u);
  const std::size_t most = status_kib("VmSize");
  BOOST_TEST(r.deinit() == gpa::check::misuse);
  BOOST_TEST(status_kib("VmSize") + 8 * 1024 * kib < most);  // 12 GiB of addresses
}

BOOST_AUTO_TEST_CASE(a_large_block_of_no_bytes_is_forgotten_like_any_other)
{
  witness w;
  gpa::resource r(w.listening(without_stacks()));
  void* const aligned = r.allocate(0, 8192);
  void* const shrunk = r.allocate(70'000, 8);
  BOOST_TEST(r.try_resize(shrunk, 70'000, 0, 8));
  r.deallocate(aligned, 0, 8192);
  r.deallocate(shrunk, 0, 8);
  r.release();
  blunder(r, aligned, 1);
  blunder(r, shrunk, 1);
  BOOST_TEST(w.count(mistake::invalid_pointer) == 2u);
  BOOST_TEST(w.count() == 2u);
}

BOOST_AUTO_TEST_CASE(threads_free_large_blocks_while_others_trim_and_look)
{
  gpa::resource r(without_stacks());
  const auto work = [&r](unsigned seed) {
    std::mt19937 random(seed);
    std::array<std::pair<void*, std::size_t>, 8> live{};
    for (int i = 0; i != rounds(3'000); ++i) {
      auto& [p, bytes] = live[random() % live.size()];
      if (p != nullptr) r.deallocate(p, bytes);
      bytes = (random() % 30 + 1) * 40 * kib;
      p = r.allocate(bytes);
      std::memset(p, 1, 64);
    }
    for (const auto& [p, bytes] : live)
      if (p != nullptr) r.deallocate(p, bytes);
  };
  std::thread first(work, 1);
  std::thread second(work, 2);
  for (int i = 0; i != 200; ++i) {
    r.trim();
    BOOST_TEST(r.verify() == 0u);
  }
  first.join();
  second.join();
  BOOST_TEST(r.deinit() == gpa::check::ok);
}

// There freed blocks stay accessible, until as much was freed after them as the quarantine holds.
BOOST_AUTO_TEST_CASE(over_an_upstream_a_write_after_free_is_told_when_the_quarantine_ends)
{
  constexpr std::size_t bytes = 100'000;
  witness w;
  recording_upstream upstream;
  gpa::resource r(w.listening({.checks = gpa::checks::always(), .quarantine_bytes = 10 * bytes}), &upstream);
  void* const p = obtain(r, bytes);
  discard(r, p, bytes);
  stray_write(p, 5);
  std::vector<void*> others;
  for (int i = 0; i != 20; ++i) others.push_back(obtain(r, bytes));
  for (void* const other : others) discard(r, other, bytes);
  const auto told = w.take();
  BOOST_TEST_REQUIRE(told.size() == 1u);
  BOOST_TEST(told[0].kind == mistake::write_after_free);
  BOOST_TEST(told[0].address == p);
  BOOST_TEST(told[0].offset == 5u);
  BOOST_TEST(r.deinit() == gpa::check::misuse);
  BOOST_TEST(w.count() == 0u);
}

BOOST_AUTO_TEST_CASE(what_is_held_is_what_the_upstream_has_not_back)
{
  for (const auto protect : {gpa::protect_large::automatic, gpa::protect_large::never}) {
    recording_upstream upstream;
    gpa::resource r({.checks = gpa::checks::always(), .quarantine_bytes = 1'000'000, .protect_large = protect}, &upstream);
    for (int round = 0; round != 3; ++round) {
      std::vector<void*> blocks;
      for (int i = 0; i != 40; ++i) blocks.push_back(r.allocate(100'000));
      BOOST_TEST(r.stats().held_bytes == upstream.live_bytes());
      for (void* const p : blocks) r.deallocate(p, 100'000);
      BOOST_TEST(r.stats().held_bytes == upstream.live_bytes());
      r.trim();
      BOOST_TEST(r.stats().held_bytes == upstream.live_bytes());
      static_cast<void>(r.allocate(100'000));
      r.release();
      BOOST_TEST(r.stats().held_bytes == 0u);
      BOOST_TEST(upstream.live_bytes() == 0u);
    }
  }
}
