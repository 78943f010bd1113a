#define BOOST_TEST_MODULE reentry
#include <gpa/resource.hpp>

#include "support/modes.hpp"
#include "support/not_run.hpp"
#include "support/outcome.hpp"
#include "support/suspects.hpp"
#include "support/witness.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <memory_resource>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

// An upstream may use the resource that calls it, and resources may stand on each other.

namespace {

using gpa::test::every_mode;
using gpa::test::mode;
using gpa::test::outcome;
using gpa::test::outcome_of;

constexpr std::size_t block = 1'000;

// Does something with the resource whenever that gives memory back, or asks for some.
class busy_upstream final : public std::pmr::memory_resource {
 public:
  template <class OnTake, class OnReturn>
  busy_upstream(OnTake on_take, OnReturn on_return) : on_take_(on_take), on_return_(on_return)
  {}
  void begin(gpa::resource& r) { resource_ = &r; }
  void end() { resource_ = nullptr; }
  [[nodiscard]] std::size_t live_bytes() const { return live_bytes_; }
  [[nodiscard]] int calls() const { return calls_; }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override
  {
    call(on_take_);
    live_bytes_ += bytes;
    return std::pmr::new_delete_resource()->allocate(bytes, alignment);
  }
  void do_deallocate(void* p, std::size_t bytes, std::size_t alignment) override
  {
    call(on_return_);
    live_bytes_ -= bytes;
    std::pmr::new_delete_resource()->deallocate(p, bytes, alignment);
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  void call(const std::function<void(gpa::resource&)>& f)
  {
    if (resource_ == nullptr || inside_) return;
    inside_ = true;
    ++calls_;
    f(*resource_);
    inside_ = false;
  }

  std::function<void(gpa::resource&)> on_take_;
  std::function<void(gpa::resource&)> on_return_;
  gpa::resource* resource_ = nullptr;
  bool inside_ = false;
  int calls_ = 0;
  std::size_t live_bytes_ = 0;
};

std::vector<void*> allocate_many(gpa::resource& r, int count)
{
  std::vector<void*> all;
  for (int i = 0; i != count; ++i) all.push_back(r.allocate(block, 8));
  return all;
}

void free_all(gpa::resource& r, std::vector<void*>& blocks)
{
  for (void* const p : blocks) r.deallocate(p, block, 8);
  blocks.clear();
}

// Of what is live and what is handed out now none is twice.
void require_distinct(gpa::resource& r, std::vector<void*>& live)
{
  std::vector<void*> more = allocate_many(r, 1'500);
  std::set<void*> all(live.begin(), live.end());
  all.insert(more.begin(), more.end());
  BOOST_TEST_REQUIRE(all.size() == live.size() + more.size());
  free_all(r, more);
  free_all(r, live);
}

void go_through(const mode& m, std::vector<void*>& stash, busy_upstream& upstream)
{
  {
    gpa::resource r(m.options, &upstream);
    const int many = m.options.checks.is_never() ? 20'000 : 1'500;  // more than a thread keeps
    stash = allocate_many(r, many / 10);
    std::vector<void*> all;
    upstream.begin(r);
    all = allocate_many(r, many);
    free_all(r, all);
    r.trim();
    upstream.end();
    BOOST_TEST(r.stats().live_blocks == stash.size());
    require_distinct(r, stash);
    BOOST_TEST((r.deinit() == gpa::check::ok));
  }
  BOOST_TEST(upstream.live_bytes() == 0u);
}

const auto nothing = [](gpa::resource&) {};

}  // namespace

BOOST_AUTO_TEST_CASE(an_upstream_may_free_blocks_of_the_resource_that_calls_it)
{
  for (const mode& m : every_mode()) {
    BOOST_TEST_CONTEXT(m.name)
    {
      std::vector<void*> stash;
      const auto free_one = [&](gpa::resource& r) {
        if (stash.empty()) return;
        r.deallocate(stash.back(), block, 8);
        stash.pop_back();
      };
      busy_upstream upstream(free_one, free_one);
      go_through(m, stash, upstream);
      if (!gpa::test::is_sampled(m)) BOOST_TEST(upstream.calls() > 0);
    }
  }
}

BOOST_AUTO_TEST_CASE(an_upstream_that_takes_memory_back_may_allocate_from_the_resource)
{
  for (const mode& m : every_mode()) {
    BOOST_TEST_CONTEXT(m.name)
    {
      std::vector<void*> stash;
      busy_upstream upstream(nothing, [&](gpa::resource& r) {
        for (int i = 0; i != 40; ++i)
          if (void* const p = r.try_allocate(block, 8); p != nullptr) stash.push_back(p);
      });
      go_through(m, stash, upstream);
    }
  }
}

BOOST_AUTO_TEST_CASE(what_an_upstream_does_wrong_while_it_is_given_memory_back_is_in_the_verdict)
{
  gpa::test::witness w;
  busy_upstream upstream(nothing, [](gpa::resource& r) { (void)r.try_allocate(16, 8); });
  gpa::resource r(w.listening({.checks = gpa::checks::always()}), &upstream);
  r.deallocate(r.allocate(100, 8), 100, 8);
  upstream.begin(r);
  BOOST_TEST((r.deinit() == gpa::check::misuse));
  upstream.end();
  BOOST_TEST(w.count(gpa::mistake::use_after_deinit) > 0u);
  BOOST_TEST((r.deinit() == gpa::check::misuse));
}

// From what the resource has: the upstream is not asked while it is asked. Of a sampled one, blocks that are due meanwhile.
BOOST_AUTO_TEST_CASE(an_upstream_that_is_asked_for_memory_may_allocate_from_the_resource)
{
  std::vector<mode> modes = every_mode();
  modes.push_back({"every second sampled", {.checks = gpa::checks::one_in(2)}});
  for (const mode& m : modes) {
    BOOST_TEST_CONTEXT(m.name)
    {
      std::vector<void*> small;
      std::vector<void*> stash;
      const auto allocate_small = [&](gpa::resource& r) {
        for (int i = 0; i != 5; ++i)
          if (void* const p = r.try_allocate(24, 8); p != nullptr) small.push_back(p);
      };
      busy_upstream upstream(allocate_small, [&](gpa::resource& r) {
        if (small.empty()) return;
        r.deallocate(small.back(), 24, 8);
        small.pop_back();
      });
      {
        gpa::resource r(m.options, &upstream);
        for (int i = 0; i != 100; ++i) small.push_back(r.allocate(24, 8));
        const std::size_t before = r.stats().total_blocks;
        upstream.begin(r);
        stash = allocate_many(r, 5'000);
        for (int i = 0; i != 50; ++i) r.deallocate(r.allocate(300'000, 8), 300'000, 8);
        upstream.end();
        BOOST_TEST(r.stats().live_blocks == stash.size() + small.size());
        BOOST_TEST(r.stats().total_blocks >= before + stash.size() + 50);
        free_all(r, stash);
        for (void* const p : small) r.deallocate(p, 24, 8);
        BOOST_TEST((r.deinit() == gpa::check::ok));
      }
      BOOST_TEST(upstream.live_bytes() == 0u);
    }
  }
}

BOOST_AUTO_TEST_CASE(an_upstream_that_is_short_of_memory_may_trim_and_ask_the_resource)
{
  for (const mode& m : every_mode()) {
    BOOST_TEST_CONTEXT(m.name)
    {
      const auto look = [](gpa::resource& r) {
        r.trim();
        static_cast<void>(r.stats());
        static_cast<void>(r.verify());
      };
      std::vector<void*> stash;
      busy_upstream upstream(look, look);
      go_through(m, stash, upstream);
    }
  }
}

BOOST_AUTO_TEST_CASE(an_upstream_that_breaks_its_promise_of_alignment_is_told_of_once)
{
#if GPA_TEST_ASAN
  gpa::test::not_run_here("UBSan stops at the broken promise of the upstream");
  return;
#endif
  const outcome o = outcome_of([] {
    class crooked final : public std::pmr::memory_resource {
      void* do_allocate(std::size_t bytes, std::size_t) override
      {
        return static_cast<std::byte*>(std::pmr::new_delete_resource()->allocate(bytes + 65'536, 65'536)) + 16;
      }
      void do_deallocate(void* p, std::size_t bytes, std::size_t) override
      {
        std::pmr::new_delete_resource()->deallocate(static_cast<std::byte*>(p) - 16, bytes + 65'536, 65'536);
      }
      bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }
    } upstream;
    gpa::resource r({.name = "crooked\nname", .checks = gpa::checks::always()}, &upstream);
    for (int i = 0; i != 3; ++i)
      if (r.try_allocate(24) != nullptr) std::abort();
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == 0);
    BOOST_TEST(o.err ==
               "gpa: warning: the upstream of resource \"crooked?name\" returned memory that is not aligned to 65536 bytes; it "
               "was given back, and the allocation refused\n");
  }
}

// A handler may use the resource: in the middle of an allocation, whose bytes are promised and not yet counted, and of a
// free, whose bytes are counted as gone.
BOOST_AUTO_TEST_CASE(a_limit_is_exact_for_what_a_handler_allocates)
{
  for (const std::size_t tenth : {100U, 10'000U}) {  // small blocks and large ones
    gpa::resource* used = nullptr;
    std::size_t granted = 0;  // tenths of the limit
    int calls = 0;
    gpa::resource r({.checks = gpa::checks::always(),
                     .memory_limit = 10 * tenth,
                     .quarantine_bytes = 0,
                     .after_mistake = gpa::after_mistake::carry_on,
                     .on_report = [&](const gpa::report&) {
                       ++calls;
                       for (const std::size_t tenths : {6U, 4U}) {
                         void* const p = used->try_allocate(tenths * tenth, 8);
                         if (p == nullptr) continue;
                         granted += tenths;
                         used->deallocate(p, tenths * tenth, 8);
                       }
                     }});
    used = &r;
    const auto most_for_another_thread = [&r, tenth] {
      std::size_t tenths = 20;
      std::thread([&] {
        for (; tenths != 0; --tenths)
          if (void* const p = r.try_allocate(tenths * tenth, 8); p != nullptr) {
            r.deallocate(p, tenths * tenth, 8);
            break;
          }
      }).join();
      return tenths;
    };
    const std::size_t bytes = 6 * tenth;

    void* p = r.allocate(bytes, 8);
    if (tenth == 100) {
      r.deallocate(p, bytes, 8);
      gpa::test::stray_write(p, 0);  // after its free: found when the slot is handed out
      std::vector<void*> others;
      for (p = nullptr; calls == 0 && others.size() != 10'000; p = r.allocate(bytes, 8)) {
        if (p != nullptr) others.push_back(p);
        r.set_memory_limit(others.size() * bytes + 10 * tenth);
      }
      BOOST_TEST(calls == 1);
      BOOST_TEST(granted == 4u);
      for (void* const other : others) r.deallocate(other, bytes, 8);
      r.set_memory_limit(10 * tenth);
      BOOST_TEST(most_for_another_thread() == 4u);
    }

    calls = 0;
    granted = 0;
    gpa::test::stray_write(p, static_cast<std::ptrdiff_t>(bytes));  // found by its free
    r.deallocate(p, bytes, 8);
    BOOST_TEST(calls == 1);
    BOOST_TEST(granted == 10u);
    BOOST_TEST(most_for_another_thread() == 10u);
  }
}

// The thread is in the upstream's code, and wants a lock of the lower resource, while the fork holds all of these.
BOOST_AUTO_TEST_CASE(a_process_may_fork_while_a_thread_uses_a_resource_that_stands_on_another)
{
#if GPA_TEST_ASAN
  gpa::test::not_run_here("ASan's own heap may be locked in the child of a busy parent");
  return;
#endif
  for (const gpa::checks checks : {gpa::checks::always(), gpa::checks::never()}) {
    const outcome o = outcome_of([checks] {
      ::alarm(200);
      gpa::resource lower({.checks = checks});
      gpa::resource upper({.checks = checks}, &lower);
      std::atomic<bool> done{false};
      std::thread busy([&] {
        for (std::size_t i = 0; !done; ++i) {
          const std::size_t bytes = (1 + i % 40) * 65'536;
          upper.deallocate(upper.allocate(bytes, 8), bytes, 8);
          if (i % 64 == 0) upper.trim();
        }
      });
      for (int i = 0; i != 60; ++i) {
        const pid_t child = ::fork();
        if (child == 0) {
          ::alarm(60);
          upper.deallocate(upper.allocate(300'000, 8), 300'000, 8);
          upper.deallocate(upper.allocate(300, 8), 300, 8);
          ::_exit(0);
        }
        int status = -1;
        if (::waitpid(child, &status, 0) != child || status != 0) ::_exit(1);
      }
      done = true;
      busy.join();
    });
    BOOST_TEST_CONTEXT(o) BOOST_TEST(o.status == 0);
  }
}

// Its cache is borrowed for each call, so in the child it is taken for that of a thread that is no more.
BOOST_AUTO_TEST_CASE(an_upstream_may_fork_in_a_thread_whose_destructors_have_run)
{
#if GPA_TEST_ASAN
  gpa::test::not_run_here("ASan's own heap may be locked in the child");
  return;
#endif
  for (const mode& m : every_mode()) {
    const outcome o = outcome_of([&m] {
      ::alarm(100);
      bool forked = false;
      busy_upstream upstream(
          [&forked](gpa::resource&) {
            if (std::exchange(forked, true)) return;
            int status = 0;
            const pid_t child = ::fork();
            if (child == 0) ::alarm(20);
            if (child != 0 && (::waitpid(child, &status, 0) != child || status != 0)) ::_exit(1);
          },
          nothing);
      gpa::resource r(m.options, &upstream);
      upstream.begin(r);
      static std::function<void()> at_the_end;
      at_the_end = [&r] {
        std::vector<void*> all = allocate_many(r, 500);
        require_distinct(r, all);
        if (r.stats().live_blocks != 0 || r.deinit() != gpa::check::ok) ::_exit(2);
        ::_exit(0);
      };
      pthread_key_t key{};
      ::pthread_key_create(&key, [](void*) { at_the_end(); });
      std::thread([&key] {
        ::pthread_setspecific(key, &key);
        gpa::resource other;
        other.deallocate(other.allocate(24), 24);  // so there is a destructor of gpa's, which comes first
      }).join();
    });
    BOOST_TEST_CONTEXT(m.name << o) BOOST_TEST(o.status == 0);
  }
}
