#define BOOST_TEST_MODULE flipped_bits
// What the checked heap knows lies in pages of its own, where an overflow of a block does not get; but a wild pointer may,
// and so may faults of the hardware. Here each bit of it is turned, one a child process.
#include "checked/slab.hpp"

#include "support/not_run.hpp"
#include "support/outcome.hpp"
#include "support/witness.hpp"

#include <gpa/resource.hpp>

#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace {

using namespace gpa::detail;

struct block {
  std::byte* p;
  std::byte content;
};

// A program at work: some blocks live, some freed, some never allocated.
class program {
 public:
  explicit program(std::size_t bytes)
      : bytes_(bytes),
        r_(heard_.listening({.checks = gpa::checks::always(), .quarantine_bytes = 8 * bytes, .stack_frames = 0}))
  {
    for (int i = 0; i != 40; ++i) allocate();
    for (std::size_t i = 0; i != 16; ++i) freed_.push_back(live_[i].p), free_at(i);
  }

  // Of blocks in the middle of what it has, and the slab of them all.
  [[nodiscard]] slab& home() const { return static_cast<slab&>(*region_of(live_.front().p)); }
  [[nodiscard]] record& of_live() const { return home().records[home().index_of(live_[5].p)]; }
  [[nodiscard]] record& of_freed() const { return home().records[home().index_of(freed_.back())]; }

  /// Whether its blocks stay apart, and have what was written there.
  [[nodiscard]] bool goes_on()
  {
    bool right = true;
    r_.trim();  // from now on slots come from the slab's free bits
    for (std::size_t i = 0; i != 400; ++i) {
      right &= allocate();
      if (i % 3 != 0) right &= free_at((i * 7) % live_.size());
    }
    static_cast<void>(r_.verify());
    while (live_.size() > 3) right &= free_at(0);
    for (const block& b : live_) right &= has_content(b);
    static_cast<void>(r_.deinit());  // says of three blocks that they leak
    return right;
  }
  /// Of a mistake: it made none. Three blocks leak at the end.
  [[nodiscard]] bool was_told() const
  {
    return heard_.count() - heard_.count(gpa::mistake::leak) != 0 || heard_.count(gpa::mistake::leak) != 1;
  }

 private:
  bool allocate()
  {
    const auto content = static_cast<std::byte>(++number_);
    auto* const p = static_cast<std::byte*>(r_.allocate(bytes_, 8));
    const bool apart = std::ranges::none_of(live_, [&](const block& b) { return p < b.p + bytes_ && b.p < p + bytes_; });
    std::fill_n(p, bytes_, content);
    live_.push_back({p, content});
    return apart;
  }
  bool free_at(std::size_t i)
  {
    const block b = live_[i];
    live_.erase(live_.begin() + static_cast<std::ptrdiff_t>(i));
    const bool kept = has_content(b);
    r_.deallocate(b.p, bytes_, 8);
    return kept;
  }
  [[nodiscard]] bool has_content(const block& b) const
  {
    return std::all_of(b.p, b.p + bytes_, [&](std::byte seen) { return seen == b.content; });
  }

  std::size_t bytes_;
  gpa::test::witness heard_;
  gpa::resource r_;
  std::vector<block> live_;
  std::vector<std::byte*> freed_;
  unsigned number_ = 0;
};

constexpr int unharmed = 10;
constexpr int was_told = 11;
constexpr int told_and_mixed_up = 12;
constexpr int mixed_up = 13;  // and nobody was told

// The ends of programs, each with one bit of what `where` names turned. Minus the number of a signal, if one ended it.
template <class Where>
std::set<int> ends(std::size_t bytes, Where where, std::size_t size, const std::set<unsigned>& but = {})
{
  std::set<int> all;
  for (unsigned bit = 0; bit != size * 8; ++bit) {
    if (but.contains(bit / 8)) continue;
    const gpa::test::outcome o = gpa::test::outcome_of([&] {
      program it(bytes);
      auto* const first = reinterpret_cast<unsigned char*>(where(it));
      first[bit / 8] = static_cast<unsigned char>(first[bit / 8] ^ 1U << bit % 8);
      const bool right = it.goes_on();
      ::_exit(right ? it.was_told() ? was_told : unharmed : it.was_told() ? told_and_mixed_up : mixed_up);
    });
    if (all.insert(o.status).second) BOOST_TEST_MESSAGE("bit " << bit << ": " << o);
  }
  return all;
}

bool is_within(const std::set<int>& some, const std::set<int>& all)
{
  return std::ranges::includes(all, some);
}

// Sanitizers end a program whose heap is damaged in ways of their own, and each child takes them ten times as long.
boost::test_tools::assertion_result unsanitized(boost::unit_test::test_unit_id)
{
  return gpa::test::runs_if(!gpa::test::sanitized, "a damaged heap is looked at without sanitizers");
}

constexpr std::array sizes{std::size_t{40}, std::size_t{1'500}, std::size_t{20'000}};  // one of each kind of slots

}  // namespace

BOOST_AUTO_TEST_CASE(a_program_without_a_turned_bit_is_told_nothing)
{
  for (const std::size_t bytes : sizes) {
    program it(bytes);
    BOOST_TEST(it.goes_on());
    BOOST_TEST(!it.was_told());
  }
}

BOOST_AUTO_TEST_CASE(each_bit_of_a_record_harms_nothing_or_is_told, *boost::unit_test::precondition(unsanitized))
{
  for (const std::size_t bytes : sizes) {
    const std::set<int> live = ends(bytes, [](const program& p) { return &p.of_live(); }, sizeof(record));
    BOOST_TEST(is_within(live, {unharmed, was_told}));
    BOOST_TEST(live.contains(was_told));
    const std::set<int> freed = ends(bytes, [](const program& p) { return &p.of_freed(); }, sizeof(record));
    BOOST_TEST(is_within(freed, {unharmed, was_told}));
  }
}

BOOST_AUTO_TEST_CASE(each_free_bit_harms_nothing_or_is_told_or_stops_the_program,
                     *boost::unit_test::precondition(unsanitized))
{
  for (const std::size_t bytes : sizes) {
    const std::set<int> seen = ends(bytes, [](const program& p) { return p.home().free_bits; }, sizeof(std::uint64_t));
    BOOST_TEST(is_within(seen, {unharmed, was_told, -SIGABRT}));
    BOOST_TEST(seen.contains(-SIGABRT));
  }
}

// But for its addresses: wrong ones lead anywhere.
BOOST_AUTO_TEST_CASE(each_bit_of_the_numbers_in_the_head_of_a_slab_is_told_or_stops_the_program_or_harms_nothing,
                     *boost::unit_test::precondition(unsanitized))
{
  const program one(sizes[0]);
  slab& head = one.home();
  std::set<unsigned> in_addresses;
  for (const void* const field : {static_cast<const void*>(&head.owner), static_cast<const void*>(&head.sole),
                                  static_cast<const void*>(&head.base), static_cast<const void*>(&head.under),
                                  static_cast<const void*>(&head.records), static_cast<const void*>(&head.free_bits),
                                  static_cast<const void*>(&head.lives), static_cast<const void*>(&head.next),
                                  static_cast<const void*>(&head.next_free)}) {
    const auto at = static_cast<const std::byte*>(field) - reinterpret_cast<const std::byte*>(&head);
    for (unsigned i = 0; i != sizeof(void*); ++i) in_addresses.insert(static_cast<unsigned>(at) + i);
  }
  const std::set<int> seen = ends(sizes[0], [](const program& p) { return &p.home(); }, sizeof(slab), in_addresses);
  BOOST_TEST(is_within(seen, {unharmed, was_told, told_and_mixed_up, -SIGSEGV, -SIGBUS, -SIGABRT}));
}
