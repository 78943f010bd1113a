// The history of call sites: options::profile.
#define BOOST_TEST_MODULE profile
#include <gpa/resource.hpp>
#include <gpa/snapshot.hpp>

#include "support/accomplices.hpp"
#include "support/outcome.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory_resource>
#include <string>
#include <thread>
#include <vector>

namespace {

using gpa::test::obtain;

gpa::options profiled()
{
  gpa::options o = {.name = "profiled", .checks = gpa::checks::always(), .environment = gpa::environment::ignored};
  o.profile = true;
  return o;
}

// All sites with blocks of this size class as one: a loop that the compiler unrolled has several.
gpa::site site_of(const gpa::resource& r, std::size_t size_class)
{
  gpa::site all;
  const gpa::snapshot s = r.take_snapshot();
  for (const gpa::site& one : s.sites()) {
    if (one.size_class != size_class) continue;
    all.live_bytes += one.live_bytes;
    all.live_blocks += one.live_blocks;
    all.peak_bytes = std::max(all.peak_bytes, one.peak_bytes);
    all.total_bytes += one.total_bytes;
    all.total_blocks += one.total_blocks;
    all.temporary += one.temporary;
    all.lifetime_sum += one.lifetime_sum;
  }
  return all;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_site_has_its_live_peak_and_total_numbers)
{
  gpa::options o = profiled();
  o.stack_frames = 1;  // the place in obtain() alone, however its callers were compiled
  gpa::resource r(o);
  std::vector<void*> blocks;
  for (int i = 0; i != 10; ++i) blocks.push_back(obtain(r, 100));
  for (int i = 0; i != 7; ++i) r.deallocate(blocks[static_cast<std::size_t>(i)], 100);
  for (int i = 0; i != 7; ++i) blocks.erase(blocks.begin());
  const gpa::site s = site_of(r, 112);
  BOOST_TEST(s.live_bytes == 300u);
  BOOST_TEST(s.live_blocks == 3u);
  BOOST_TEST(s.peak_bytes == 1000u);
  BOOST_TEST(s.total_bytes == 1000u);
  BOOST_TEST(s.total_blocks == 10u);
  BOOST_TEST(r.take_snapshot().profiled());
  for (void* const p : blocks) r.deallocate(p, 100);
  BOOST_TEST(site_of(r, 112).live_bytes == 0u);
  BOOST_TEST(site_of(r, 112).peak_bytes == 1000u);
  BOOST_TEST(r.take_snapshot().statistics(gpa::by::line).empty());  // rows are of what is live
}

BOOST_AUTO_TEST_CASE(a_block_freed_before_its_thread_allocates_another_is_temporary)
{
  gpa::resource r(profiled());
  for (int i = 0; i != 5; ++i) r.deallocate(r.allocate(100), 100);  // temporary, all five
  void* const kept = r.allocate(200);
  void* const other = r.allocate(300);
  r.deallocate(kept, 200);  // another came in between
  std::thread([&] { r.deallocate(other, 300); }).join();  // another thread
  BOOST_TEST(site_of(r, 112).temporary == 5u);
  BOOST_TEST(site_of(r, 208).temporary == 0u);
  BOOST_TEST(site_of(r, 304).temporary == 0u);
}

BOOST_AUTO_TEST_CASE(lifetimes_are_measured_in_microseconds)
{
  gpa::resource r(profiled());
  void* const a = r.allocate(100);
  const auto begin = std::chrono::steady_clock::now();
  void* const b = r.allocate(2000);
  const auto born = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - born < std::chrono::milliseconds(20)) {
  }
  r.deallocate(b, 2000);
  const std::chrono::duration<double, std::micro> lived = std::chrono::steady_clock::now() - begin;
  const gpa::site s = site_of(r, 2048);
  BOOST_TEST(s.lifetime_sum >= 19'990u);
  BOOST_TEST(s.average_lifetime() <= lived.count() + 10);
  BOOST_TEST(site_of(r, 112).lifetime_sum == 0u);  // lives yet
  BOOST_TEST(site_of(r, 112).average_lifetime() == 0.0);
  r.deallocate(a, 100);
}

BOOST_AUTO_TEST_CASE(large_blocks_have_a_history_too)
{
  gpa::resource r(profiled());
  for (int i = 0; i != 3; ++i) r.deallocate(r.allocate(5 << 20), 5 << 20);
  const gpa::site s = site_of(r, 5 << 20);
  BOOST_TEST(s.total_blocks == 3u);
  BOOST_TEST(s.peak_bytes == 5u << 20);
  BOOST_TEST(s.temporary == 3u);
  BOOST_TEST(s.live_blocks == 0u);
}

BOOST_AUTO_TEST_CASE(a_resized_block_stays_with_its_site)
{
  gpa::resource r(profiled());
  void* const p = r.allocate(200'000);
  BOOST_REQUIRE(r.try_resize(p, 200'000, 200'100));
  const gpa::site s = site_of(r, 212'992);
  BOOST_TEST(s.live_bytes == 200'100u);
  BOOST_TEST(s.peak_bytes == 200'100u);
  BOOST_TEST(s.total_blocks == 1u);
  r.deallocate(p, 200'100);
  BOOST_TEST(site_of(r, 212'992).live_bytes == 0u);
}

BOOST_AUTO_TEST_CASE(peaks_start_again_where_asked)
{
  gpa::resource r(profiled());
  void* const p = r.allocate(100);
  {
    const std::pmr::string more(5000, 'm', &r);
  }
  r.reset_peak();
  BOOST_TEST(site_of(r, 112).peak_bytes == 100u);
  BOOST_TEST(site_of(r, 5120).peak_bytes == 0u);
  BOOST_TEST(site_of(r, 5120).total_bytes == 5001u);
  r.deallocate(p, 100);
}

BOOST_AUTO_TEST_CASE(after_release_nothing_is_live)
{
  gpa::resource r(profiled());
  static_cast<void>(r.allocate(100));
  static_cast<void>(r.allocate(200'000));
  r.release();
  BOOST_TEST(r.take_snapshot().live_blocks() == 0u);
  BOOST_TEST(site_of(r, 112).total_blocks == 1u);
  void* const p = obtain(r, 100);
  BOOST_TEST(r.take_snapshot().live_bytes() == 100u);
  r.deallocate(p, 100);
}

BOOST_AUTO_TEST_CASE(wrong_frees_change_no_history)
{
  gpa::options o = profiled();
  o.after_mistake = gpa::after_mistake::carry_on;
  o.on_report = [](const gpa::report&) {};
  gpa::resource r(o);
  void* const p = r.allocate(100);
  r.deallocate(p, 90);
  r.deallocate(static_cast<std::byte*>(p) + 16, 100);
  BOOST_TEST(site_of(r, 112).live_blocks == 1u);
  r.deallocate(p, 100);
  r.deallocate(p, 100);
  const gpa::site s = site_of(r, 112);
  BOOST_TEST(s.live_blocks == 0u);
  BOOST_TEST(s.live_bytes == 0u);
  BOOST_TEST(s.total_blocks == 1u);
  BOOST_CHECK(r.deinit() == gpa::check::misuse);
}

BOOST_AUTO_TEST_CASE(the_sum_of_all_sites_is_what_the_resource_counted)
{
  gpa::resource r(profiled());
  const auto churn = [&r] {
    std::pmr::vector<std::pmr::string> words(&r);
    for (int i = 0; i != 5000; ++i) {
      words.emplace_back(static_cast<std::size_t>(i % 97 + 16), 'w');
      if (words.size() == 500) words.clear();
    }
  };
  std::pmr::vector<int> kept(1000, 1, &r);
  std::thread one(churn);
  std::thread two(churn);
  one.join();
  two.join();
  const gpa::snapshot s = r.take_snapshot();
  std::size_t bytes = 0;
  std::size_t blocks = 0;
  for (const gpa::site& one_site : s.sites()) {
    bytes += one_site.total_bytes;
    blocks += one_site.total_blocks;
    BOOST_TEST(one_site.peak_bytes >= one_site.live_bytes);
    BOOST_TEST(one_site.temporary <= one_site.total_blocks);
  }
  const gpa::statistics now = r.stats();
  BOOST_TEST(bytes == now.total_bytes);
  BOOST_TEST(blocks == now.total_blocks);
  BOOST_TEST(s.live_bytes() == now.live_bytes);
}

BOOST_AUTO_TEST_CASE(of_a_sampled_resource_the_history_is_an_estimate)
{
  gpa::options o = profiled();
  o.checks = gpa::checks::one_in(10);
  gpa::resource r(o);
  for (int i = 0; i != 20'000; ++i) r.deallocate(r.allocate(100), 100);
  const gpa::site s = site_of(r, 112);
  BOOST_TEST(s.total_blocks % 10 == 0u);
  BOOST_TEST(s.total_blocks > 18'000u);
  BOOST_TEST(s.total_blocks < 22'000u);
  BOOST_TEST(s.temporary == s.total_blocks);
  BOOST_TEST(r.take_snapshot().estimated());
}

BOOST_AUTO_TEST_CASE(without_checks_there_is_no_history)
{
  gpa::options o = profiled();
  o.checks = gpa::checks::never();
  gpa::resource r(o);
  r.deallocate(r.allocate(100), 100);
  BOOST_TEST(!r.take_snapshot().profiled());
  BOOST_TEST(r.take_snapshot().sites().empty());
}

// Whatever lock a thread of the parent held, the child does not wait for it. The threads pause between their rounds: else
// they fill the quarantine with many thousands of large blocks, and each child spends its time on giving them back.
BOOST_AUTO_TEST_CASE(a_child_of_a_fork_goes_on_with_the_history)
{
  gpa::resource r(profiled());
  void* const kept = obtain(r, 700);
  std::atomic<bool> stop{false};
  const auto until_stopped = [&stop](auto work) {
    return std::thread([&stop, work] {
      for (; !stop; std::this_thread::sleep_for(std::chrono::milliseconds(1))) work();
    });
  };
  const auto churn = [&r] {
    const gpa::tag_scope tag("churn");
    for (std::size_t bytes = 1; bytes < 400'000; bytes *= 3) r.deallocate(obtain(r, bytes), bytes);
  };
  std::thread allocating = until_stopped(churn);
  std::thread looking = until_stopped([&r] { static_cast<void>(r.take_snapshot()); });
  std::thread writing = until_stopped([&r] { r.write_report("/dev/null"); });
  for (int i = 0; i != 20; ++i) {
    const gpa::test::outcome o = gpa::test::outcome_of([&] {
      churn();
      if (site_of(r, 704).live_bytes != 700 || site_of(r, 704).total_blocks != 1) ::_exit(3);
      r.write_report("/dev/null");
      r.deallocate(kept, 700);
      if (site_of(r, 704).live_bytes != 0) ::_exit(4);
      static_cast<void>(r.deinit());
    });
    BOOST_TEST_CONTEXT("fork " << i << ": " << o) { BOOST_TEST(o.status == 0); }
  }
  stop = true;
  allocating.join();
  looking.join();
  writing.join();
  r.deallocate(kept, 700);
  BOOST_CHECK(r.deinit() == gpa::check::ok);
}
