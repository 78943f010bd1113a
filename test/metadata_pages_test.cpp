// Returned metadata: which pages are kept, which go back, and that none is lost.
#define BOOST_TEST_MODULE metadata_pages
#include <sys/resource.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "os/metadata.hpp"
#include "support/resident.hpp"

namespace {

using namespace gpa::detail;

constexpr std::size_t mib = std::size_t{1} << 20;

bool all_are(const void* p, std::size_t bytes, std::uint8_t value)
{
  const auto first = static_cast<const std::uint8_t*>(p);
  return std::all_of(first, first + bytes, [=](std::uint8_t b) { return b == value; });
}

void fill(void* p, std::size_t bytes, std::uint8_t value)
{
  std::fill_n(static_cast<std::uint8_t*>(p), bytes, value);
}

}  // namespace

BOOST_AUTO_TEST_CASE(pages_of_many_returned_pieces_go_back_and_the_pieces_are_handed_out_again)
{
  std::vector<void*> all(2'000);
  for (void*& p : all) std::memset(p = metadata_allocate(16'384), 0x41, 16'384);
  const std::size_t held = metadata_held();
  const std::size_t full = gpa::test::resident_bytes();
  for (void* const p : all) metadata_free(p, 16'384);
  if (!gpa::test::sanitized) BOOST_TEST(gpa::test::resident_bytes() + 24 * mib <= full);
  for (int round = 0; round != 3; ++round) {
    std::size_t zero = 0;
    for (void*& p : all) {
      p = metadata_allocate(16'384);
      const auto* const bytes = static_cast<const unsigned char*>(p);
      zero += static_cast<std::size_t>(std::count(bytes, bytes + 16'384, 0));
    }
    BOOST_TEST(zero == all.size() * 16'384);
    std::sort(all.begin(), all.end());
    BOOST_TEST((std::adjacent_find(all.begin(), all.end()) == all.end()));
    for (void* const p : all) std::memset(p, 0x42, 16'384);
    for (void* const p : all) metadata_free(p, 16'384);
  }
  BOOST_TEST(metadata_held() <= held + 5 * mib);  // pages to remember them by, in an arena more at most
}

// More of one size was returned than is kept. Another size in turn is neither asked of the system nor given back each time.
BOOST_AUTO_TEST_CASE(what_is_returned_now_is_kept_rather_than_what_was_before)
{
  std::vector<void*> past(200);
  for (void*& p : past) std::memset(p = metadata_allocate(65'536), 0x41, 65'536);
  for (void* const p : past) metadata_free(p, 65'536);
  const auto use = [](std::size_t bytes) {
    void* const p = metadata_allocate(bytes);
    std::memset(p, 0x42, bytes);
    metadata_free(p, bytes);
  };
  const auto faults = [] {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    return used.ru_minflt;
  };
  for (const std::size_t bytes : {4'096U, 32'768U, 1U << 20}) {
    for (int i = 0; i != 4; ++i) use(bytes);
    const long before = faults();
    for (int i = 0; i != 1'000; ++i) use(bytes);
    BOOST_TEST(faults() - before <= 100, bytes << " bytes");
  }
  bool zero = true;
  for (void*& p : past) zero = all_are(p = metadata_allocate(65'536), 65'536, 0) && zero;
  BOOST_TEST(zero);
  for (void* const p : past) metadata_free(p, 65'536);
}

// What is emptied is remembered on a page. That comes back, too, however often.
BOOST_AUTO_TEST_CASE(no_addresses_are_lost_when_sizes_take_turns)
{
  std::vector<void*> all(400);
  const auto use = [&](std::size_t bytes) {
    for (void*& p : all) std::memset(p = metadata_allocate(bytes), 0x43, bytes);
    for (void* const p : all) metadata_free(p, bytes);
  };
  std::size_t held = 0;
  for (int turn = 0; turn != 400; ++turn) {
    use(16'384);
    use(32'768);
    if (turn == 20) held = metadata_held();
  }
  BOOST_TEST(metadata_held() == held);
}

BOOST_AUTO_TEST_CASE(pages_that_returned_small_pieces_fill_go_back_by_trim_and_no_others)
{
  struct piece {
    std::byte* p;
    std::size_t bytes;
  };
  std::mt19937 random(20261128);
  std::vector<piece> all(100'000);
  for (piece& each : all) {
    each.bytes = 1 + random() % 500;
    each.p = static_cast<std::byte*>(metadata_allocate(each.bytes));
    fill(each.p, each.bytes, 0x41);
  }
  std::shuffle(all.begin(), all.end(), random);
  const std::vector<piece> kept(all.end() - 200, all.end());
  all.resize(all.size() - 200);
  for (const piece& each : all) metadata_free(each.p, each.bytes);
  const std::size_t full = gpa::test::resident_bytes();
  metadata_trim();
  if (!gpa::test::sanitized) BOOST_TEST(gpa::test::resident_bytes() + 20 * mib <= full);
  const std::size_t held = metadata_held();
  bool right = true;
  for (int round = 0; round != 2; ++round) {
    for (piece& each : all) {
      each.p = static_cast<std::byte*>(metadata_allocate(each.bytes));
      right = right && all_are(each.p, each.bytes, 0);
      fill(each.p, each.bytes, 0x42);
    }
    for (const piece& each : kept) right = right && all_are(each.p, each.bytes, 0x41);
    for (const piece& each : all) {
      right = right && all_are(each.p, each.bytes, 0x42);
      metadata_free(each.p, each.bytes);
    }
    metadata_trim();
  }
  BOOST_TEST(right);
  BOOST_TEST(metadata_held() <= held + 5 * mib);
  for (const piece& each : kept) metadata_free(each.p, each.bytes);
}
