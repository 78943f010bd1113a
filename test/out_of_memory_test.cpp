#define BOOST_TEST_MODULE out_of_memory
#include "support/not_run.hpp"
#include "support/accomplices.hpp"
#include "support/child.hpp"
#include "support/mappings.hpp"
#include "support/modes.hpp"
#include "support/outcome.hpp"
#include "support/upstreams.hpp"
#include "support/witness.hpp"
#include "support/suspects.hpp"

#include <gpa/resource.hpp>

#include <boost/test/unit_test.hpp>

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory_resource>
#include <new>
#include <string>
#include <vector>

namespace {

using gpa::test::every_mode;
using gpa::test::mode;
using gpa::test::recording_upstream;
using gpa::test::witness;

// A workload that comes back to the upstream many times: every class once, large blocks, large alignments, frees.
struct request {
  std::size_t bytes;
  std::size_t alignment;
};

std::vector<request> workload()
{
  std::vector<request> all;
  for (const std::size_t bytes : {0U, 24U, 100U, 1025U, 20'000U, 32'768U, 32'769U, 100'000U})
    for (const std::size_t alignment : {8U, 256U, 131'072U}) all.push_back({bytes, alignment});
  return all;
}

struct block {
  std::byte* p;
  request of;
};

bool is_kept(const block& b)
{
  return std::all_of(b.p, b.p + b.of.bytes, [](std::byte seen) { return seen == std::byte{0x41}; });
}

// Whether nothing a user can see has changed. Calls of the upstream are counted whether they succeed or not, and a
// peak may have been noticed late.
bool is_same(const gpa::statistics& a, const gpa::statistics& b)
{
  return a.live_blocks == b.live_blocks && a.live_bytes == b.live_bytes && a.total_blocks == b.total_blocks &&
         a.total_bytes == b.total_bytes && a.held_bytes == b.held_bytes && a.mistakes == b.mistakes;
}

// Runs the workload while the upstream refuses its k-th call, `refusals` calls long. Returns how often it refused.
std::size_t run(const mode& m, std::size_t k, std::size_t refusals, const std::vector<request>& requests)
{
  witness w;
  recording_upstream upstream;
  upstream.refuse(k, refusals);
  {
    gpa::resource r(w.listening(m.options), &upstream);
    std::vector<block> live;
    std::size_t changed = 0;
    for (const request& wanted : requests) {
      const gpa::statistics before = r.stats();
      const std::size_t refused = upstream.refused();
      std::byte* p = nullptr;
      try {
        p = static_cast<std::byte*>(r.allocate(wanted.bytes, wanted.alignment));
      } catch (const std::bad_alloc&) {
        if (upstream.refused() == refused) BOOST_ERROR("refused although the upstream did not");
        if (!is_same(before, r.stats())) ++changed;
        continue;
      }
      std::memset(p, 0x41, wanted.bytes);
      live.push_back({p, wanted});
    }
    BOOST_TEST(changed == 0u);
    BOOST_TEST(std::all_of(live.begin(), live.end(), is_kept));
    BOOST_TEST(r.stats().live_blocks == live.size());
    BOOST_TEST(r.verify() == 0u);
    for (const block& b : live) r.deallocate(b.p, b.of.bytes, b.of.alignment);
    BOOST_TEST(r.stats().live_blocks == 0u);

    upstream.refuse(recording_upstream::never, 0);  // later calls work
    for (const request& wanted : requests)
      r.deallocate(r.allocate(wanted.bytes, wanted.alignment), wanted.bytes, wanted.alignment);
    BOOST_TEST((r.deinit() == gpa::check::ok));
  }
  BOOST_TEST(w.count() == 0u);
  BOOST_TEST(upstream.live() == 0u);
  BOOST_TEST(upstream.wrong() == 0u);
  return upstream.refused();
}

template <class F>
void in_every_mode(F f)
{
  for (const mode& m : every_mode()) {
    BOOST_TEST_CONTEXT(m.name) f(m);
  }
}

// new_delete, up to so many bytes.
struct bounded_upstream final : std::pmr::memory_resource {
  std::size_t left;
  explicit bounded_upstream(std::size_t most) : left(most) {}
  void* do_allocate(std::size_t bytes, std::size_t alignment) override
  {
    if (bytes > left) throw std::bad_alloc();
    left -= bytes;
    return std::pmr::new_delete_resource()->allocate(bytes, alignment);
  }
  void do_deallocate(void* p, std::size_t bytes, std::size_t alignment) override
  {
    left += bytes;
    std::pmr::new_delete_resource()->deallocate(p, bytes, alignment);
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }
};

}  // namespace

// The system itself refuses: in a child whose address space is bounded. Before the other tests, whose sampled resources
// reserve addresses of this process. Sanitizers need theirs for themselves.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#if defined(__has_feature)
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
#define GPA_TEST_BOUNDED 1
#endif
#else
#define GPA_TEST_BOUNDED 1
#endif
#endif

#ifdef GPA_TEST_BOUNDED
namespace {

// Allocates until the system refuses, frees, and allocates again. What went wrong, or null.
const char* exhaust(const mode& m, std::size_t bytes)
{
  witness w;
  std::vector<void*> blocks;
  blocks.reserve(200'000);  // before the bound: this test's own memory is not the question
  const rlimit bound{std::size_t{600} << 20, std::size_t{600} << 20};
  if (::setrlimit(RLIMIT_AS, &bound) != 0) return "no bound could be set";
  gpa::resource r(w.listening(m.options));
  for (;;) {
    void* const p = r.try_allocate(bytes, 8);
    if (p == nullptr) break;
    if (blocks.size() == blocks.capacity()) return "nothing was refused";
    blocks.push_back(p);
  }
  if (blocks.size() < (std::size_t{64} << 20) / bytes) return "refused too early";
  if (r.stats().live_blocks != blocks.size()) return "a refused block is counted";
  void* const last = blocks.back();
  std::memset(last, 0x41, bytes);
  for (void* const p : blocks) r.deallocate(p, bytes, 8);
  if (r.stats().live_bytes != 0) return "a freed block is counted";
  if (m.options.quarantine_bytes != gpa::unlimited) {
    void* const again = r.try_allocate(bytes, 8);
    if (again == nullptr) return "refused although everything was freed";
    r.deallocate(again, bytes, 8);
  }
  if (r.deinit() != gpa::check::ok) return "deinit() is not content";
  return w.count() == 0 ? nullptr : "something was reported";
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_process_without_addresses_left_gets_bad_alloc_and_goes_on)
{
  for (const mode& m : every_mode()) {
    for (const std::size_t bytes : {30'000U, 1'000'000U}) {
      BOOST_TEST_CONTEXT(m.name << ", " << bytes << " bytes")
      BOOST_TEST(gpa::test::true_in_child([&] {
                   const char* wrong = "an exception";
                   try {
                     wrong = exhaust(m, bytes);
                   } catch (const std::bad_alloc&) {
                   }
                   if (wrong != nullptr) std::fprintf(stderr, "%s, %zu bytes: %s\n", m.name, bytes, wrong);
                   return wrong == nullptr;
                 }),
                 "see above");
    }
  }
}
#endif

BOOST_AUTO_TEST_CASE(any_one_refused_call_of_the_upstream_is_bad_alloc_and_nothing_else)
{
  const std::vector<request> requests = workload();
  in_every_mode([&](const mode& m) {
    std::size_t k = 0;
    while (run(m, k, 1, requests) != 0) ++k;
    BOOST_TEST(k >= (gpa::test::is_sampled(m) ? 10u : 20u));  // the workload asks as often as that
  });
}

BOOST_AUTO_TEST_CASE(an_upstream_that_is_exhausted_from_some_call_on_leaves_what_there_is_intact)
{
  const std::vector<request> requests = workload();
  in_every_mode([&](const mode& m) {
    std::size_t k = 0;
    while (run(m, k, recording_upstream::never, requests) != 0) ++k;
    BOOST_TEST(k >= (gpa::test::is_sampled(m) ? 10u : 20u));
  });
}

BOOST_AUTO_TEST_CASE(a_container_survives_every_refusal)
{
  in_every_mode([](const mode& m) {
    bool completed = false;
    for (std::size_t k = 0; !completed; ++k) {
      witness w;
      recording_upstream upstream;
      upstream.refuse(k, recording_upstream::never);
      {
        gpa::resource r(w.listening(m.options), &upstream);
        std::pmr::map<int, std::pmr::string> map(&r);
        try {
          for (int i = 0; i != 60; ++i) map.emplace(i, std::string(static_cast<std::size_t>(i) * 1'000 + 20, 'x'));
          completed = true;
        } catch (const std::bad_alloc&) {
        }
        std::size_t wrong = 0;
        for (const auto& [key, value] : map)
          if (value.size() != static_cast<std::size_t>(key) * 1'000 + 20) ++wrong;
        BOOST_TEST(wrong == 0u);
        map.clear();
        BOOST_TEST((r.deinit() == gpa::check::ok));
      }
      BOOST_TEST(w.count() == 0u);
      BOOST_TEST(upstream.live() == 0u);
      BOOST_TEST(upstream.wrong() == 0u);
    }
  });
}

BOOST_AUTO_TEST_CASE(try_allocate_answers_null_where_allocate_throws)
{
  in_every_mode([](const mode& m) {
    recording_upstream upstream;
    upstream.refuse(0, recording_upstream::never);
    gpa::resource r(m.options, &upstream);
    for (const std::size_t bytes : {0U, 24U, 40'000U}) {
      BOOST_TEST(r.try_allocate(bytes) == nullptr);
      BOOST_CHECK_THROW(static_cast<void>(r.allocate(bytes)), std::bad_alloc);
    }
    BOOST_TEST(r.stats().total_blocks == 0u);
  });
}

// Slabs become smaller before anything is refused.
BOOST_AUTO_TEST_CASE(a_small_upstream_is_used_up)
{
  in_every_mode([](const mode& m) {
    for (const std::size_t bytes : {100U, 1'000U, 9'000U, 20'000U, 32'000U}) {
      bounded_upstream upstream(std::size_t{448} << 10);
      {
        gpa::resource r(m.options, &upstream);
        std::vector<void*> blocks;
        while (void* const p = r.try_allocate(bytes)) blocks.push_back(std::memset(p, 0x41, bytes));
        BOOST_TEST(upstream.left < 65'536u, bytes << " bytes");
        for (void* const p : blocks) r.deallocate(p, bytes);
        BOOST_TEST((r.deinit() == gpa::check::ok));
      }
      BOOST_TEST(upstream.left == std::size_t{448} << 10);
    }
  });
}

// Though it is larger than all that is in quarantine: the rest is free.
BOOST_AUTO_TEST_CASE(a_large_request_has_what_is_in_quarantine_before_it_is_refused)
{
  bounded_upstream upstream(std::size_t{8} << 20);
  gpa::resource r({.checks = gpa::checks::always(), .quarantine_bytes = std::size_t{4} << 20}, &upstream);
  constexpr std::size_t small = 2'500'000;
  constexpr std::size_t large = 6'000'000;
  r.deallocate(r.allocate(small), small);
  BOOST_TEST(upstream.left < large);
  void* const p = r.try_allocate(large);
  BOOST_TEST(p != nullptr);
  if (p != nullptr) r.deallocate(p, large);
}

// The library that reads debug information ends the process where memory is refused to it.
// A slab as well as a large block: what lies in quarantine may be all that there is.
BOOST_AUTO_TEST_CASE(a_small_request_has_what_is_in_quarantine_before_it_is_refused)
{
  constexpr std::size_t all = std::size_t{8} << 20;
  bounded_upstream upstream(all);
  gpa::resource r({.checks = gpa::checks::always(), .quarantine_bytes = 2 * all}, &upstream);
  void* const large = r.try_allocate(all - 1);
  BOOST_TEST_REQUIRE(large != nullptr);
  BOOST_TEST(upstream.left == 0u);
  BOOST_TEST(r.try_allocate(24) == nullptr);
  r.deallocate(large, all - 1);
  BOOST_TEST(upstream.left == 0u);
  void* const small = r.try_allocate(24);
  BOOST_TEST(small != nullptr);
  if (small != nullptr) r.deallocate(small, 24);
}

BOOST_AUTO_TEST_CASE(a_mistake_is_told_however_little_memory_is_left_and_the_program_goes_on)
{
  if (gpa::test::sanitized) return gpa::test::not_run_here("a sanitizer needs addresses of its own");
  for (std::size_t left = 0; left != 48; ++left) {
    const gpa::test::outcome o = gpa::test::outcome_of([left] {
      gpa::resource r({.checks = gpa::checks::always(), .after_mistake = gpa::after_mistake::carry_on});
      void* const p = gpa::test::obtain(r, 10);
      gpa::test::discard(r, p, 10);
      const rlimit bound{(gpa::test::status_kib("VmSize") << 10) + (left << 20), RLIM_INFINITY};
      if (::setrlimit(RLIMIT_AS, &bound) != 0) return;
      gpa::test::discard(r, p, 10);
      static_cast<void>(::write(STDOUT_FILENO, "went on", 7) == 7);
    });
    BOOST_TEST_CONTEXT(left << " MiB: " << o)
    {
      BOOST_TEST(o.out == "went on");
      BOOST_TEST(o.says("[gpa-double-free]"));
    }
  }
}

// Which no machine could meet: what was freed before stays what it is.
BOOST_AUTO_TEST_CASE(a_garbage_request_ends_no_quarantine)
{
  for (const bool over_upstream : {false, true}) {
    witness w;
    bounded_upstream upstream(std::size_t{64} << 20);
    gpa::resource r(w.listening({.checks = gpa::checks::always()}), over_upstream ? &upstream : nullptr);
    void* const p = gpa::test::obtain(r, 100'000);
    gpa::test::discard(r, p, 100'000);
    BOOST_TEST(r.try_allocate(std::size_t{1} << 46) == nullptr);
    gpa::test::discard(r, p, 100'000);
    BOOST_TEST(w.count(gpa::mistake::double_free) == 1u);
    BOOST_TEST(w.count() == 1u);
  }
}

// A misaligned answer of an upstream goes back, with the numbers it was asked for with, and is a refusal.
BOOST_AUTO_TEST_CASE(an_upstream_that_misaligns_causes_bad_alloc_and_gets_its_memory_back)
{
#if GPA_TEST_ASAN
  gpa::test::not_run_here("UBSan stops at the broken promise of the upstream");
  return;
#endif
  struct crooked final : std::pmr::memory_resource {
    std::size_t live = 0;
    void* do_allocate(std::size_t bytes, std::size_t) override
    {
      ++live;
      return static_cast<std::byte*>(std::pmr::new_delete_resource()->allocate(bytes + 65'536, 65'536)) + 32;
    }
    void do_deallocate(void* p, std::size_t bytes, std::size_t) override
    {
      --live;
      std::pmr::new_delete_resource()->deallocate(static_cast<std::byte*>(p) - 32, bytes + 65'536, 65'536);
    }
    bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }
  };
  in_every_mode([](const mode& m) {
    if (!m.options.checks.is_always() && !m.options.checks.is_never()) return;  // a block that is picked is not the upstream's
    crooked upstream;
    {
      gpa::resource r(m.options, &upstream);
      BOOST_CHECK_THROW(static_cast<void>(r.allocate(24)), std::bad_alloc);
      BOOST_CHECK_THROW(static_cast<void>(r.allocate(200'000)), std::bad_alloc);
      BOOST_TEST(upstream.live == 0u);
      BOOST_TEST(r.stats().live_blocks == 0u);
    }
    BOOST_TEST(upstream.live == 0u);
  });
}
