// What is known of a block that checks::one_in(n) picked: all that checked mode knows of one. Which blocks are picked:
// sampling_test.cpp.
#define BOOST_TEST_MODULE sampled_blocks
#include <gpa/resource.hpp>

#include "support/accomplices.hpp"
#include "support/death.hpp"
#include "support/suspects.hpp"
#include "support/upstreams.hpp"
#include "support/witness.hpp"

#include <boost/test/unit_test.hpp>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

using namespace gpa::test;
using gpa::checks;
using gpa::mistake;

constexpr std::size_t sizes[] = {0, 1, 24, 60, 512, 1'000, 5'000, 32'768, 200'000};

// A block that was picked (the first one, with checks::always()), with the others before it freed: a report of leaks
// has the stack of no other.
void* picked_block(gpa::resource& r, witness& w, std::size_t bytes, std::size_t alignment = usual_alignment)
{
  for (int i = 0; i != 10'000; ++i) {
    void* const p = obtain(r, bytes, alignment);
    r.detect_leaks();
    for (const gpa::report& told : w.take())
      if (told.address == p && !told.allocated.empty()) return p;
    discard(r, p, bytes, alignment);
  }
  throw std::runtime_error("no block was picked, or none has its stack");
}

// A block, and a mistake that is made with it or, in the clean twin, not made.
struct scene {
  gpa::resource& r;
  gpa::resource& other;
  void* p;
  std::size_t bytes;
  std::size_t by;  // how far wrong
  bool wrong;

  [[nodiscard]] std::size_t off() const { return wrong ? by : 0; }
  void free_if_refused() const
  {
    if (wrong) discard(r, p, bytes);
  }
};
using action = void (*)(const scene&);

void size_mismatch(const scene& s)
{
  blunder(s.r, s.p, s.bytes + s.off());
  s.free_if_refused();
}

void alignment_mismatch(const scene& s)
{
  blunder(s.r, s.p, s.bytes, s.wrong ? s.by : usual_alignment);
  s.free_if_refused();
}

void invalid_pointer(const scene& s)
{
  blunder(s.r, moved(s.p, s.off()), s.bytes);
  s.free_if_refused();
}

void wrong_resource(const scene& s)
{
  blunder(s.wrong ? s.other : s.r, s.p, s.bytes);
  s.free_if_refused();
}

void double_free(const scene& s)
{
  discard(s.r, s.p, s.bytes);
  if (s.wrong) blunder(s.r, s.p, s.bytes);
}

void pointer_into_a_freed_block(const scene& s)
{
  discard(s.r, s.p, s.bytes);
  if (s.wrong) blunder(s.r, moved(s.p, s.by), s.bytes);
}

void write_after_free(const scene& s)
{
  discard(s.r, s.p, s.bytes);
  if (s.wrong) stray_write(s.p, static_cast<std::ptrdiff_t>(s.by));
  BOOST_TEST(inspect(s.r) == (s.wrong ? 1u : 0u));
}

void overflow_seen_by_the_free(const scene& s)
{
  if (s.wrong) stray_write(s.p, static_cast<std::ptrdiff_t>(s.bytes + s.by));
  discard(s.r, s.p, s.bytes);
}

void overflow_seen_by_verify(const scene& s)
{
  if (s.wrong) stray_write(s.p, static_cast<std::ptrdiff_t>(s.bytes + s.by));
  BOOST_TEST(inspect(s.r) == (s.wrong ? 1u : 0u));
  discard(s.r, s.p, s.bytes);
}

struct told {
  std::vector<gpa::report> reports;
  void* block;
};

told tell(checks kind, checks of_other, action act, std::size_t bytes, std::size_t by, bool wrong, bool elsewhere)
{
  witness w;
  gpa::resource r(w.listening({.name = "r", .checks = kind}));
  gpa::resource other(w.listening({.name = "other", .checks = of_other}));
  told result{{}, picked_block(r, w, bytes)};
  const scene s{r, other, result.block, bytes, by, wrong};
  if (elsewhere) {
    std::thread([&] { act(s); }).join();
  } else {
    act(s);
  }
  result.reports = w.take();
  BOOST_TEST(r.stats().live_blocks == 0u);
  BOOST_TEST(r.verify() == 0u);
  BOOST_TEST((r.deinit() == (r.stats().mistakes == 0 ? gpa::check::ok : gpa::check::misuse)));
  BOOST_TEST((other.deinit() == (other.stats().mistakes == 0 ? gpa::check::ok : gpa::check::misuse)));
  BOOST_TEST(r.stats().mistakes + other.stats().mistakes == result.reports.size());
  BOOST_TEST(w.count() == 0u);
  return result;
}

void is_alike(const told& picked, const told& checked, mistake kind)
{
  BOOST_TEST_REQUIRE(checked.reports.size() == 1u);
  BOOST_TEST_REQUIRE(picked.reports.size() == 1u);
  const gpa::report& a = checked.reports.front();
  const gpa::report& b = picked.reports.front();
  BOOST_TEST(b.kind == kind);
  BOOST_TEST(b.resource == a.resource);
  BOOST_TEST(b.owner == a.owner);
  BOOST_TEST(b.reason == a.reason);
  BOOST_TEST(moved(b.address, 0 - reinterpret_cast<std::uintptr_t>(picked.block)) ==
             moved(a.address, 0 - reinterpret_cast<std::uintptr_t>(checked.block)));
  BOOST_TEST(b.bytes == a.bytes);
  BOOST_TEST(b.alignment == a.alignment);
  BOOST_TEST(b.given_bytes == a.given_bytes);
  BOOST_TEST(b.given_alignment == a.given_alignment);
  BOOST_TEST(b.blocks == a.blocks);
  BOOST_TEST(b.total_bytes == a.total_bytes);
  BOOST_TEST(b.offset == a.offset);
  BOOST_TEST(b.damaged == a.damaged);
  BOOST_TEST(b.damaged_to_the_end == a.damaged_to_the_end);
  BOOST_TEST(changes(b) == changes(a));
  BOOST_TEST(!b.allocated.empty());
  BOOST_TEST(!b.here.empty());
  BOOST_TEST(b.allocated.id() == a.allocated.id());  // equal ids are equal stacks
  BOOST_TEST(b.freed.id() == a.freed.id());
  BOOST_TEST(b.here.id() == a.here.id());
}

// A mistake made with a picked block is told as it is of a block in checked mode, in every field; its twin, not at all.
void is_told_as_in_checked_mode(mistake kind, action act, std::size_t bytes, std::size_t by,
                                checks of_other = checks::one_in(5))
{
  const checks kinds[] = {checks::always(), checks::one_in(5)};
  for (const bool elsewhere : {false, true}) {
    BOOST_TEST_CONTEXT(bytes << " bytes, " << by << (elsewhere ? ", on another thread" : ""))
    {
      std::vector<told> all;
      std::vector<told> clean;
      for (std::size_t i = 0; i != unknown(std::size(kinds)); ++i) {  // not unrolled: its stacks are the same
        all.push_back(tell(kinds[i], of_other, act, bytes, by, true, elsewhere));
        clean.push_back(tell(kinds[i], of_other, act, bytes, by, false, elsewhere));
        BOOST_TEST(clean.back().reports.empty());
      }
      is_alike(all[1], all[0], kind);
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_size_mismatch_of_a_picked_block_is_told_as_in_checked_mode)
{
  for (const std::size_t bytes : sizes) {
    std::set<std::size_t> wrong = {1, 16, 65'536, std::size_t{1} << 61, 0 - bytes, 0 - bytes / 2};
    wrong.erase(0);
    for (const std::size_t by : wrong) is_told_as_in_checked_mode(mistake::size_mismatch, size_mismatch, bytes, by);
  }
}

BOOST_AUTO_TEST_CASE(an_alignment_mismatch_of_a_picked_block_is_told_as_in_checked_mode)
{
  for (const std::size_t bytes : sizes)
    for (const std::size_t given : {0u, 3u, 8u, 32u, 65'536u})
      is_told_as_in_checked_mode(mistake::alignment_mismatch, alignment_mismatch, bytes, given);
}

BOOST_AUTO_TEST_CASE(a_pointer_into_or_behind_a_picked_block_is_told_as_in_checked_mode)
{
  for (const std::size_t bytes : sizes) {
    std::set<std::size_t> wrong = {bytes / 2, bytes, bytes + 2};
    if (bytes != 0) wrong.insert({1, bytes - 1});
    wrong.erase(0);
    for (const std::size_t by : wrong) {
      is_told_as_in_checked_mode(mistake::invalid_pointer, invalid_pointer, bytes, by);
      is_told_as_in_checked_mode(mistake::invalid_pointer, pointer_into_a_freed_block, bytes, by);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_picked_block_freed_into_another_resource_is_told_as_in_checked_mode)
{
  for (const std::size_t bytes : sizes)
    for (const checks of_other : {checks::one_in(5), checks::always()})
      is_told_as_in_checked_mode(mistake::wrong_resource, wrong_resource, bytes, 0, of_other);
}

BOOST_AUTO_TEST_CASE(a_double_free_of_a_picked_block_is_told_as_in_checked_mode)
{
  for (const std::size_t bytes : sizes) is_told_as_in_checked_mode(mistake::double_free, double_free, bytes, 0);
}

BOOST_AUTO_TEST_CASE(a_write_after_free_of_a_picked_block_is_told_as_in_checked_mode)
{
  for (const std::size_t bytes : sizes) {
    if (bytes == 0 || bytes > 32'768) continue;  // larger ones fault: below
    for (const std::size_t at : std::set<std::size_t>{0, bytes / 2, bytes - 1})
      is_told_as_in_checked_mode(mistake::write_after_free, write_after_free, bytes, at);
  }
}

BOOST_AUTO_TEST_CASE(a_write_after_free_of_a_large_picked_block_faults)
{
  for (const bool wrong : {true, false}) {
    const ending e = in_child([&] {
      witness w;
      gpa::resource r(w.listening({.checks = checks::one_in(5)}));
      void* const p = picked_block(r, w, 200'000);
      stray_write(p, 100'000);
      discard(r, p, 200'000);
      if (wrong) stray_write(p, 100'000);
    });
    BOOST_TEST((wrong ? e.signal == SIGSEGV : e.is_clean()), e);
  }
}

BOOST_AUTO_TEST_CASE(an_overflow_of_a_picked_block_is_told_as_in_checked_mode)
{
  for (const std::size_t bytes : sizes) {
    for (const std::size_t behind : {0u, 2u}) {
      is_told_as_in_checked_mode(mistake::overflow, overflow_seen_by_the_free, bytes, behind);
      is_told_as_in_checked_mode(mistake::overflow, overflow_seen_by_verify, bytes, behind);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_picked_block_has_every_check_over_a_user_s_upstream_too)
{
  for (const std::size_t bytes : {24U, 5'000U, 200'000U}) {
    BOOST_TEST_CONTEXT(bytes << " bytes")
    {
      recording_upstream upstream;
      witness w;
      {
        gpa::resource r(w.listening({.checks = checks::one_in(20)}), &upstream);
        const auto told = [&w](mistake kind) {
          const std::vector<gpa::report> all = w.take();
          return all.size() == 1 && all.front().kind == kind && !all.front().here.empty() &&
                 !all.front().allocated.empty();
        };
        void* p = picked_block(r, w, bytes, 8);
        r.deallocate(p, bytes + 65'536, 8);
        BOOST_TEST(told(mistake::size_mismatch));
        r.deallocate(p, bytes, 16);
        BOOST_TEST(told(mistake::alignment_mismatch));
        r.deallocate(p, bytes, 8);
        BOOST_TEST(w.count() == 0u);
        r.deallocate(p, bytes, 8);
        BOOST_TEST(told(mistake::double_free));

        p = picked_block(r, w, bytes, 8);
        stray_write(p, static_cast<std::ptrdiff_t>(bytes));
        r.deallocate(p, bytes, 8);
        BOOST_TEST(told(mistake::overflow));

        p = picked_block(r, w, bytes, 8);
        std::thread([&] { r.deallocate(p, bytes, 8); }).join();
        std::thread([&] { r.deallocate(p, bytes, 8); }).join();
        BOOST_TEST(told(mistake::double_free));

        static_cast<void>(picked_block(r, w, bytes, 8));
        BOOST_TEST((r.deinit() == gpa::check::leak));
        const std::vector<gpa::report> leaks = w.take();
        BOOST_TEST_REQUIRE(leaks.size() == 1u);
        BOOST_TEST(leaks.front().blocks == 1u);
        BOOST_TEST(!leaks.front().allocated.empty());
      }
      BOOST_TEST(upstream.live() == 0u);
      BOOST_TEST(upstream.wrong() == 0u);
    }
  }
}
