// Who wins a block while the privilege of freeing without a locked instruction is taken away from its owner.
#define BOOST_TEST_MODULE claim
#include "checked/claim.hpp"

#include "os/barrier.hpp"
#include "support/race.hpp"
#include "support/suspects.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <thread>

namespace {

using namespace gpa::detail;

constexpr std::uint64_t live = make_word(encode(slot_state::live, 24, 8), 0);
constexpr std::uint64_t freed = make_word(encode(slot_state::freed, 24, 8), 7);

struct fixture {
  slab s;
  std::array<std::atomic<std::uint64_t>, 64> words;
  std::array<std::unique_ptr<checked_cache>, 3> caches = {std::make_unique<checked_cache>(),
                                                          std::make_unique<checked_cache>(),
                                                          std::make_unique<checked_cache>()};
  checked_cache& owner() { return *caches[0]; }

  void arm()
  {
    for (auto& word : words) word.store(live);
    s.sole.store(&owner());
  }
  // As if the owner had lost its CPU in the middle of a free, and until it has it again.
  void arm_with_the_owner_set_aside()
  {
    arm();
    owner().claiming.store(&s);
  }
  void let_the_owner_go_on() { owner().claiming.store(nullptr); }
};

}  // namespace

BOOST_AUTO_TEST_CASE(this_machine_has_the_barrier)
{
  BOOST_TEST(process_barrier_available());  // or the races below prove nothing
}

BOOST_AUTO_TEST_CASE(the_owner_claims_alone_and_only_what_is_as_expected)
{
  fixture f;
  f.arm();
  BOOST_TEST(claim(f.owner(), f.s, f.words[0], live, freed));
  BOOST_TEST(f.words[0].load() == freed);
  BOOST_TEST(!claim(f.owner(), f.s, f.words[0], live, freed));
  BOOST_TEST(f.words[0].load() == freed);
  BOOST_TEST(f.s.sole.load() == &f.owner());
  BOOST_TEST(f.owner().claiming.load() == nullptr);
}

BOOST_AUTO_TEST_CASE(a_stranger_ends_the_privilege_for_good)
{
  fixture f;
  f.arm();
  BOOST_TEST(!claim_alone(*f.caches[1], f.s, f.words[0], live, freed));
  BOOST_TEST(f.words[0].load() == live);
  BOOST_TEST(claim(*f.caches[1], f.s, f.words[0], live, freed));
  BOOST_TEST(f.s.sole.load() == nullptr);
  BOOST_TEST(!claim_alone(f.owner(), f.s, f.words[1], live, freed));
  BOOST_TEST(claim(f.owner(), f.s, f.words[1], live, freed));
  BOOST_TEST(!claim(*f.caches[1], f.s, f.words[1], live, freed));
}

// What the owner stores when it goes on must not be a second win.
BOOST_AUTO_TEST_CASE(a_stranger_waits_for_a_claim_of_the_owner_that_is_under_way)
{
  fixture f;
  f.arm_with_the_owner_set_aside();
  std::atomic<bool> won{false};
  std::thread stranger([&] { won = claim(*f.caches[1], f.s, f.words[0], live, freed); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  BOOST_TEST(!won);
  BOOST_TEST(f.words[0].load() == live);
  f.words[0].store(freed);
  f.let_the_owner_go_on();
  stranger.join();
  BOOST_TEST(!won);
  BOOST_TEST(f.s.sole.load() == nullptr);
}

// One of two owners is set aside in the middle of a free: who shares the other one's slab need not wait for it.
BOOST_AUTO_TEST_CASE(two_slabs_are_shared_independently)
{
  fixture slow;
  fixture quick;
  slow.arm_with_the_owner_set_aside();
  quick.arm();
  std::thread waiting([&] { share(slow.s); });
  while (slow.s.sole.load() == &slow.owner()) std::this_thread::yield();
  share(quick.s);  // for ever, if it waited
  BOOST_TEST(quick.s.sole.load() == nullptr);
  BOOST_TEST(slow.s.sole.load() != nullptr);
  slow.let_the_owner_go_on();
  waiting.join();
  BOOST_TEST(slow.s.sole.load() == nullptr);
}

BOOST_AUTO_TEST_CASE(of_two_who_share_one_slab_neither_goes_on_before_it_is_shared)
{
  fixture f;
  f.arm_with_the_owner_set_aside();
  std::atomic<int> begun{0};
  std::atomic<int> through{0};
  const auto go = [&] {
    ++begun;
    share(f.s);
    ++through;
  };
  std::thread first(go);
  std::thread second(go);
  while (begun != 2) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  BOOST_TEST(through == 0);
  f.let_the_owner_go_on();
  first.join();
  second.join();
  BOOST_TEST(f.s.sole.load() == nullptr);
}

BOOST_AUTO_TEST_CASE(a_fork_waits_for_who_shares_and_then_keeps_everybody_from_it)
{
  fixture f;
  f.arm_with_the_owner_set_aside();
  std::thread sharing([&] { share(f.s); });
  while (f.s.sole.load() == &f.owner()) std::this_thread::yield();
  std::atomic<bool> alone{false};
  std::atomic<bool> forked{false};
  std::thread forking([&] {
    sharing_lock();
    alone = true;
    while (!forked) std::this_thread::yield();
    sharing_unlock();
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  BOOST_TEST(!alone);
  f.let_the_owner_go_on();
  sharing.join();
  while (!alone) std::this_thread::yield();
  fixture next;
  next.arm();
  std::thread late([&] { share(next.s); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  BOOST_TEST(next.s.sole.load() == &next.owner());
  forked = true;
  forking.join();
  late.join();
  BOOST_TEST(next.s.sole.load() == nullptr);
}

// Every round the privilege stands again; the owner and two others go over the same words.
BOOST_AUTO_TEST_CASE(exactly_one_wins_each_word_while_the_privilege_ends)
{
  fixture f;
  std::array<std::atomic<unsigned>, 64> winners{};
  std::size_t wrong = 0;
  std::size_t by_owner = 0;
  std::size_t by_others = 0;
  const std::size_t rounds = GPA_TEST_TSAN != 0 ? 2000 : 50'000;
  gpa::test::race(
      3, rounds,
      [&] {
        f.arm();
        for (auto& w : winners) w.store(0);
      },
      [&](unsigned self) {
        thread_local std::minstd_rand dice(self + 1);
        if (dice() % 4 == 0) std::this_thread::yield();  // on one CPU nothing else would mix them
        for (volatile unsigned wait = self == 0 ? 0 : static_cast<unsigned>(dice() % 600); wait != 0;) wait = wait - 1;
        for (std::size_t i = 0; i != f.words.size(); ++i)
          if (claim(*f.caches[self], f.s, f.words[i], live, freed))
            winners[i].fetch_add(self == 0 ? 0x100 : 1, std::memory_order_relaxed);
      },
      [&] {
        for (auto& w : winners) {
          const unsigned won = w.load();
          by_owner += won == 0x100 ? 1 : 0;
          by_others += won == 1 ? 1 : 0;
          if (won != 0x100 && won != 1) ++wrong;
        }
        if (f.s.sole.load() != nullptr) ++wrong;
      });
  BOOST_TEST(wrong == 0u);
  BOOST_TEST_MESSAGE("won by the owner: " << by_owner << ", by others: " << by_others);
  BOOST_TEST(by_owner > 0u);  // or this was no race
  BOOST_TEST(by_others > 0u);
}
