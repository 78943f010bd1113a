// Freed with other numbers than allocated: exact over every size class, also where an encoding might wrap.
#define BOOST_TEST_MODULE mismatch
#include <gpa/resource.hpp>

#include "support/accomplices.hpp"
#include "support/suspects.hpp"
#include "support/witness.hpp"

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <limits>
#include <set>
#include <thread>
#include <vector>

namespace {

using namespace gpa::test;
using gpa::mistake;

constexpr std::size_t one = 1;
constexpr std::size_t most = std::numeric_limits<std::size_t>::max();

// Sizes around the end of every slot size: every 16 bytes to 1 KiB, then eight a doubling to 32 KiB; and large ones.
std::set<std::size_t> class_edges()
{
  std::set<std::size_t> edges = {0, 65'535, 65'536, 65'537, 200'000, 1 << 20, (1 << 20) + 1};
  const auto add = [&edges](std::size_t slot) {
    for (const std::size_t n : {slot - 2, slot - 1, slot, slot + 1}) edges.insert(n);
  };
  for (std::size_t slot = 16; slot <= 1024; slot += 16) add(slot);
  for (std::size_t power = 1024; power != 32'768; power *= 2)
    for (std::size_t step = 1; step != 9; ++step) add(power + power / 8 * step);
  return edges;
}

gpa::options without_stacks(gpa::options o)
{
  o.stack_frames = 0;
  return o;
}

struct given {
  std::size_t bytes;
  std::size_t alignment;
};

// How often a wrong free of a block of `bytes` and `alignment` is told otherwise than once and exactly; then frees it.
std::size_t wrongly_told(gpa::resource& r, witness& w, mistake kind, std::size_t bytes, std::size_t alignment,
                         const std::vector<given>& tries)
{
  std::size_t wrong = 0;
  void* const p = obtain(r, bytes, alignment);
  for (const given& g : tries) {
    blunder(r, p, g.bytes, g.alignment);
    const auto told = w.take();
    const bool exact = told.size() == 1 && told[0].kind == kind && told[0].address == p && told[0].bytes == bytes &&
                       told[0].alignment == alignment && told[0].given_bytes == g.bytes &&
                       told[0].given_alignment == g.alignment && told[0].total_bytes == bytes &&
                       told[0].resource == r.options().name && told[0].owner.empty() && told[0].freed.empty();
    if (!exact) {
      ++wrong;
      BOOST_TEST_MESSAGE(bytes << " aligned to " << alignment << " freed as " << g.bytes << " aligned to "
                               << g.alignment << ": " << told.size() << " reports");
    }
  }
  discard(r, p, bytes, alignment);
  wrong += w.take().size();
  return wrong;
}

void ends_sound(gpa::resource& r, witness& w)
{
  BOOST_TEST(is_sound(r));
  BOOST_TEST(r.stats().live_blocks == 0u);
  BOOST_TEST(r.stats().live_bytes == 0u);
  BOOST_TEST(r.deinit() == gpa::check::misuse);
  BOOST_TEST(w.count() == 0u);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_size_mismatch_is_exact_at_the_edges_of_every_class)
{
  const std::set<std::size_t> edges = class_edges();
  for (const gpa::options& o : checked_modes()) {
    witness w;
    gpa::resource r(w.listening(without_stacks(o)));
    std::size_t wrong = 0;
    for (const std::size_t n : edges) {
      std::vector<given> tries;
      for (const std::size_t m : {n - 1, n + 1, n / 2, n + 16, std::size_t{0}, most, n + (one << 13), n + (one << 16),
                                  n + (one << 17), n + (one << 32), n + (one << 48), n + (one << 61)})
        if (m != n) tries.push_back({m, usual_alignment});
      wrong += wrongly_told(r, w, mistake::size_mismatch, n, usual_alignment, tries);
    }
    BOOST_TEST(wrong == 0u);
    ends_sound(r, w);
  }
}

BOOST_AUTO_TEST_CASE(an_alignment_mismatch_is_exact_for_every_alignment)
{
  std::vector<std::size_t> alignments = {0, 3, 24, 48, (one << 13) + 8, (one << 13) + 16, 65'537, most};
  for (unsigned shift = 0; shift != 64; ++shift) alignments.push_back(one << shift);
  for (const gpa::options& o : checked_modes()) {
    witness w;
    gpa::resource r(w.listening(without_stacks(o)));
    std::size_t wrong = 0;
    for (std::size_t alignment = 1; alignment <= 65'536; alignment *= 2) {
      for (const std::size_t bytes : {1u, 24u, 64u, 1000u, 8192u, 32'768u, 100'000u}) {
        std::vector<given> tries;
        for (const std::size_t a : alignments)
          if (a != alignment) tries.push_back({bytes, a});
        wrong += wrongly_told(r, w, mistake::alignment_mismatch, bytes, alignment, tries);
      }
    }
    BOOST_TEST(wrong == 0u);
    ends_sound(r, w);
  }
}

BOOST_AUTO_TEST_CASE(when_both_differ_the_size_is_named)
{
  witness w;
  gpa::resource r(w.listening());
  for (const std::size_t bytes : {24u, 5000u, 300'000u})
    BOOST_TEST(wrongly_told(r, w, mistake::size_mismatch, bytes, 8, {{bytes + 1, 16}, {0, 0}, {most, most}}) == 0u);
  ends_sound(r, w);
}

BOOST_AUTO_TEST_CASE(a_mismatch_is_told_with_the_stacks_of_allocation_and_free)
{
  for (const gpa::options& o : checked_modes()) {
    for (const std::size_t bytes : {24u, 32'768u, 300'000u}) {
      for (const mistake kind : {mistake::size_mismatch, mistake::alignment_mismatch}) {
        witness w;
        gpa::resource r(w.listening(o));
        void* const p = obtain(r, bytes, 8);
        blunder(r, p, kind == mistake::size_mismatch ? bytes + 1 : bytes, kind == mistake::size_mismatch ? 8 : 4);
        const auto told = w.take();
        BOOST_TEST_REQUIRE(told.size() == 1u);
        BOOST_TEST(told[0].kind == kind);
        BOOST_TEST(shows(told[0].allocated, "obtain"));
        BOOST_TEST(told[0].freed.empty());
        BOOST_TEST(shows(told[0].here, "blunder"));
        BOOST_TEST(r.stats().live_blocks == 1u);
        discard(r, p, bytes, 8);
        ends_sound(r, w);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_mismatch_whose_block_is_never_freed_rightly_is_a_leak_too)
{
  witness w;
  gpa::resource r(w.listening());
  void* const p = obtain(r, 24);
  blunder(r, p, 25);
  BOOST_TEST(w.take().size() == 1u);
  BOOST_TEST(r.deinit() == gpa::check::leak);
  const auto told = w.take();
  BOOST_TEST_REQUIRE(told.size() == 1u);
  BOOST_TEST(told[0].kind == mistake::leak);
  BOOST_TEST(told[0].bytes == 24u);
}

BOOST_AUTO_TEST_CASE(the_right_numbers_are_no_mistake_on_any_thread)
{
  witness w;
  gpa::resource r(w.listening());
  for (const std::size_t n : class_edges()) {
    for (const std::size_t alignment : {1u, 8u, 16u, 64u, 4096u}) {
      void* const p = obtain(r, n, alignment);
      std::thread([&] { discard(r, p, n, alignment); }).join();
    }
  }
  BOOST_TEST(r.deinit() == gpa::check::ok);
  BOOST_TEST(w.count() == 0u);
}

BOOST_AUTO_TEST_CASE(an_empty_block_is_distinct_aligned_and_freed_with_0_bytes_only)
{
  for (const gpa::options& o : checked_modes()) {
    witness w;
    gpa::resource r(w.listening(without_stacks(o)));
    std::set<void*> seen;
    std::vector<void*> blocks;
    for (std::size_t alignment = 1; alignment <= 65'536; alignment *= 2) {
      for (int i = 0; i != 100; ++i) {
        void* const p = obtain(r, 0, alignment);
        BOOST_TEST_REQUIRE(p != nullptr);
        BOOST_TEST_REQUIRE(reinterpret_cast<std::uintptr_t>(p) % alignment == 0u);
        BOOST_TEST_REQUIRE(seen.insert(p).second);
        blunder(r, p, 1, alignment);
        const auto told = w.take();
        BOOST_TEST_REQUIRE(told.size() == 1u);
        BOOST_TEST_REQUIRE((told[0].kind == mistake::size_mismatch && told[0].bytes == 0 && told[0].given_bytes == 1));
        blocks.push_back(p);
      }
    }
    BOOST_TEST(r.stats().live_blocks == blocks.size());
    BOOST_TEST(r.stats().live_bytes == 0u);
    for (std::size_t i = 0; i != blocks.size(); ++i) discard(r, blocks[i], 0, one << (i / 100));
    BOOST_TEST(w.count() == 0u);
    ends_sound(r, w);
  }
}
