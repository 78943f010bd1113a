// The fast heap from inside: its invariants after random work, over the system and over an upstream.
#define BOOST_TEST_MODULE fast_heap
#include "fast/fast_heap.hpp"

#include "base/tools.hpp"
#include "blocks/needed_pages.hpp"
#include "os/pages.hpp"

#include "support/fast_heaps.hpp"
#include "support/resident.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <thread>
#include <utility>
#include <vector>

namespace {

using gpa::detail::fast_cache;
using gpa::detail::fast_heap;
using gpa::test::recording_upstream;

constexpr std::size_t mega = std::size_t{1} << 20;

struct block {
  std::size_t bytes;
  std::size_t alignment;
  std::byte content;
};

using fixture = gpa::test::fast_heaps;

bool holds(const std::byte* p, const block& b)
{
  return std::all_of(p, p + std::min<std::size_t>(b.bytes, 64), [&](std::byte seen) { return seen == b.content; }) &&
         (b.bytes == 0 || p[b.bytes - 1] == b.content);
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(every_size_and_alignment_has_a_block_of_its_own, fixture)
{
  for (fast_heap* const h : {&pages, &above}) {
    std::map<std::byte*, block> live;
    for (const std::size_t alignment : {1U, 2U, 16U, 32U, 64U, 1'024U, 4'096U, 8'192U, 131'072U}) {
      for (const std::size_t bytes : {0U, 1U, 15U, 16U, 17U, 48U, 1'023U, 1'024U, 1'025U, 4'000U, 28'672U, 28'673U,
                                      32'767U, 32'768U, 32'769U, 65'536U, 65'537U, 300'000U}) {
        std::byte* const p = take(*h, k, bytes, alignment);
        const auto [at, fresh] = live.emplace(p, block{bytes, alignment, std::byte(live.size() % 251 + 1)});
        BOOST_REQUIRE(fresh);
        std::memset(p, static_cast<int>(at->second.content), bytes);
      }
    }
    for (const auto& [p, b] : live) BOOST_TEST(holds(p, b));
    for (const auto& [p, b] : live) give(*h, k, p, b.bytes, b.alignment);
    BOOST_TEST(k.counts.live().blocks == 0);
    BOOST_TEST(k.counts.live().bytes == 0);
    h->flush(k);
    h->check();
    h->trim();
    BOOST_TEST(h->held_bytes() == 0u);
  }
  BOOST_TEST(upstream.live() == 0u);
}

BOOST_FIXTURE_TEST_CASE(blocks_allocated_in_a_row_lie_side_by_side_whatever_order_they_were_freed_in, fixture)
{
  std::vector<std::byte*> blocks;
  for (int i = 0; i != 50'000; ++i) blocks.push_back(take(pages, k, 48));
  std::shuffle(blocks.begin(), blocks.end(), std::mt19937(3));
  for (std::byte* const p : blocks) give(pages, k, p, 48);
  pages.flush(k);
  pages.check();
  std::size_t neighbours = 0;
  for (std::byte*& p : blocks) p = take(pages, k, 48);
  for (std::size_t i = 1; i != blocks.size(); ++i) neighbours += blocks[i] == blocks[i - 1] + 48 ? 1 : 0;
  BOOST_TEST(neighbours > blocks.size() * 9 / 10);
  for (std::byte* const p : blocks) give(pages, k, p, 48);
}

BOOST_FIXTURE_TEST_CASE(a_slot_freed_twice_is_handed_out_once, fixture)
{
  std::byte* const p = take(pages, k, 48);
  std::byte* const wall = take(pages, k, 48);
  give(pages, k, p, 48);
  give(pages, other, p, 48);  // undefined for the user; our counts must survive it
  pages.flush(k);
  pages.flush(other);
  pages.check();
  std::set<std::byte*> seen;
  for (int i = 0; i != 3'000; ++i) BOOST_REQUIRE(seen.insert(take(pages, k, 48)).second);
  BOOST_TEST(seen.contains(p));
  BOOST_TEST(!seen.contains(wall));
}

BOOST_FIXTURE_TEST_CASE(a_slab_loses_the_pages_that_only_free_slots_lie_on, fixture)
{
  std::vector<std::byte*> blocks;
  for (int i = 0; i != 20'000; ++i) {
    blocks.push_back(take(pages, k, 1'000));
    std::memset(blocks.back(), 0x41, 1'000);
  }
  const std::size_t full = gpa::test::resident_bytes();
  std::vector<std::byte*> kept;
  for (std::size_t i = 0; i != blocks.size(); ++i) {
    if (i % 60 == 0) {
      kept.push_back(blocks[i]);
    } else {
      give(pages, k, blocks[i], 1'000);
    }
  }
  pages.flush(k);
  pages.trim();
  pages.check();
  if (!gpa::test::sanitized) BOOST_TEST(gpa::test::resident_bytes() + 16 * mega <= full);
  for (const std::byte* const p : kept)
    BOOST_REQUIRE(std::all_of(p, p + 1'000, [](std::byte seen) { return seen == std::byte{0x41}; }));
  for (int i = 0; i != 20'000; ++i) {
    std::byte* const p = take(pages, k, 1'000);
    std::memset(p, 0x42, 1'000);
  }
  for (const std::byte* const p : kept)
    BOOST_REQUIRE(std::all_of(p, p + 1'000, [](std::byte seen) { return seen == std::byte{0x41}; }));
}

BOOST_FIXTURE_TEST_CASE(after_bury_each_block_that_goes_takes_its_pages_along, fixture)
{
  std::vector<std::pair<std::byte*, std::size_t>> blocks;
  for (const std::size_t bytes : {24U, 1'000U, 30'000U, 200'000U}) {
    for (int i = 0; i != 40; ++i) {
      blocks.emplace_back(take(pages, k, bytes), bytes);
      std::memset(blocks.back().first, 0x41, bytes);
    }
  }
  pages.flush(k);
  pages.bury();
  std::size_t held = pages.held_bytes();
  for (const auto& [p, bytes] : blocks) {
    BOOST_REQUIRE(std::all_of(p, p + bytes, [](std::byte seen) { return seen == std::byte{0x41}; }));
    BOOST_TEST(pages.held_bytes() != 0u);
    pages.free_buried(p);
    BOOST_TEST(pages.held_bytes() <= held);
    held = pages.held_bytes();
  }
  BOOST_TEST(held == 0u);
  pages.check();
}

BOOST_FIXTURE_TEST_CASE(a_refusal_changes_nothing, fixture)
{
  upstream.refuse(0, recording_upstream::never);
  BOOST_TEST(above.allocate(k, 24, 8) == nullptr);
  BOOST_TEST(above.allocate(k, 200'000, 8) == nullptr);
  BOOST_TEST(pages.allocate(k, std::size_t{1} << 47, 8) == nullptr);
  BOOST_TEST(pages.allocate(k, 8, std::size_t{1} << 47) == nullptr);
  BOOST_TEST(k.counts.live().blocks == 0);
  BOOST_TEST(k.counts.allocated().bytes == 0u);
  BOOST_TEST(above.held_bytes() == 0u);
}

// Two caches, random operations, against a map of the live ranges.
BOOST_FIXTURE_TEST_CASE(live_blocks_never_overlap_and_keep_their_contents, fixture)
{
  for (fast_heap* const h : {&pages, &above}) {
    std::mt19937 random(29);
    std::map<std::byte*, block> live;
    for (int step = 0; step != gpa::test::rounds(150'000); ++step) {
      const auto dice = random() % 1'000;
      fast_cache& mine = random() % 3 == 0 ? other : k;
      if (live.size() < 3'000 && dice < 520) {
        const std::size_t most = dice < 400 ? 200 : dice < 500 ? 5'000 : 120'000;
        const block b{random() % most, std::size_t{1} << (dice % 20 == 0 ? random() % 14 : random() % 5),
                      std::byte(random() % 251 + 1)};
        std::byte* const p = take(*h, mine, b.bytes, b.alignment);
        const auto [at, fresh] = live.emplace(p, b);
        BOOST_REQUIRE(fresh);
        BOOST_REQUIRE((std::next(at) == live.end() || p + b.bytes <= std::next(at)->first));
        BOOST_REQUIRE((at == live.begin() || std::prev(at)->first + std::prev(at)->second.bytes <= p));
        std::memset(p, static_cast<int>(b.content), b.bytes);
      } else if (!live.empty()) {
        auto at = live.lower_bound(reinterpret_cast<std::byte*>(
            reinterpret_cast<std::uintptr_t>(live.begin()->first) +
            random() % static_cast<std::size_t>(live.rbegin()->first - live.begin()->first + 1)));
        BOOST_REQUIRE(at != live.end());
        auto& [p, b] = *at;
        BOOST_REQUIRE(holds(p, b));
        if (dice >= 900) {
          const std::size_t bytes = random() % (2 * b.bytes + 1);
          if (h->resize(mine, p, b.bytes, bytes, b.alignment)) {
            gpa::detail::tools_open(p, bytes);
            std::memset(p, static_cast<int>(b.content), bytes);
            mine.counts.count_resize(b.bytes, bytes);
            b.bytes = bytes;
          }
        } else {
          give(*h, mine, p, b.bytes, b.alignment);
          live.erase(at);
        }
      }
      if (dice == 999 && random() % 10 == 0) {
        h->flush(k);
        h->trim();
      }
      if (step % 1'024 == 0) {
        h->check();
        check(k);
        check(other);
      }
    }
    std::size_t bytes = 0;
    for (const auto& [p, b] : live) {
      BOOST_REQUIRE(holds(p, b));
      bytes += b.bytes;
    }
    BOOST_TEST(k.counts.live().bytes + other.counts.live().bytes == static_cast<std::int64_t>(bytes));
    BOOST_TEST(k.counts.live().blocks + other.counts.live().blocks == static_cast<std::int64_t>(live.size()));
    for (const auto& [p, b] : live) give(*h, k, p, b.bytes, b.alignment);
    h->flush(k);
    h->flush(other);
    h->check();
    h->trim();
    BOOST_TEST(h->held_bytes() == 0u);
  }
  BOOST_TEST(upstream.live() == 0u);
  BOOST_TEST(upstream.wrong() == 0u);
}

// No free leaves the hot path, and nothing is allocated: whoever empties the arrays looks whether the counter is full.
BOOST_FIXTURE_TEST_CASE(a_cache_that_only_frees_and_is_flushed_counts_on, fixture)
{
  constexpr std::size_t at_once = 60;
  const auto times = static_cast<std::size_t>(gpa::test::rounds(220'000));
  std::vector<std::byte*> blocks(at_once);
  for (std::size_t n = 0; n != times; ++n) {
    for (std::byte*& p : blocks) p = take(pages, k, 64);
    for (std::byte* const p : blocks) give(pages, other, p, 64);
    pages.flush(other);
  }
  BOOST_TEST(other.counts.freed().blocks == times * at_once);
  BOOST_TEST(other.counts.freed().bytes == times * at_once * 64);
  BOOST_TEST(k.counts.live().blocks + other.counts.live().blocks == 0);
  pages.flush(k);
}

// Each thread its cache; blocks go from one to the other, so that slabs fill from both sides.
BOOST_FIXTURE_TEST_CASE(threads_that_free_each_other_s_blocks_leave_every_count_right, fixture)
{
  constexpr std::size_t each = 20'000;
  std::vector<std::byte*> mine(each);
  std::vector<std::byte*> yours(each);
  for (int round = 0; round != 4; ++round) {
    const auto work = [&](fast_cache& cache, std::vector<std::byte*>& blocks, int content) {
      for (std::byte*& p : blocks) {
        if (p != nullptr) give(pages, cache, p, 40);
        p = static_cast<std::byte*>(pages.allocate(cache, 40, 8));  // not take(): its checks are for one thread
        gpa::detail::tools_open(p, 40);
        std::memset(p, content, 40);
      }
    };
    std::thread a([&] { work(k, mine, 0x41); });
    std::thread b([&] { work(other, yours, 0x42); });
    a.join();
    b.join();
    pages.check();
    std::swap(mine, yours);
  }
  for (std::byte* const p : mine) give(pages, k, p, 40);
  for (std::byte* const p : yours) give(pages, other, p, 40);
  pages.flush(k);
  pages.flush(other);
  pages.check();
  pages.trim();
  BOOST_TEST(pages.held_bytes() == 0u);
}

// By another rule: the smallest class whose slots are large enough, and multiples of the alignment.
BOOST_AUTO_TEST_CASE(the_class_of_an_over_aligned_block_is_that_of_its_rounded_size)
{
  using namespace gpa::detail;
  for (std::size_t alignment = 32; alignment <= small_alignment; alignment *= 2) {
    for (std::size_t bytes = 0; bytes <= small_limit; ++bytes) {
      const std::size_t rounded = (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
      BOOST_REQUIRE(over_aligned_class(bytes, alignment) == size_class(rounded));
    }
    for (const std::size_t bytes : {small_limit + 1, std::size_t{1} << 32, std::size_t{1} << 63, ~std::size_t{0} - 4'096,
                                    ~std::size_t{0} - 31, ~std::size_t{0}})
      BOOST_TEST(over_aligned_class(bytes, alignment) == 0u);
  }
  for (std::size_t alignment = 2 * small_alignment; alignment != 0; alignment *= 2)
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{4'096}, small_limit, ~std::size_t{0}})
      BOOST_TEST(over_aligned_class(bytes, alignment) == 0u);
}

// Where there was no memory for the header of its rest, a span was not cut to the measure of its slab.
BOOST_AUTO_TEST_CASE(behind_the_largest_slab_no_page_is_asked_about_and_none_dropped)
{
  using namespace gpa::detail;
  constexpr std::size_t slab = std::size_t{512} << 10;
  constexpr std::size_t span = slab + 9 * granule_size;
  auto* const p = static_cast<std::byte*>(map_pages(span));
  BOOST_TEST_REQUIRE(p != nullptr);
  std::memset(p, 0x41, span);
  needed_pages needed;
  needed.need_slot(1, 15'360);
  BOOST_TEST(needed.drop_others(p, span) == slab - needed.count() * page_size);
  BOOST_TEST(static_cast<int>(p[0]) == 0);
  BOOST_TEST(static_cast<int>(p[15'360]) == 0x41);
  BOOST_TEST(static_cast<int>(p[slab]) == 0x41);
  unmap_pages(p, span);
}
