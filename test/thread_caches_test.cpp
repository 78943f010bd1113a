#define BOOST_TEST_MODULE thread_caches
#include <gpa/resource.hpp>

#include "support/not_run.hpp"
#include "support/outcome.hpp"
#include "support/resident.hpp"
#include "support/suspects.hpp"
#include "support/witness.hpp"

#include <pthread.h>

#include <boost/test/unit_test.hpp>

#include <array>
#include <atomic>
#include <barrier>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <memory_resource>
#include <new>
#include <thread>
#include <vector>

namespace {

using gpa::test::outcome;
using gpa::test::outcome_of;
using gpa::test::rounds;
using gpa::test::witness;

const gpa::options checked{.checks = gpa::checks::always()};

const gpa::checks every_kind[] = {gpa::checks::always(), gpa::checks::never(), gpa::checks::one_in(3)};

void use(std::pmr::memory_resource& r)
{
  for (const std::size_t bytes : {std::size_t{8}, std::size_t{100}, std::size_t{3000}}) {
    void* const p = r.allocate(bytes);
    std::memset(p, 1, bytes);
    r.deallocate(p, bytes);
  }
}

template <class Work>
void on_a_thread(Work work)
{
  std::thread(work).join();
}

// Uses a resource while the thread's C++ destructors, and then its keys' destructors, run.
struct uses_at_thread_end {
  std::pmr::memory_resource* r = nullptr;
  std::vector<void*>* kept = nullptr;

  ~uses_at_thread_end()
  {
    if (r == nullptr) return;
    use(*r);
    for (void* const p : *kept) r->deallocate(p, 64);
    kept->clear();
  }
};

thread_local uses_at_thread_end at_thread_end;

struct key_round {
  std::pmr::memory_resource* r;
  void* block;
  int left;
};
pthread_key_t key;

// Asks to be called again until its rounds are used up: later than every C++ destructor of the thread.
void at_key_end(void* argument)
{
  auto* const round = static_cast<key_round*>(argument);
  round->r->deallocate(round->block, 64);
  use(*round->r);
  if (--round->left == 0) {
    delete round;
    return;
  }
  round->block = round->r->allocate(64);
  ::pthread_setspecific(key, round);
}

}  // namespace

BOOST_AUTO_TEST_CASE(thread_local_destructors_may_use_a_resource_before_and_after_gpa_s_own)
{
  for (const gpa::checks kind : every_kind) {
    witness w;
    gpa::resource r(w.listening({.checks = kind}));
    for (const bool ours_first : {false, true}) {
      std::vector<void*> kept;
      for (int i = 0; i != rounds(200); ++i) {
        on_a_thread([&] {
          if (ours_first) use(r);  // destroyed in reverse: then gpa's hook runs last, else first
          at_thread_end.r = &r;
          at_thread_end.kept = &kept;
          for (int k = 0; k != 5; ++k) kept.push_back(r.allocate(64));
        });
        BOOST_TEST(kept.empty());
      }
    }
    BOOST_TEST(r.stats().live_blocks == 0u);
    BOOST_TEST(r.deinit() == gpa::check::ok);
    BOOST_TEST(w.count() == 0u);
  }
}

BOOST_AUTO_TEST_CASE(pthread_key_destructors_may_use_a_resource_in_every_round)
{
#if GPA_TEST_TSAN
  // ThreadSanitizer ends its own state of a thread in such a destructor; instrumented code that runs later crashes.
  gpa::test::not_run_here("ThreadSanitizer has left the thread by then");
  return;
#endif
  BOOST_TEST_REQUIRE(::pthread_key_create(&key, at_key_end) == 0);
  for (const gpa::checks kind : every_kind) {
    witness w;
    gpa::resource r(w.listening({.checks = kind}));
    for (const bool used_before : {false, true}) {
      for (int i = 0; i != rounds(200); ++i) {
        on_a_thread([&] {
          if (used_before) use(r);
          ::pthread_setspecific(key, new key_round{&r, r.allocate(64), PTHREAD_DESTRUCTOR_ITERATIONS});
        });
      }
    }
    BOOST_TEST(r.stats().live_blocks == 0u);
    BOOST_TEST(r.deinit() == gpa::check::ok);
    BOOST_TEST(w.count() == 0u);
  }
  ::pthread_key_delete(key);
}

BOOST_AUTO_TEST_CASE(atexit_handlers_and_static_destructors_may_use_a_resource_that_lives)
{
  const outcome o = outcome_of([] {
    static gpa::resource r(checked);
    static void* kept = r.allocate(64);
    static const struct at_end {
      ~at_end()
      {
        use(r);
        r.deallocate(kept, 64);
      }
    } object;
    std::atexit([] { use(r); });
    std::exit(0);
  });
  BOOST_TEST(o.status == 0);
  BOOST_TEST(o.err == "");
}

BOOST_AUTO_TEST_CASE(a_thread_may_end_after_the_resources_it_used)
{
  auto a = std::make_unique<gpa::resource>(checked);
  auto b = std::make_unique<gpa::resource>(gpa::options{.checks = gpa::checks::never()});
  gpa::resource other(checked);
  std::barrier turn(3);
  std::vector<std::thread> threads;
  for (int i = 0; i != 2; ++i) {
    threads.emplace_back([&] {
      use(*a);
      use(*b);
      use(other);
      turn.arrive_and_wait();  // both used
      turn.arrive_and_wait();  // both gone
      use(other);
    });
  }
  turn.arrive_and_wait();
  BOOST_TEST(a->deinit() == gpa::check::ok);
  a.reset();
  b.reset();
  turn.arrive_and_wait();
  for (std::thread& t : threads) t.join();
  BOOST_TEST(other.deinit() == gpa::check::ok);
}

BOOST_AUTO_TEST_CASE(a_resource_may_end_after_the_threads_that_used_it_and_frees_what_they_left)
{
  gpa::resource r(checked);
  std::vector<void*> blocks(800);
  for (std::size_t t = 0; t != 4; ++t) {
    on_a_thread([&] {
      for (std::size_t i = 0; i != 200; ++i) blocks[t * 200 + i] = r.allocate(64);
    });
  }
  BOOST_TEST(r.stats().live_blocks == 800u);
  for (void* const p : blocks) r.deallocate(p, 64);
  BOOST_TEST(r.stats().live_blocks == 0u);
  BOOST_TEST(r.deinit() == gpa::check::ok);
  BOOST_TEST(r.stats().held_bytes == 0u);
}

BOOST_AUTO_TEST_CASE(a_resource_made_again_at_the_same_address_never_meets_a_stale_cache)
{
  constexpr std::ptrdiff_t threads = 3;
  witness w;
  const gpa::options o = w.listening();
  alignas(gpa::resource) std::byte place[sizeof(gpa::resource)];
  auto* r = new (place) gpa::resource(o);
  int left = rounds(10'000);
  std::size_t wrong = 0;

  // Run by the last thread to arrive, the others waiting.
  const auto make_again = [&]() noexcept {
    if (r->deinit() != gpa::check::ok) ++wrong;
    r->~resource();
    r = new (place) gpa::resource(o);
    --left;
  };
  std::barrier round(threads, make_again);
  std::vector<std::thread> all;
  for (std::ptrdiff_t i = 0; i != threads; ++i) {
    all.emplace_back([&] {
      for (int n = rounds(10'000); n != 0; --n) {
        void* const p = r->allocate(40);
        std::memset(p, n, 40);
        r->deallocate(p, 40);
        round.arrive_and_wait();
      }
    });
  }
  for (std::thread& t : all) t.join();
  r->~resource();
  BOOST_TEST(left == 0);
  BOOST_TEST(wrong == 0u);
  BOOST_TEST(w.count() == 0u);
}

BOOST_AUTO_TEST_CASE(ten_thousand_resources_may_come_and_go_under_threads_that_used_them)
{
  constexpr std::size_t batch = 100;
  constexpr std::ptrdiff_t threads = 3;
  std::array<std::unique_ptr<gpa::resource>, batch> all;
  std::atomic<std::size_t> wrong{0};
  const auto renew = [&]() noexcept {
    for (std::size_t i = 0; i != batch; ++i) {
      if (all[i] != nullptr && all[i]->deinit() != gpa::check::ok) ++wrong;
      all[i] = std::make_unique<gpa::resource>(gpa::options{.checks = every_kind[i % 3]});
    }
  };
  renew();
  std::barrier round(threads, renew);
  std::vector<std::thread> workers;
  for (std::ptrdiff_t t = 0; t != threads; ++t) {
    workers.emplace_back([&] {
      for (int n = rounds(100); n != 0; --n) {
        for (const auto& r : all) r->deallocate(r->allocate(40), 40);
        round.arrive_and_wait();
      }
    });
  }
  for (std::thread& t : workers) t.join();
  for (const auto& r : all)
    if (r->deinit() != gpa::check::ok) ++wrong;
  BOOST_TEST(wrong == 0u);
}

BOOST_AUTO_TEST_CASE(one_thread_may_alternate_between_eight_resources)
{
  witness w;
  std::vector<std::unique_ptr<gpa::resource>> all;
  for (int i = 0; i != 8; ++i) all.push_back(std::make_unique<gpa::resource>(w.listening({.checks = every_kind[i % 3]})));
  for (int n = 0; n != 20'000; ++n) {
    gpa::resource& r = *all[static_cast<std::size_t>(n) % 8];
    gpa::resource& next = *all[static_cast<std::size_t>(n + 1) % 8];
    void* const p = r.allocate(48);
    void* const q = next.allocate(48);
    r.deallocate(p, 48);
    next.deallocate(q, 48);
  }
  for (const auto& r : all) {
    BOOST_TEST(r->stats().total_blocks == 5000u);
    BOOST_TEST(r->deinit() == gpa::check::ok);
  }
  BOOST_TEST(w.count() == 0u);
}

// More than there are numbers for threads.
// More than a thread has ways for, in turn: none of them is where a hot path looks first, all are remembered.
BOOST_AUTO_TEST_CASE(twenty_resources_used_in_turn_hear_of_a_scope_and_of_a_limit_at_once)
{
  for (const gpa::checks& kind : every_kind) {
    std::vector<std::unique_ptr<gpa::resource>> resources;
    for (int i = 0; i != 20; ++i) resources.push_back(std::make_unique<gpa::resource>(gpa::options{.checks = kind}));
    const auto use_all = [&] {
      for (int i = 0; i != rounds(300); ++i)
        for (const auto& r : resources) use(*r);
    };
    use_all();
    if (kind.is_always()) {
      std::vector<void*> ignored;
      {
        const gpa::ignore_scope scope;
        for (const auto& r : resources) ignored.push_back(r->allocate(40));
      }
      for (std::size_t i = 0; i != ignored.size(); ++i) {
        BOOST_TEST(resources[i]->detect_leaks() == 0u);
        resources[i]->deallocate(ignored[i], 40);
      }
      use_all();
    }
    for (const auto& r : resources) r->set_memory_limit(100);
    for (const auto& r : resources) BOOST_CHECK_THROW(static_cast<void>(r->allocate(101)), std::bad_alloc);
    for (const auto& r : resources) r->set_memory_limit(gpa::unlimited);
    use_all();
    for (const auto& r : resources) {
      BOOST_TEST(r->stats().live_blocks == 0u);
      BOOST_TEST(r->deinit() == gpa::check::ok);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_hundred_thousand_short_threads_leave_the_memory_of_a_few)
{
  gpa::resource safe(checked);
  gpa::resource unchecked({.checks = gpa::checks::never()});
  gpa::resource sampled({.checks = gpa::checks::one_in(100)});
  const auto run = [&](int threads) {
    for (int i = 0; i < threads; i += 4) {
      std::array<std::thread, 4> some;
      for (std::thread& t : some)
        t = std::thread([&] {
          use(safe);
          use(unchecked);
          use(sampled);
        });
      for (std::thread& t : some) t.join();
    }
  };
  run(rounds(2'000));
  const std::size_t before = gpa::test::resident_bytes();
  run(rounds(gpa::test::sanitized ? 18'000 : 98'000));
  const std::size_t after = gpa::test::resident_bytes();
  for (gpa::resource* const r : {&safe, &unchecked, &sampled}) {
    BOOST_TEST(r->stats().held_bytes <= std::size_t{8} << 20);  // a few caches: how many run at once is not ours to say
    BOOST_TEST(r->stats().live_blocks == 0u);
    BOOST_TEST(r->deinit() == gpa::check::ok);
  }
  if (!gpa::test::sanitized) BOOST_TEST(after <= before + (std::size_t{8} << 20));
}

// 20 000 of each kind, half of them alive at once. Their records go back to the system with them.
BOOST_AUTO_TEST_CASE(ten_thousand_resources_leave_little_behind)
{
  const auto count = static_cast<std::size_t>(rounds(10'000));
  for (const gpa::checks kind : every_kind) {
    const std::size_t before = gpa::test::resident_bytes();
    for (int turn = 0; turn != 2; ++turn) {
      std::vector<std::unique_ptr<gpa::resource>> all;
      std::vector<void*> blocks;
      for (std::size_t i = 0; i != count; ++i) {
        all.push_back(std::make_unique<gpa::resource>(gpa::options{.checks = kind}));
        blocks.push_back(all.back()->allocate(100));
        std::memset(blocks.back(), 1, 100);
      }
      const std::size_t full = gpa::test::resident_bytes();
      for (std::size_t i = 0; i != count; ++i) all[i]->deallocate(blocks[i], 100);
      if (!gpa::test::sanitized) BOOST_TEST(full <= before + (std::size_t{64} << 20) + count * (std::size_t{48} << 10));
    }
    const std::size_t after = gpa::test::resident_bytes();
    if (!gpa::test::sanitized) BOOST_TEST(after <= before + (std::size_t{64} << 20));
  }
}
