// The mutex of four bytes: one at a time, nobody forgotten, and whoever waits sleeps.
#define BOOST_TEST_MODULE mutex
#include "base/mutex.hpp"

#include "support/suspects.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <ctime>
#include <pthread.h>
#include <thread>

using gpa::detail::mutex_guard;
using gpa::detail::small_mutex;

namespace {

std::chrono::nanoseconds computed() noexcept
{
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

}  // namespace

BOOST_AUTO_TEST_CASE(one_thread_at_a_time_holds_it_and_all_come_through)
{
  constexpr std::size_t rounds = GPA_TEST_TSAN != 0 ? 5'000 : 100'000;
  small_mutex m;
  std::size_t count = 0;  // a plain number: TSan would tell, and a lost addition is missed below
  std::array<std::thread, 4> threads;
  for (std::thread& t : threads)
    t = std::thread([&] {
      for (std::size_t i = 0; i != rounds; ++i) {
        const mutex_guard guard(m);
        const std::size_t seen = count;
        if (i % 64 == 0) std::this_thread::yield();  // the others meet it held
        count = seen + 1;
      }
    });
  for (std::thread& t : threads) t.join();
  BOOST_TEST(count == rounds * threads.size());
}

BOOST_AUTO_TEST_CASE(a_signal_while_it_waits_leaves_errno_alone)
{
  struct sigaction nothing = {};
  nothing.sa_handler = [](int) {};  // without SA_RESTART: the wait is cut short
  struct sigaction before = {};
  BOOST_TEST_REQUIRE(::sigaction(SIGUSR2, &nothing, &before) == 0);
  small_mutex m;
  m.lock();
  std::atomic<bool> about_to{false};
  int left = 0;
  std::thread waiting([&] {
    errno = EXDEV;
    about_to = true;
    const mutex_guard guard(m);
    left = errno;
  });
  while (!about_to) std::this_thread::yield();
  for (int i = 0; i != 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ::pthread_kill(waiting.native_handle(), SIGUSR2);
  }
  m.unlock();
  waiting.join();
  BOOST_TEST(left == EXDEV);
  ::sigaction(SIGUSR2, &before, nullptr);
}

BOOST_AUTO_TEST_CASE(who_waits_sleeps_and_is_woken)
{
  constexpr std::chrono::milliseconds long_time{300};
  small_mutex m;
  m.lock();
  std::atomic<bool> about_to{false};
  std::atomic<bool> has{false};
  std::chrono::nanoseconds took{0};
  std::thread waiting([&] {
    about_to = true;
    const std::chrono::nanoseconds before = computed();
    const mutex_guard guard(m);
    has = true;
    took = computed() - before;
  });
  while (!about_to) std::this_thread::yield();
  std::this_thread::sleep_for(long_time);
  BOOST_TEST(!has);
  m.unlock();
  waiting.join();
  BOOST_TEST(has);
  BOOST_TEST(took.count() < std::chrono::nanoseconds(long_time / 2).count());  // it did not spin
}
