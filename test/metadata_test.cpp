#define BOOST_TEST_MODULE metadata
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <random>
#include <thread>
#include <vector>

#include "base/bits.hpp"
#include "os/metadata.hpp"
#include "os/pages.hpp"
#include "support/child.hpp"

namespace {

using namespace gpa::detail;

constexpr std::size_t mib = std::size_t{1} << 20;
constexpr std::size_t no_size = std::numeric_limits<std::size_t>::max();

bool all_are(const void* p, std::size_t bytes, std::uint8_t value)
{
  const auto first = static_cast<const std::uint8_t*>(p);
  return std::all_of(first, first + bytes, [=](std::uint8_t b) { return b == value; });
}

void fill(void* p, std::size_t bytes, std::uint8_t value)
{
  std::fill_n(static_cast<std::uint8_t*>(p), bytes, value);
}

/// Sizes around every power of two up to 8 MiB, and around the middle between two.
std::vector<std::size_t> interesting_sizes()
{
  std::vector<std::size_t> sizes{0, 1};
  for (std::size_t size = 64; size <= 8 * mib; size *= 2)
    sizes.insert(sizes.end(), {size - 1, size, size + 1, size / 2 * 3 - 1, size / 2 * 3, size / 2 * 3 + 1});
  return sizes;
}

/// Allocates before main, and again after everything in this file is gone.
struct early_and_late {
  void* early = metadata_allocate(1000);
  early_and_late() { fill(early, 1000, 1); }
  ~early_and_late()
  {
    const bool kept = all_are(early, 1000, 1);
    metadata_free(early, 1000);
    const void* const late = metadata_allocate(1000);
    if (!kept || late == nullptr || !all_are(late, 1000, 0)) std::_Exit(EXIT_FAILURE);
  }
} const early_and_late_user;

}  // namespace

BOOST_AUTO_TEST_CASE(every_piece_is_zeroed_and_aligned_as_an_array_of_its_size_may_ask_up_to_a_page)
{
  for (const std::size_t bytes : interesting_sizes()) {
    for (int round = 0; round != 3; ++round) {
      void* const p = metadata_allocate(bytes);
      BOOST_REQUIRE(p != nullptr);
      const std::size_t divides = bytes & (~bytes + 1);  // the largest power of two that does
      BOOST_TEST(is_aligned(p, std::clamp(divides, std::size_t{64}, page_size)));
      BOOST_TEST(all_are(p, bytes, 0), "bytes " << bytes << " round " << round);
      fill(p, bytes, 0xFF);
      metadata_free(p, bytes);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_returned_piece_is_zeroed_to_its_end_whatever_size_it_had_before)
{
  using sizes = std::array<std::size_t, 2>;
  for (const auto [first, second] : {sizes{1, 64}, {64, 1}, {65, 128}, {192, 129}, {4096, 3073}, {3073, 4096}, {2049, 3072}}) {
    void* const p = metadata_allocate(first);
    fill(p, first, 0xFF);
    metadata_free(p, first);
    void* const q = metadata_allocate(second);
    BOOST_TEST(q == p);
    BOOST_TEST(all_are(q, second, 0));
    metadata_free(q, second);
  }
}

// What its user says nobody touched is not zeroed again, and is zero.
BOOST_AUTO_TEST_CASE(a_piece_of_which_little_was_touched_is_zeroed_as_far_as_that)
{
  constexpr std::size_t bytes = 16'528;
  for (const std::size_t touched : {std::size_t{0}, std::size_t{1}, std::size_t{16}, std::size_t{129}, std::size_t{5'000}, bytes}) {
    void* const p = metadata_allocate(bytes);
    BOOST_TEST(all_are(p, bytes, 0), "before " << touched);
    fill(p, touched, 0xFF);
    metadata_free(p, bytes, touched);
    void* const q = metadata_allocate(bytes);
    BOOST_TEST(q == p);
    BOOST_TEST(all_are(q, bytes, 0), "after " << touched);
    metadata_free(q, bytes, 0);
  }
  // It is believed: zeroing as much as before would be the test's own 0xFF gone.
  auto* const p = static_cast<std::uint8_t*>(metadata_allocate(bytes));
  p[bytes - 1] = 0xFF;
  metadata_free(p, bytes, 100);
  auto* const q = static_cast<std::uint8_t*>(metadata_allocate(bytes));
  BOOST_TEST(q == p);
  BOOST_TEST(q[bytes - 1] == 0xFF);
  metadata_free(q, bytes);
}

BOOST_AUTO_TEST_CASE(live_pieces_never_overlap)
{
  struct piece {
    void* p;
    std::size_t bytes;
    std::uint8_t value;
  };
  std::mt19937 random(20261122);
  const auto below = [&](std::size_t limit) { return random() % limit; };
  std::vector<piece> live;
  bool intact = true;
  for (int i = 0; i != 20'000; ++i) {
    if (live.size() < 200 || below(2) == 0) {
      const std::size_t bytes = below(std::size_t{1} << below(i % 512 == 0 ? 22 : 14));
      const piece fresh{metadata_allocate(bytes), bytes, static_cast<std::uint8_t>(1 + below(255))};
      intact = intact && fresh.p != nullptr && all_are(fresh.p, bytes, 0);
      fill(fresh.p, bytes, fresh.value);
      live.push_back(fresh);
    } else {
      std::swap(live[below(live.size())], live.back());
      const piece old = live.back();
      live.pop_back();
      intact = intact && all_are(old.p, old.bytes, old.value);
      metadata_free(old.p, old.bytes);
    }
    BOOST_REQUIRE(intact);
  }
  for (const piece& old : live) {
    BOOST_TEST(all_are(old.p, old.bytes, old.value));
    metadata_free(old.p, old.bytes);
  }
}

BOOST_AUTO_TEST_CASE(what_was_returned_is_used_again_before_more_is_taken)
{
  std::vector<void*> pieces(1000);
  const auto use_all = [&] {
    for (void*& p : pieces) p = metadata_allocate(3000);
    for (void* const p : pieces) metadata_free(p, 3000);
  };
  use_all();
  const std::size_t held = metadata_held();
  BOOST_TEST(held >= 1000 * 3000u);
  for (int i = 0; i != 10; ++i) use_all();
  BOOST_TEST(metadata_held() == held);
}

BOOST_AUTO_TEST_CASE(alignment_wastes_nothing_because_gaps_become_pieces)
{
  constexpr std::size_t count = 4000;
  std::vector<void*> pieces;
  const std::size_t held = metadata_held();
  for (std::size_t i = 0; i != count; ++i) {
    pieces.push_back(metadata_allocate(64));
    pieces.push_back(metadata_allocate(4096));
  }
  BOOST_TEST(metadata_held() - held <= count * (64 + 4096) + 8 * mib);  // a page each if the gaps were lost: 32 MB
  for (std::size_t i = 0; i != pieces.size(); ++i) metadata_free(pieces[i], i % 2 == 0 ? 64 : 4096);
}

BOOST_AUTO_TEST_CASE(arenas_begin_and_end_with_an_inaccessible_page)
{
  std::vector<std::byte*> pieces(16);  // 16 MiB: several arenas, and the system likes to place them side by side
  for (std::byte*& p : pieces) p = static_cast<std::byte*>(metadata_allocate(mib));
  for (std::byte* const p : pieces) {
    const std::byte* first = p;
    while (is_readable(first - page_size, 1) && p - first < static_cast<std::ptrdiff_t>(4 * mib)) first -= page_size;
    const std::byte* last = p + mib;
    while (is_readable(last, 1) && last - p < static_cast<std::ptrdiff_t>(4 * mib)) last += page_size;
    BOOST_TEST(static_cast<std::size_t>(last - first) <= 4 * mib - 2 * page_size);
  }
  for (std::byte* const p : pieces) metadata_free(p, mib);
}

BOOST_AUTO_TEST_CASE(a_large_piece_stands_between_guards_and_is_given_back)
{
  constexpr std::size_t bytes = 4 * mib;
  const std::size_t held = metadata_held();
  auto* const p = static_cast<std::byte*>(metadata_allocate(bytes));
  BOOST_REQUIRE(p != nullptr);
  BOOST_TEST(metadata_held() - held == bytes + 2 * page_size);
  BOOST_TEST(!is_readable(p - 1, 1));
  BOOST_TEST(is_readable(p, bytes));
  BOOST_TEST(!is_readable(p + bytes, 1));
  metadata_free(p, bytes);
  BOOST_TEST(metadata_held() == held);
  BOOST_TEST(!is_readable(p, 1));
}

BOOST_AUTO_TEST_CASE(what_the_system_cannot_give_is_null_and_leaves_errno_and_the_books_alone)
{
  const std::size_t held = metadata_held();
  errno = EXDEV;
  for (const std::size_t bytes : {no_size, no_size - page_size, no_size / 2, no_size / 2 + 2, no_size / 4}) {
    BOOST_TEST(metadata_allocate(bytes) == nullptr);
  }
  metadata_free(nullptr, 64);
  BOOST_TEST(errno == EXDEV);
  BOOST_TEST(metadata_held() == held);
}

BOOST_AUTO_TEST_CASE(containers_of_our_own_live_in_it)
{
  const std::size_t held = metadata_held();
  std::vector<std::uint64_t, metadata_allocator<std::uint64_t>> numbers(mib, 7);
  BOOST_TEST(metadata_held() - held >= 8 * mib);
  BOOST_TEST(std::count(numbers.begin(), numbers.end(), 7u) == static_cast<std::ptrdiff_t>(mib));

  using allocator = metadata_allocator<std::uint64_t>;
  BOOST_CHECK_THROW(static_cast<void>(allocator().allocate(no_size / 4)), std::bad_alloc);
  BOOST_CHECK_THROW(static_cast<void>(allocator().allocate(no_size / 16)), std::bad_alloc);
}

BOOST_AUTO_TEST_CASE(threads_share_it)
{
  std::atomic<bool> intact{true};
  const auto work = [&](std::uint8_t value) {
    std::array<void*, 64> mine{};
    for (std::size_t i = 0; i != 20'000; ++i) {
      void*& p = mine[i % mine.size()];
      const std::size_t bytes = 64u << (i % mine.size() % 6);
      if (p != nullptr) {
        if (!all_are(p, bytes, value)) intact = false;
        metadata_free(p, bytes);
      }
      p = metadata_allocate(bytes);
      if (!all_are(p, bytes, 0)) intact = false;
      fill(p, bytes, value);
    }
    for (std::size_t i = 0; i != mine.size(); ++i) metadata_free(mine[i], 64u << (i % 6));
  };
  std::vector<std::thread> threads;
  for (std::uint8_t value = 1; value != 5; ++value) threads.emplace_back(work, value);
  for (std::thread& t : threads) t.join();
  BOOST_TEST(intact);
}

BOOST_AUTO_TEST_CASE(a_piece_that_was_handed_out_unset_is_zero_when_that_is_asked_for)
{
  void* p = metadata_allocate(2'048);
  std::memset(p, 0x41, 2'048);
  metadata_free(p, 2'048);
  void* const again = gpa::detail::metadata_allocate_unset(1'600);
  BOOST_TEST_REQUIRE(again == p);
  std::memset(again, 0x42, 1'600);
  metadata_free(again, 1'600);
  p = metadata_allocate(2'048);
  BOOST_TEST_REQUIRE(again == p);
  const auto* const bytes = static_cast<const unsigned char*>(p);
  BOOST_TEST(std::count(bytes, bytes + 2'048, 0) == 2'048);
  metadata_free(p, 2'048);
}

BOOST_AUTO_TEST_CASE(the_child_of_a_fork_can_use_it_while_another_thread_of_the_parent_does)
{
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) metadata_free(metadata_allocate(512), 512);
  });
  for (int i = 0; i != 50; ++i) {
    metadata_lock();
    const bool works = gpa::test::true_in_child([] {
      metadata_unlock();
      void* const p = metadata_allocate(512);
      const bool zeroed = p != nullptr && all_are(p, 512, 0);
      metadata_free(p, 512);
      return zeroed;
    });
    metadata_unlock();
    BOOST_TEST(works);
  }
  stop = true;
  busy.join();
}
