#define BOOST_TEST_MODULE threads
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "os/threads.hpp"
#include "support/child.hpp"

namespace {

using namespace gpa::detail;

std::uint64_t id_of_this_thread()
{
  return static_cast<std::uint64_t>(::syscall(SYS_gettid));
}

template <class Work>
void on_a_thread_of_its_own(Work work)
{
  std::thread(work).join();
}

}  // namespace

BOOST_AUTO_TEST_CASE(nobody_has_number_0_or_a_number_that_was_not_handed_out)
{
  BOOST_TEST(this_thread_number() != 0u);
  for (const std::uint32_t number : {0u, 60'000u, unknown_thread, unknown_thread + 1, 0xFFFF'FFFFu}) {
    BOOST_TEST(system_thread(number) == 0u);
    BOOST_TEST(thread_name(number).empty());
  }
}

BOOST_AUTO_TEST_CASE(a_thread_keeps_its_number_and_errno)
{
  on_a_thread_of_its_own([] {
    errno = EXDEV;
    const std::uint32_t first = this_thread_number();
    BOOST_TEST(errno == EXDEV);
    BOOST_TEST(this_thread_number() == first);
  });
}

BOOST_AUTO_TEST_CASE(threads_are_numbered_in_the_order_in_which_they_ask)
{
  const std::uint32_t mine = this_thread_number();
  std::uint32_t one = 0;
  std::uint32_t two = 0;
  on_a_thread_of_its_own([&] { one = this_thread_number(); });
  on_a_thread_of_its_own([&] { two = this_thread_number(); });
  BOOST_TEST(mine < one);
  BOOST_TEST(two == one + 1);
}

BOOST_AUTO_TEST_CASE(threads_that_ask_at_once_get_numbers_of_their_own)
{
  std::vector<std::uint32_t> numbers(64);
  std::vector<std::uint64_t> ids(numbers.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i != numbers.size(); ++i) {
    threads.emplace_back([&, i] {
      numbers[i] = this_thread_number();
      ids[i] = id_of_this_thread();
    });
  }
  for (std::thread& t : threads) t.join();

  for (std::size_t i = 0; i != numbers.size(); ++i) BOOST_TEST(system_thread(numbers[i]) == ids[i]);
  std::sort(numbers.begin(), numbers.end());
  BOOST_TEST((std::adjacent_find(numbers.begin(), numbers.end()) == numbers.end()));
}

BOOST_AUTO_TEST_CASE(a_number_tells_the_thread_and_the_name_it_had_long_after_it_ended)
{
  std::uint32_t number = 0;
  std::uint64_t id = 0;
  on_a_thread_of_its_own([&] {
    ::pthread_setname_np(::pthread_self(), "fifteen letters");
    number = this_thread_number();
    id = id_of_this_thread();
    ::pthread_setname_np(::pthread_self(), "later");
  });
  BOOST_TEST(system_thread(number) == id);
  BOOST_TEST(thread_name(number) == "fifteen letters");
}

BOOST_AUTO_TEST_CASE(without_a_fork_every_number_is_of_this_process)
{
  BOOST_TEST(first_number_of_this_process() == 1u);
}

BOOST_AUTO_TEST_CASE(the_child_of_a_fork_counts_on_and_tells_its_own_numbers_from_inherited_ones)
{
  const std::uint32_t parents = this_thread_number();
  const std::uint64_t parents_id = id_of_this_thread();
  std::uint32_t last = 0;
  on_a_thread_of_its_own([&] { last = this_thread_number(); });

  BOOST_TEST(gpa::test::true_in_child([=] {
    renumber_threads_after_fork();
    const std::uint32_t childs = this_thread_number();
    return childs == last + 1 && this_thread_serial() == childs && first_number_of_this_process() == childs &&
           system_thread(childs) == static_cast<std::uint64_t>(::getpid()) &&
           system_thread(parents) == parents_id && thread_name(childs) == thread_name(parents);
  }));
  BOOST_TEST(this_thread_number() == parents);
}

BOOST_AUTO_TEST_CASE(after_65534_threads_the_rest_share_one_number_without_a_name_and_have_serials_of_their_own)
{
  const std::uint32_t parents = this_thread_number();
  BOOST_TEST(gpa::test::true_in_child([=] {
    std::uint32_t last = this_thread_number();
    while (last != unknown_thread - 1) {
      renumber_threads_after_fork();  // a new number without a new thread
      const std::uint32_t next = this_thread_number();
      if (next != last + 1 && last != parents) return false;
      if (system_thread(next) == 0 || thread_name(next).empty()) return false;
      last = next;
    }
    // The one that forks while no thread shares it yet may still tell its own blocks from inherited ones.
    renumber_threads_after_fork();
    if (first_number_of_this_process() != unknown_thread) return false;
    for (std::uint32_t i = 0; i != 3; ++i) {
      if (this_thread_number() != unknown_thread || this_thread_serial() != unknown_thread + i) return false;
      renumber_threads_after_fork();
      if (first_number_of_this_process() <= unknown_thread) return false;
    }
    return system_thread(unknown_thread) == 0 && thread_name(unknown_thread).empty();
  }));
}
