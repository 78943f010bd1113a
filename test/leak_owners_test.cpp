// Leak reports tell owners from what they own: by the pointers that leaked blocks hold.
#define BOOST_TEST_MODULE leak_owners
#include <gpa/resource.hpp>

#include "support/not_run.hpp"
#include "support/suspects.hpp"
#include "support/witness.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <list>
#include <map>
#include <memory_resource>
#include <random>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <sys/mman.h>

namespace {

using gpa::test::unknown;
using gpa::test::witness;

gpa::options checked(witness& w, std::string_view name = "owners")
{
  return w.listening({.name = name, .checks = gpa::checks::always()});
}

// A block whose words the test writes.
struct block {
  std::byte* at = nullptr;
  std::size_t bytes = 0;

  void point(std::size_t word, const void* to) const { std::memcpy(at + word * sizeof to, &to, sizeof to); }
};

// Two calls with two stacks, so that a report can tell which of the blocks it means.
[[gnu::noinline]] block owner_block(gpa::resource& r, std::size_t bytes)
{
  const block b{static_cast<std::byte*>(r.allocate(bytes, 16)), bytes};
  std::memset(b.at, 0, bytes);
  STAY;
  return b;
}
[[gnu::noinline]] block other_block(gpa::resource& r, std::size_t bytes)
{
  const block b{static_cast<std::byte*>(r.allocate(bytes, 16)), bytes};
  std::memset(b.at, 0, bytes);
  STAY;
  return b;
}

struct sums {
  std::size_t groups = 0, blocks = 0, bytes = 0, owned_blocks = 0, owned_bytes = 0;
};

sums sums_of(const std::vector<gpa::report>& told)
{
  sums s;
  for (const gpa::report& r : told) {
    ++s.groups;
    s.blocks += r.blocks;
    s.bytes += r.total_bytes;
    s.owned_blocks += r.owned_blocks;
    s.owned_bytes += r.owned_bytes;
  }
  return s;
}

// Looks for leaks, which must be one group of that many owners and owned blocks, of all that is live.
gpa::report only_group(gpa::resource& r, witness& w, std::size_t owners, std::size_t owned)
{
  BOOST_TEST(r.detect_leaks() == owners + owned);
  const std::vector<gpa::report> told = w.take();
  BOOST_TEST_REQUIRE(told.size() == 1u);
  BOOST_TEST(told[0].blocks == owners);
  BOOST_TEST(told[0].owned_blocks == owned);
  BOOST_TEST(told[0].total_bytes + told[0].owned_bytes == r.stats().live_bytes);
  return told[0];
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_block_that_another_points_at_is_owned_and_so_is_what_that_points_at)
{
  witness w;
  gpa::resource r(checked(w));
  for (int i = 0; i != unknown(10); ++i) {
    const block session = owner_block(r, 72);
    const block name = other_block(r, 40), history = other_block(r, 5'000), entry = other_block(r, 24);
    session.point(0, name.at);
    session.point(8, history.at);
    history.point(600, entry.at);
  }
  const gpa::report told = only_group(r, w, 10, 30);
  BOOST_TEST(told.bytes == 72u);
  BOOST_TEST(told.owned_bytes == 10u * (40 + 5'000 + 24));
  r.release();
}

// More of them than a scan remembers at once.
BOOST_AUTO_TEST_CASE(a_table_owns_what_its_many_blocks_point_at)
{
  witness w;
  gpa::resource r(checked(w));
  const block table = owner_block(r, 200'000 * sizeof(void*));
  for (std::size_t i = 0; i != unknown(std::size_t{200'000}); ++i) {
    const block entry = other_block(r, 16);
    table.point(i, entry.at);
    entry.point(0, other_block(r, 16).at);
  }
  static_cast<void>(only_group(r, w, 1, 400'000));
  r.release();
}

BOOST_AUTO_TEST_CASE(blocks_without_pointers_to_each_other_own_nothing)
{
  witness w;
  gpa::resource r(checked(w));
  std::vector<block> blocks(unknown(std::size_t{6}));
  for (block& b : blocks) {
    b = owner_block(r, 64);
    b.point(0, b.at);
    b.point(1, b.at + 8);
  }
  const gpa::report told = only_group(r, w, 6, 0);
  const auto lower = [](const block& a, const block& b) { return a.at < b.at; };
  BOOST_TEST(told.address == std::min_element(blocks.begin(), blocks.end(), lower)->at);
  BOOST_TEST(told.last == std::max_element(blocks.begin(), blocks.end(), lower)->at);
  r.release();
}

BOOST_AUTO_TEST_CASE(a_pointer_into_a_block_owns_it_and_one_past_its_end_does_not)
{
  witness w;
  gpa::resource r(checked(w));
  const block a = owner_block(r, 64), b = other_block(r, 40);
  for (const std::size_t offset : {0U, 1U, 39U}) {
    a.point(3, b.at + offset);
    BOOST_TEST_CONTEXT(offset) only_group(r, w, 1, 1);
  }
  a.point(3, b.at + 40);
  r.detect_leaks();
  BOOST_TEST(sums_of(w.take()).owned_blocks == 0u);
  r.release();
}

BOOST_AUTO_TEST_CASE(a_pointer_that_is_not_aligned_or_lies_behind_the_last_whole_word_does_not_count)
{
  witness w;
  gpa::resource r(checked(w));
  const block a = owner_block(r, 68), b = other_block(r, 40);
  std::memcpy(a.at + 4, &b.at, sizeof b.at);
  std::memcpy(a.at + 60, &b.at, sizeof b.at);
  r.detect_leaks();
  BOOST_TEST(sums_of(w.take()).owned_blocks == 0u);
  r.release();
}

BOOST_AUTO_TEST_CASE(a_cycle_is_one_group_and_one_of_its_blocks_owns_the_others)
{
  witness w;
  gpa::resource r(checked(w));
  std::vector<block> ring(unknown(std::size_t{7}));
  for (block& b : ring) b = owner_block(r, 48);
  for (std::size_t i = 0; i != ring.size(); ++i) ring[i].point(0, ring[(i + 1) % ring.size()].at);
  const block tail = other_block(r, 100);
  ring[3].point(1, tail.at);
  only_group(r, w, 1, 7);
  r.release();
}

BOOST_AUTO_TEST_CASE(what_hangs_on_a_cycle_behind_a_cycle_is_owned_by_the_first_of_them)
{
  witness w;
  gpa::resource r(checked(w));
  // The first in memory are those that are reached last.
  const block c = other_block(r, 32), d = other_block(r, 32), a = owner_block(r, 32), b = owner_block(r, 32);
  a.point(0, b.at);
  b.point(0, a.at);
  b.point(1, c.at);
  c.point(0, d.at);
  d.point(0, c.at);
  const gpa::report told = only_group(r, w, 1, 3);
  BOOST_TEST((told.address == a.at || told.address == b.at));
  r.release();
}

BOOST_AUTO_TEST_CASE(a_leaked_container_owns_its_elements_although_they_point_back_at_it)
{
  witness w;
  gpa::resource r(checked(w));
  const auto leak = [&](auto* container, auto fill) {
    fill(*container);
    const gpa::report told = only_group(r, w, 1, r.stats().live_blocks - 1);
    BOOST_TEST(told.address == container);
    r.allocator().delete_object(container);
  };
  leak(r.allocator().new_object<std::pmr::list<int>>(), [](auto& l) { l.assign(20, 1); });
  leak(r.allocator().new_object<std::pmr::map<int, std::pmr::string>>(), [](auto& m) {
    for (int i = 0; i != 20; ++i) m.emplace(i, "longer than a short string is");
  });
  leak(r.allocator().new_object<std::pmr::unordered_map<int, int>>(), [](auto& m) {
    for (int i = 0; i != 20; ++i) m.emplace(i, i);
  });
  BOOST_TEST((r.deinit() == gpa::check::ok));
}

BOOST_AUTO_TEST_CASE(a_large_block_owns_more_blocks_than_the_scan_can_remember_at_once)
{
  constexpr std::size_t count = 300'000;
  witness w;
  gpa::resource r(checked(w));
  const block table = owner_block(r, count * sizeof(void*));
  for (std::size_t i = 0; i != count; ++i) table.point(i, other_block(r, 8).at);
  only_group(r, w, 1, count);
  r.release();
}

BOOST_AUTO_TEST_CASE(a_chain_of_any_length_is_followed)
{
  constexpr std::size_t count = 200'000;
  witness w;
  gpa::resource r(checked(w));
  block last = other_block(r, 16);
  for (std::size_t i = 0; i != count; ++i) {
    const block next = other_block(r, 16);
    next.point(0, last.at);
    last = next;
  }
  only_group(r, w, 1, count);
  r.release();
}

BOOST_AUTO_TEST_CASE(a_freed_block_owns_nothing_and_is_not_owned)
{
  witness w;
  gpa::resource r(checked(w));
  const block a = owner_block(r, 32), b = other_block(r, 32);
  a.point(0, b.at);
  r.deallocate(a.at, 32, 16);
  BOOST_TEST(only_group(r, w, 1, 0).address == b.at);
  const block c = owner_block(r, 64);
  c.point(0, b.at);
  r.deallocate(b.at, 32, 16);
  BOOST_TEST(only_group(r, w, 1, 0).address == c.at);
  r.deallocate(c.at, 64, 16);
}

BOOST_AUTO_TEST_CASE(what_an_ignored_block_points_at_is_meant_to_stay_too)
{
  witness w;
  gpa::resource r(checked(w));
  const block registry = owner_block(r, 64), entry = other_block(r, 32), name = other_block(r, 32);
  registry.point(0, entry.at);
  entry.point(0, name.at);
  const block lost = other_block(r, 32);
  lost.point(0, name.at);
  r.ignore(registry.at);
  BOOST_TEST(r.detect_leaks() == 1u);
  const std::vector<gpa::report> told = w.take();
  BOOST_TEST_REQUIRE(told.size() == 1u);
  BOOST_TEST(told[0].address == lost.at);
  BOOST_TEST(told[0].owned_blocks == 0u);
  r.deallocate(lost.at, 32, 16);
  BOOST_TEST((r.deinit() == gpa::check::ok));
  BOOST_TEST(w.count() == 0u);
}

BOOST_AUTO_TEST_CASE(another_resources_blocks_own_nothing_here)
{
  witness w;
  gpa::resource ours(checked(w, "ours")), theirs(checked(w, "theirs"));
  const block a = owner_block(theirs, 32), b = other_block(ours, 32);
  a.point(0, b.at);
  BOOST_TEST(only_group(ours, w, 1, 0).address == b.at);
  theirs.release();
  ours.release();
}

// Against the plainest way to say it: an owner for each group of blocks that reach each other and that nobody else
// reaches; everything else is owned.
BOOST_AUTO_TEST_CASE(owners_are_as_many_as_cycles_and_single_blocks_that_nobody_else_reaches)
{
  std::mt19937 random(20'261'122);
  for (int round = 0; round != 200; ++round) {
    const std::size_t count = 1 + random() % 40;
    const std::size_t edges = random() % (2 * count);
    witness w;
    gpa::resource r(checked(w));
    std::vector<block> blocks;
    for (std::size_t i = 0; i != count; ++i)
      blocks.push_back(other_block(r, random() % 8 == 0 ? 40'000 : 16 * (1 + random() % 20)));
    std::vector<std::vector<bool>> reaches(count, std::vector<bool>(count));
    for (std::size_t i = 0; i != count; ++i) reaches[i][i] = true;
    for (std::size_t i = 0; i != edges; ++i) {
      const block& from = blocks[random() % count];
      const std::size_t target = random() % count;
      from.point(random() % (from.bytes / 8), blocks[target].at + random() % 2 * (random() % blocks[target].bytes));
    }
    for (std::size_t i = 0; i != count; ++i) {
      for (std::size_t word = 0; word != blocks[i].bytes / 8; ++word) {
        const std::byte* to = nullptr;
        std::memcpy(&to, blocks[i].at + word * 8, sizeof to);
        for (std::size_t j = 0; j != count; ++j)
          if (to >= blocks[j].at && to < blocks[j].at + blocks[j].bytes) reaches[i][j] = true;
      }
    }
    for (std::size_t k = 0; k != count; ++k)
      for (std::size_t i = 0; i != count; ++i)
        for (std::size_t j = 0; j != count; ++j)
          if (reaches[i][k] && reaches[k][j]) reaches[i][j] = true;
    std::size_t owners = 0;
    for (std::size_t i = 0; i != count; ++i) {
      bool first_of_its_cycle = true, reached_by_others = false;
      for (std::size_t j = 0; j != count; ++j) {
        if (reaches[j][i] && !reaches[i][j]) reached_by_others = true;
        if (j < i && reaches[j][i] && reaches[i][j]) first_of_its_cycle = false;
      }
      if (first_of_its_cycle && !reached_by_others) ++owners;
    }
    BOOST_TEST(r.detect_leaks() == count);
    const sums s = sums_of(w.take());
    BOOST_TEST_CONTEXT("round " << round)
    {
      BOOST_TEST(s.blocks == owners);
      BOOST_TEST(s.owned_blocks == count - owners);
      BOOST_TEST(s.bytes + s.owned_bytes == r.stats().live_bytes);
    }
    r.release();
  }
}

BOOST_AUTO_TEST_CASE(every_block_has_its_place_while_others_change_pointers_and_free)
{
  constexpr std::size_t constant = 50;
  witness w;
  gpa::resource r(checked(w));
  std::vector<block> there;
  for (std::size_t i = 0; i != unknown(constant); ++i) there.push_back(owner_block(r, i % 5 == 0 ? 50'000 : 64));
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t != 2; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      while (!stop.load(std::memory_order_relaxed)) {
        const std::size_t bytes = random() % 16 == 0 ? 50'000 : 48;
        auto* const p = static_cast<std::atomic<void*>*>(r.allocate(bytes, 16));
        p[0].store(there[random() % constant].at, std::memory_order_relaxed);
        r.deallocate(p, bytes, 16);
      }
    });
  }
  for (int i = 0; i != 100; ++i) {
    const std::size_t live = r.detect_leaks();
    const sums s = sums_of(w.take());
    BOOST_TEST(s.blocks + s.owned_blocks == live);
    BOOST_TEST(live >= constant);
  }
  stop = true;
  for (std::thread& t : threads) t.join();
  only_group(r, w, constant, 0);
  r.release();
}

// Users may close pages of their blocks: what a report would show of them it leaves out.
BOOST_AUTO_TEST_CASE(blocks_whose_pages_are_closed_are_reported)
{
  for (const std::size_t bytes : {std::size_t{8'192}, std::size_t{262'144}}) {
    witness w;
    gpa::resource r(checked(w));
    void* const p = r.allocate(bytes, 4'096);
    std::memset(p, 1, bytes);
    BOOST_TEST_REQUIRE(::mprotect(p, bytes, PROT_NONE) == 0);
    BOOST_TEST(r.detect_leaks() == 1u);
    BOOST_TEST(w.count(gpa::mistake::leak) == 1u);
    BOOST_TEST_REQUIRE(::mprotect(p, bytes, PROT_READ | PROT_WRITE) == 0);
#if GPA_TEST_ASAN
    gpa::test::not_run_here("ASan stops at the planted write itself");
    r.deallocate(p, bytes, 4'096);
#else
    // One byte behind it, where the last page of the block cannot be read.
    static_cast<std::byte*>(p)[bytes] = std::byte{1};
    BOOST_TEST_REQUIRE(::mprotect(p, bytes, PROT_NONE) == 0);
    BOOST_TEST(r.verify() == 1u);
    BOOST_TEST_REQUIRE(::mprotect(p, bytes, PROT_READ | PROT_WRITE) == 0);
    r.deallocate(p, bytes, 4'096);
    BOOST_TEST(w.count(gpa::mistake::overflow) == 1u);
#endif
  }
}
