#define BOOST_TEST_MODULE fork
#include <gpa/resource.hpp>

#include "support/not_run.hpp"
#include "support/outcome.hpp"
#include "support/resident.hpp"
#include "support/suspects.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <memory_resource>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <pthread.h>
#include <unistd.h>

namespace {

using gpa::test::outcome;
using gpa::test::outcome_of;
using gpa::test::rounds;

constexpr int forks = 30;
constexpr std::size_t sizes[] = {1, 24, 100, 1000, 5000, 32'768, 200'000};

const gpa::options checked{.name = "forked", .checks = gpa::checks::always()};

void use(std::pmr::memory_resource& r, std::size_t kinds = std::size(sizes))
{
  std::vector<void*> blocks;
  for (int i = 0; i != 20; ++i)
    for (std::size_t k = 0; k != kinds; ++k) blocks.push_back(r.allocate(sizes[k]));
  std::size_t next = 0;
  for (int i = 0; i != 20; ++i) {
    for (std::size_t k = 0; k != kinds; ++k) {
      std::memset(blocks[next], 1, sizes[k]);
      r.deallocate(blocks[next++], sizes[k]);
    }
  }
}

// Endless loops free too many large blocks for their quarantine, which says so.
constexpr std::size_t small_only = std::size(sizes) - 1;

// Threads of the parent that keep every lock of ours busy while it forks.
class busy_parent {
 public:
  explicit busy_parent(gpa::resource& a, gpa::resource& b)
  {
    threads_.emplace_back([&] { until_done([&] { use(a, small_only); }); });
    threads_.emplace_back([&] { until_done([&] { use(b, small_only); }); });
    threads_.emplace_back([&] {
      until_done([&] {
        gpa::resource own(checked);
        use(own, small_only);
        static_cast<void>(a.verify());
        static_cast<void>(a.stats());
      });
    });
    threads_.emplace_back([&] {
      int reported = 0;
      gpa::resource wrong({.checks = gpa::checks::always(),
                           .after_mistake = gpa::after_mistake::carry_on,
                           .on_report = [&](const gpa::report&) { ++reported; }});
      std::size_t round = 0;
      char* const block = static_cast<char*>(wrong.allocate(4096));
      until_done([&] { wrong.deallocate(block + ++round % 4096, 1); });  // each has words of its own to remember
      wrong.release();
    });
  }
  ~busy_parent()
  {
    done_ = true;
    for (std::thread& t : threads_) t.join();
  }
  /// Each has had what it needs for the first time, of sanitizers, too, whose locks a child cannot free.
  void wait_until_begun() const
  {
    while (begun_ != threads_.size()) std::this_thread::yield();
  }
  busy_parent(const busy_parent&) = delete;
  busy_parent& operator=(const busy_parent&) = delete;

 private:
  template <class Work>
  void until_done(Work work)
  {
    work();
    ++begun_;
    while (!done_) work();
  }

  std::atomic<bool> done_{false};
  std::atomic<std::size_t> begun_{0};
  std::vector<std::thread> threads_;
};

// As programs do it that fork with a lock of theirs in one piece: before they make a resource.
std::mutex guarded;
const int registered = ::pthread_atfork([] { guarded.lock(); }, [] { guarded.unlock(); }, [] { guarded.unlock(); });

}  // namespace

BOOST_AUTO_TEST_CASE(a_child_may_use_everything_while_the_parent_s_threads_run)
{
#if GPA_TEST_ASAN
  gpa::test::not_run_here("ASan's own heap may be locked in the child of a busy parent");
  return;
#endif
  gpa::resource a(checked);
  gpa::resource b({.checks = gpa::checks::never()});
  const busy_parent busy(a, b);
  busy.wait_until_begun();
  for (int i = 0; i != forks; ++i) {
    const outcome o = outcome_of([&] {
      ::alarm(30);  // what would be a dead-lock is a failure
      use(a);
      use(b);
      gpa::resource own(checked);
      use(own);
      std::thread([&] {
        use(a);
        use(own);
      }).join();
      if (a.verify() != 0) ::_exit(1);
      a.trim();
      use(a);
      if (own.deinit() != gpa::check::ok) ::_exit(2);
    });
    BOOST_TEST_CONTEXT("fork " << i << ": " << o)
    {
      BOOST_TEST(o.status == 0);
      BOOST_TEST(o.err == "");
    }
  }
}

BOOST_AUTO_TEST_CASE(a_child_may_report_mistakes_while_the_parent_s_threads_run)
{
#if GPA_TEST_ASAN
  gpa::test::not_run_here("ASan's own heap may be locked in the child of a busy parent");
  return;
#endif
  gpa::resource a(checked);
  gpa::resource b({.checks = gpa::checks::never()});
  const busy_parent busy(a, b);
  busy.wait_until_begun();
  for (int i = 0; i != forks; ++i) {
    const outcome o = outcome_of([&] {
      ::alarm(30);
      gpa::resource own({.name = "own", .checks = gpa::checks::always()});
      char* const p = static_cast<char*>(own.allocate(64));
      own.deallocate(p + 16, 48);
    });
    BOOST_TEST_CONTEXT("fork " << i << ": " << o)
    {
      BOOST_TEST(o.status == -SIGABRT);
      BOOST_TEST(o.reports() == std::vector<std::string>{"invalid-pointer"}, boost::test_tools::per_element());
      BOOST_TEST(o.says("fork_test.cpp:"));
    }
  }
}

BOOST_AUTO_TEST_CASE(handlers_of_a_program_lock_what_it_holds_while_it_allocates)
{
#if GPA_TEST_ASAN || GPA_TEST_TSAN
  gpa::test::not_run_here("the sanitizer's own heap may be locked in the child of a busy parent");
  return;
#endif
  BOOST_TEST_REQUIRE(registered == 0);
  gpa::resource r(checked);
  std::atomic<bool> done{false};
  std::thread busy([&] {
    for (; !done; std::this_thread::yield()) {
      const std::lock_guard guard(guarded);
      use(r, small_only);
    }
  });
  ::alarm(120);  // the parent would wait for ever
  for (int i = 0; i != forks; ++i) {
    const outcome o = outcome_of([&] {
      ::alarm(30);
      const std::lock_guard guard(guarded);
      use(r, small_only);
    });
    BOOST_TEST_CONTEXT("fork " << i << ": " << o) BOOST_TEST(o.status == 0);
  }
  ::alarm(0);
  done = true;
  busy.join();
}

BOOST_AUTO_TEST_CASE(a_child_reports_its_own_leaks_only)
{
  for (const gpa::checks kind : {gpa::checks::always(), gpa::checks::never(), gpa::checks::one_in(3)}) {
    gpa::resource r({.checks = kind});
    std::vector<void*> inherited;
    for (int i = 0; i != 10; ++i) inherited.push_back(r.allocate(100));
    inherited.push_back(r.allocate(200'000));

    const outcome none = outcome_of([&] {
      if (r.detect_leaks() != 0) ::_exit(1);
      use(r);
      if (r.deinit() != gpa::check::ok) ::_exit(2);
    });
    BOOST_TEST(none.status == 0);
    BOOST_TEST(none.err == "");

    const outcome own = outcome_of([&] {
      for (int i = 0; i != 3; ++i) static_cast<void>(r.allocate(24));
      if (r.detect_leaks() != 3) ::_exit(1);
      if (r.deinit() != gpa::check::leak) ::_exit(2);
    });
    BOOST_TEST_CONTEXT(own)
    {
      BOOST_TEST(own.status == 0);
      BOOST_TEST(own.says("72 bytes leaked in 3 blocks"));
    }

    for (int i = 0; i != 10; ++i) r.deallocate(inherited[static_cast<std::size_t>(i)], 100);
    r.deallocate(inherited.back(), 200'000);
    BOOST_TEST(r.deinit() == gpa::check::ok);
  }
}

// What five threads hold at the moment of the fork is theirs; the child's are the blocks it leaves behind, or none.
BOOST_AUTO_TEST_CASE(a_child_reports_its_own_leaks_only_while_the_parent_s_threads_run)
{
#if GPA_TEST_ASAN
  gpa::test::not_run_here("ASan's own heap may be locked in the child of a busy parent");
  return;
#endif
  for (const gpa::checks kind : {gpa::checks::always(), gpa::checks::never()}) {
    std::atomic<std::size_t> told{0};
    std::atomic<std::size_t> blocks{0};
    std::atomic<std::size_t> bytes{0};
    gpa::resource r({.checks = kind, .on_report = [&](const gpa::report& leak) {
                       ++told;
                       blocks += leak.blocks;
                       bytes += leak.total_bytes;
                     }});
    std::vector<void*> inherited;
    for (const std::size_t size : sizes) inherited.push_back(r.allocate(size));
    std::atomic<bool> done{false};
    std::atomic<std::size_t> begun{0};
    std::vector<std::thread> threads;
    for (int t = 0; t != 5; ++t) {
      threads.emplace_back([&] {
        use(r, small_only);
        ++begun;
        while (!done) use(r, small_only);
      });
    }
    while (begun != threads.size()) std::this_thread::yield();
    for (int i = 0; i != rounds(kind.is_always() ? 50 : 20); ++i) {
      const auto left = static_cast<std::size_t>(i % 4);
      const outcome o = outcome_of([&] {
        ::alarm(30);
        use(r);
        // Unchecked blocks are only counted: to free inherited ones would make up for leaks.
        for (std::size_t k = 0; kind.is_always() && k != std::size(sizes); ++k) r.deallocate(inherited[k], sizes[k]);
        if (r.detect_leaks() != 0 || told != 0) ::_exit(1);
        for (std::size_t k = 0; k != left; ++k) static_cast<void>(r.allocate(24));
        if (r.deinit() != (left == 0 ? gpa::check::ok : gpa::check::leak)) ::_exit(2);
        if (told != (left == 0 ? 0 : 1) || blocks != left || bytes != left * 24) ::_exit(3);
      });
      BOOST_TEST_CONTEXT("fork " << i << ": " << o)
      {
        BOOST_TEST(o.status == 0);
        BOOST_TEST(o.err == "");
      }
    }
    done = true;
    for (std::thread& t : threads) t.join();
    for (std::size_t k = 0; k != std::size(sizes); ++k) r.deallocate(inherited[k], sizes[k]);
    BOOST_TEST(r.deinit() == gpa::check::ok);
    BOOST_TEST(told == 0u);
  }
}

// Words that count begin anew with each block that is picked: the threads are lost in the middle of that, and others go on
// with their caches.
BOOST_AUTO_TEST_CASE(what_lost_threads_counted_is_off_by_what_they_were_about_to_do)
{
#if GPA_TEST_ASAN
  gpa::test::not_run_here("ASan's own heap may be locked in the child of a busy parent");
  return;
#endif
  constexpr std::size_t busy = 5;
  constexpr std::size_t held = 1'000;
  gpa::resource r({.checks = gpa::checks::one_in(2)});
  std::vector<void*> inherited;
  for (std::size_t i = 0; i != held; ++i) inherited.push_back(r.allocate(24));
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t != busy; ++t)
    threads.emplace_back([&] {
      while (!done) r.deallocate(r.allocate(24), 24);
    });
  for (int i = 0; i != rounds(100); ++i) {
    const outcome o = outcome_of([&] {
      ::alarm(30);
      const auto is_about_right = [&r] {
        const gpa::statistics now = r.stats();
        return now.live_blocks + 2 * busy >= held && now.live_blocks <= held + 2 * busy &&
               now.live_bytes + 2 * 24 * busy >= 24 * held && now.live_bytes <= 24 * (held + 2 * busy);
      };
      if (!is_about_right()) ::_exit(1);
      std::vector<std::thread> heirs;
      for (std::size_t t = 0; t != busy; ++t) heirs.emplace_back([&r] { use(r, 3); });
      for (std::thread& heir : heirs) heir.join();
      if (!is_about_right()) ::_exit(2);
      ::_exit(0);
    });
    BOOST_TEST_CONTEXT("fork " << i << ": " << o) BOOST_TEST(o.status == 0);
  }
  done = true;
  for (std::thread& t : threads) t.join();
  for (void* const p : inherited) r.deallocate(p, 24);
  BOOST_TEST((r.deinit() == gpa::check::ok));
}

BOOST_AUTO_TEST_CASE(a_child_may_free_what_it_inherited_and_a_second_time_is_a_double_free)
{
  gpa::resource r({.name = "inherited", .checks = gpa::checks::always()});
  std::vector<void*> mine;
  std::vector<void*> others;
  for (const std::size_t bytes : sizes) mine.push_back(r.allocate(bytes));
  std::thread([&] {
    for (const std::size_t bytes : sizes) others.push_back(r.allocate(bytes));
  }).join();

  const outcome freeing = outcome_of([&] {
    for (std::size_t i = 0; i != std::size(sizes); ++i) {
      r.deallocate(mine[i], sizes[i]);
      r.deallocate(others[i], sizes[i]);
    }
    use(r);
    if (r.stats().live_blocks != 0) ::_exit(1);
    if (r.deinit() != gpa::check::ok) ::_exit(2);
  });
  BOOST_TEST(freeing.status == 0);
  BOOST_TEST(freeing.err == "");

  const outcome twice = outcome_of([&] {
    r.deallocate(others[2], sizes[2]);
    r.deallocate(others[2], sizes[2]);
  });
  BOOST_TEST(twice.status == -SIGABRT);
  BOOST_TEST(twice.reports() == std::vector<std::string>{"double-free"}, boost::test_tools::per_element());

  for (std::size_t i = 0; i != std::size(sizes); ++i) {
    r.deallocate(mine[i], sizes[i]);
    r.deallocate(others[i], sizes[i]);
  }
  BOOST_TEST(r.deinit() == gpa::check::ok);
}

BOOST_AUTO_TEST_CASE(what_other_threads_held_in_their_caches_is_not_lost_to_the_child)
{
  gpa::resource r({.checks = gpa::checks::always(), .quarantine_bytes = 0});
  std::atomic<bool> done{false};
  std::atomic<bool> ready{false};
  std::thread holder([&] {  // still alive at the fork, its cache full of free slots
    std::vector<void*> blocks(4000);
    for (void*& p : blocks) p = r.allocate(1000);
    for (void* const p : blocks) r.deallocate(p, 1000);
    ready = true;
    ready.notify_one();
    done.wait(false);
  });
  ready.wait(false);
  const std::size_t held = r.stats().held_bytes;
  const outcome o = outcome_of([&] {
    std::vector<void*> blocks(3500);
    for (void*& p : blocks) p = r.allocate(1000);
    if (r.stats().held_bytes > held) ::_exit(1);
    for (void* const p : blocks) r.deallocate(p, 1000);
    if (r.deinit() != gpa::check::ok) ::_exit(2);
  });
  done = true;
  done.notify_one();
  holder.join();
  BOOST_TEST(o.status == 0);
  BOOST_TEST(o.err == "");
  BOOST_TEST(r.deinit() == gpa::check::ok);
}
