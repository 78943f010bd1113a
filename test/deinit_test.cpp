#define BOOST_TEST_MODULE deinit
#include <gpa/resource.hpp>

#include "support/not_run.hpp"
#include "support/outcome.hpp"
#include "support/upstreams.hpp"
#include "support/witness.hpp"
#include "support/suspects.hpp"

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <cstring>
#include <memory_resource>
#include <string>
#include <vector>

namespace {

using gpa::test::outcome;
using gpa::test::outcome_of;
using gpa::test::witness;

const gpa::options checked{.checks = gpa::checks::always()};
const gpa::options carrying_on{.checks = gpa::checks::always(), .after_mistake = gpa::after_mistake::carry_on};

bool holds(const void* p, std::size_t bytes, unsigned char value)
{
  for (std::size_t i = 0; i != bytes; ++i)
    if (static_cast<const unsigned char*>(p)[i] != value) return false;
  return true;
}

constexpr std::size_t sizes[] = {0, 1, 24, 61, 1000, 32768, 200'000, 5 << 20};

}  // namespace

BOOST_AUTO_TEST_CASE(the_verdict_is_leak_before_misuse_before_ok)
{
  for (const bool leaks : {false, true}) {
    for (const bool misuses : {false, true}) {
      witness w;
      gpa::resource r(w.listening());
      void* const p = r.allocate(64);
      if (misuses) r.deallocate(p, 63);
      if (!leaks) r.deallocate(p, 64);
      const gpa::check expected = leaks ? gpa::check::leak : misuses ? gpa::check::misuse : gpa::check::ok;
      BOOST_TEST(r.deinit() == expected);
      const std::size_t told = w.count();
      BOOST_TEST(told == std::size_t{leaks} + std::size_t{misuses});
      BOOST_TEST(r.deinit() == expected);
      BOOST_TEST(w.count() == told);
      if (leaks) r.deallocate(p, 64);
      BOOST_TEST(r.deinit() == expected);
    }
  }
}

BOOST_AUTO_TEST_CASE(what_deinit_itself_finds_is_a_misuse)
{
#if GPA_TEST_ASAN
  gpa::test::not_run_here("ASan stops at the planted write itself");
  return;
#endif
  witness w;
  gpa::resource r(w.listening());
  auto* const p = static_cast<volatile char*>(r.allocate(64));
  r.deallocate(const_cast<char*>(p), 64);
#if defined(__SANITIZE_ADDRESS__)
  BOOST_TEST(r.deinit() == gpa::check::ok);  // the write would stop the program
#else
  p[3] = 'x';
  BOOST_TEST(r.deinit() == gpa::check::misuse);
  BOOST_TEST(w.count(gpa::mistake::write_after_free) == 1u);
#endif
}

BOOST_AUTO_TEST_CASE(the_destructor_says_what_deinit_would_and_says_it_once)
{
  witness w;
  {
    gpa::resource r(w.listening());
    static_cast<void>(r.allocate(64));
  }
  BOOST_TEST(w.take().size() == 1u);
  {
    gpa::resource r(w.listening());
    static_cast<void>(r.allocate(64));
    BOOST_TEST(r.deinit() == gpa::check::leak);
  }
  BOOST_TEST(w.take().size() == 1u);
}

BOOST_AUTO_TEST_CASE(blocks_live_at_deinit_stay_readable_and_their_memory_goes_with_the_last_of_them)
{
  witness w;
  gpa::resource r(w.listening());
  struct block {
    void* p;
    std::size_t bytes;
  };
  std::vector<block> blocks;
  for (const std::size_t bytes : sizes) {
    for (int i = 0; i != 20; ++i) {
      blocks.push_back({r.allocate(bytes), bytes});
      std::memset(blocks.back().p, 0x40 + i, bytes);
    }
  }
  const std::size_t held = r.stats().held_bytes;
  BOOST_TEST(r.deinit() == gpa::check::leak);
  BOOST_TEST(r.stats().live_blocks == blocks.size());
  BOOST_TEST(r.stats().held_bytes != 0u);
  BOOST_TEST(r.stats().held_bytes <= held);
  for (std::size_t i = 0; i != blocks.size(); ++i)
    BOOST_TEST(holds(blocks[i].p, blocks[i].bytes, static_cast<unsigned char>(0x40 + i % 20)));

  for (std::size_t i = 0; i != blocks.size(); ++i) {
    BOOST_TEST(holds(blocks[i].p, blocks[i].bytes, static_cast<unsigned char>(0x40 + i % 20)));
    r.deallocate(blocks[i].p, blocks[i].bytes);
    BOOST_TEST((r.stats().held_bytes == 0) == (i + 1 == blocks.size()));
  }
  BOOST_TEST(r.stats().live_blocks == 0u);
  BOOST_TEST(r.stats().live_bytes == 0u);
  BOOST_TEST(w.count(gpa::mistake::use_after_deinit) == blocks.size());
}

BOOST_AUTO_TEST_CASE(deinit_without_a_live_block_holds_nothing)
{
  gpa::resource r(checked);
  for (const std::size_t bytes : sizes) r.deallocate(r.allocate(bytes), bytes);
  BOOST_TEST(r.stats().held_bytes != 0u);
  BOOST_TEST(r.deinit() == gpa::check::ok);
  BOOST_TEST(r.stats().held_bytes == 0u);
}

BOOST_AUTO_TEST_CASE(an_upstream_has_everything_back_at_deinit_and_the_report_says_what_that_means)
{
  const outcome o = outcome_of([] {
    gpa::test::recording_upstream upstream;
    {
      gpa::resource r(carrying_on, &upstream);
      std::vector<void*> blocks;
      for (const std::size_t bytes : sizes) blocks.push_back(r.allocate(bytes));
      if (upstream.live() == 0 || r.deinit() != gpa::check::leak) ::_exit(1);
      if (upstream.live() != 0 || upstream.wrong() != 0 || r.stats().held_bytes != 0) ::_exit(2);
      r.deallocate(blocks[2], sizes[2]);
      r.deallocate(blocks[3], sizes[3]);
    }
    if (upstream.live() != 0 || upstream.wrong() != 0) ::_exit(3);
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == 0);
    BOOST_TEST(o.says("note: the upstream took its memory back: later access to these blocks is undefined"));
    BOOST_TEST(!o.says("if these are still in use"));
    const std::vector<std::string> expected{"leak", "use-after-deinit", "use-after-deinit"};
    BOOST_TEST(o.reports() == expected, boost::test_tools::per_element());
    BOOST_TEST(o.says("a block of 24 bytes"));
    BOOST_TEST(
        o.says("no memory of this resource holds it: it was given back at deinit(), or was never this resource's\n"
               "    resource \"resource\": the free was ignored;"));
  }
}

BOOST_AUTO_TEST_CASE(a_late_free_is_carried_out_where_blocks_are_not_checked_too_and_the_report_says_so)
{
  for (const gpa::checks c : {gpa::checks::always(), gpa::checks::never(), gpa::checks::one_in(1'000'000)}) {
    const outcome o = outcome_of([c] {
      gpa::resource r({.checks = c, .after_mistake = gpa::after_mistake::carry_on});
      void* const p = r.allocate(24);
      if (r.deinit() != gpa::check::leak) ::_exit(3);
      r.deallocate(p, 24);
      if (r.stats().live_blocks != 0) ::_exit(4);
    });
    BOOST_TEST_CONTEXT(o)
    {
      BOOST_TEST(o.status == 0);
      BOOST_TEST(o.says("the block was given back, and no harm done; see README.md#use-after-deinit\n"));
    }
  }
}

BOOST_AUTO_TEST_CASE(an_ignored_block_is_no_leak_and_may_still_be_freed)
{
  for (const std::size_t bytes : sizes) {
    witness w;
    gpa::resource r(w.listening());
    void* const kept = r.allocate(bytes);
    void* const freed = r.allocate(bytes);
    r.ignore(kept);
    r.ignore(kept);
    r.ignore(freed);
    BOOST_TEST(r.detect_leaks() == 0u);
    r.deallocate(freed, bytes);
    BOOST_TEST(r.deinit() == gpa::check::ok);
    BOOST_TEST(w.count() == 0u);
  }
}

BOOST_AUTO_TEST_CASE(ignoring_what_is_no_live_block_is_an_invalid_pointer)
{
  witness w;
  gpa::resource r(w.listening());
  gpa::options named = w.listening();
  named.name = "other";
  gpa::resource other(named);
  int local = 0;
  void* const block = r.allocate(64);
  void* const freed = r.allocate(64);
  void* const others = other.allocate(64);
  r.deallocate(freed, 64);
  const void* const wrong[] = {nullptr, &local, static_cast<std::byte*>(block) + 8, freed, others};
  for (const void* const p : wrong) {
    r.ignore(p);
    const std::vector<gpa::report> reports = w.take();
    BOOST_TEST_REQUIRE(reports.size() == 1u);
    BOOST_TEST(reports[0].kind == gpa::mistake::invalid_pointer);
    BOOST_TEST(reports[0].address == p);
    BOOST_TEST(!reports[0].reason.empty());
    if (p == others) BOOST_TEST(reports[0].reason == "memory of resource \"other\"");
  }
  BOOST_TEST(r.detect_leaks() == 1u);
  r.deallocate(block, 64);
  other.deallocate(others, 64);
}

BOOST_AUTO_TEST_CASE(release_frees_everything_at_once_and_is_no_leak)
{
  witness w;
  gpa::test::recording_upstream upstream;
  for (std::pmr::memory_resource* const above : {static_cast<std::pmr::memory_resource*>(nullptr),
                                                 static_cast<std::pmr::memory_resource*>(&upstream)}) {
    gpa::resource r(w.listening(), above);
    for (int round = 0; round != 3; ++round) {
      for (const std::size_t bytes : sizes) std::memset(r.allocate(bytes), 1, bytes);
      r.release();
      BOOST_TEST(r.stats().live_blocks == 0u);
      BOOST_TEST(r.stats().live_bytes == 0u);
      BOOST_TEST(r.stats().held_bytes == 0u);
      BOOST_TEST(upstream.live() == 0u);
    }
    void* const p = r.allocate(24);
    r.deallocate(p, 24);
    BOOST_TEST(r.deinit() == gpa::check::ok);
  }
  BOOST_TEST(w.count() == 0u);
  BOOST_TEST(upstream.wrong() == 0u);
}

BOOST_AUTO_TEST_CASE(a_mistake_that_an_upstream_makes_when_it_gets_its_memory_back_is_a_misuse)
{
  struct meddling final : std::pmr::memory_resource {
    gpa::resource* above = nullptr;
    void* do_allocate(std::size_t bytes, std::size_t alignment) override
    {
      return std::pmr::new_delete_resource()->allocate(bytes, alignment);
    }
    void do_deallocate(void* p, std::size_t bytes, std::size_t alignment) override
    {
      above->deallocate(this, 24);  // which is no block of it
      std::pmr::new_delete_resource()->deallocate(p, bytes, alignment);
    }
    bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }
  };
  witness w;
  meddling upstream;
  gpa::resource r(w.listening(), &upstream);
  upstream.above = &r;
  r.deallocate(r.allocate(24), 24);
  BOOST_TEST(r.deinit() == gpa::check::misuse);
  BOOST_TEST(w.count() == 1u);
  BOOST_TEST(r.deinit() == gpa::check::misuse);
}
