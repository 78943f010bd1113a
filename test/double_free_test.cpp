// Double frees of every size, soon and late, and what a heap is like afterwards.
#define BOOST_TEST_MODULE double_free
#include <gpa/resource.hpp>

#include "support/accomplices.hpp"
#include "support/suspects.hpp"
#include "support/witness.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <set>
#include <thread>
#include <vector>

namespace {

using namespace gpa::test;
using gpa::mistake;

// Small, around class edges, the largest in a slab, large, huge.
constexpr std::array<std::size_t, 16> sizes = {0,    1,    15,   16,     24,     61,     1000,    1023,
                                               1024, 2047, 4096, 32'767, 32'768, 32'769, 200'000, 5 << 20};

void is_double_free(const gpa::report& told, const gpa::options& o, const void* p, std::size_t bytes)
{
  BOOST_TEST(told.kind == mistake::double_free);
  BOOST_TEST(told.resource == o.name);
  BOOST_TEST(told.owner == "");
  BOOST_TEST(told.address == p);
  BOOST_TEST(told.bytes == bytes);
  BOOST_TEST(told.alignment == usual_alignment);
  BOOST_TEST(told.given_bytes == bytes);
  BOOST_TEST(told.given_alignment == usual_alignment);
  BOOST_TEST(told.blocks == 1u);
  BOOST_TEST(told.total_bytes == bytes);
}

// Exactly one report, for this block.
void is_told_once(witness& w, const gpa::options& o, const void* p, std::size_t bytes)
{
  const auto told = w.take();
  BOOST_TEST_REQUIRE(told.size() == 1u);
  is_double_free(told.front(), o, p, bytes);
}

// Every size in every checked mode.
template <class Test>
void everywhere(Test test)
{
  for (const gpa::options& o : checked_modes()) {
    for (const std::size_t bytes : sizes) {
      BOOST_TEST_CONTEXT(o.name << ", " << bytes << " bytes")
      {
        test(o, bytes);
      }
    }
  }
}

void ends_sound(gpa::resource& r, witness& w, gpa::check verdict = gpa::check::misuse)
{
  BOOST_TEST(is_sound(r));
  BOOST_TEST(r.stats().live_blocks == 0u);
  BOOST_TEST(r.deinit() == verdict);
  BOOST_TEST(w.count() == 0u);
}

}  // namespace

BOOST_AUTO_TEST_CASE(freeing_once_is_no_mistake)
{
  everywhere([](const gpa::options& o, std::size_t bytes) {
    witness w;
    gpa::resource r(w.listening(o));
    for (int i = 0; i != 3; ++i) discard(r, obtain(r, bytes), bytes);
    ends_sound(r, w, gpa::check::ok);
  });
}

BOOST_AUTO_TEST_CASE(an_immediate_double_free_is_told_once_with_three_stacks)
{
  everywhere([](const gpa::options& o, std::size_t bytes) {
    witness w;
    gpa::resource r(w.listening(o));
    void* const p = obtain(r, bytes);
    discard(r, p, bytes);
    blunder(r, p, bytes);
    const auto told = w.take();
    BOOST_TEST_REQUIRE(told.size() == 1u);
    is_double_free(told[0], o, p, bytes);
    BOOST_TEST(shows(told[0].allocated, "obtain"));
    BOOST_TEST(shows(told[0].freed, "discard"));
    BOOST_TEST(shows(told[0].here, "blunder"));
    BOOST_TEST(told[0].allocated.thread() == told[0].here.thread());
    BOOST_TEST(r.stats().mistakes == 1u);
    ends_sound(r, w);
  });
}

BOOST_AUTO_TEST_CASE(a_third_free_is_told_as_well)
{
  everywhere([](const gpa::options& o, std::size_t bytes) {
    witness w;
    gpa::resource r(w.listening(o));
    void* const p = obtain(r, bytes);
    discard(r, p, bytes);
    for (int i = 0; i != 3; ++i) {
      blunder(r, p, bytes);
      is_told_once(w, o, p, bytes);
    }
    ends_sound(r, w);
  });
}

BOOST_AUTO_TEST_CASE(a_second_free_with_other_numbers_is_still_a_double_free)
{
  everywhere([](const gpa::options& o, std::size_t bytes) {
    witness w;
    gpa::resource r(w.listening(o));
    void* const p = obtain(r, bytes);
    discard(r, p, bytes);
    blunder(r, p, bytes + 8, 64);
    const auto told = w.take();
    BOOST_TEST_REQUIRE(told.size() == 1u);
    BOOST_TEST(told[0].kind == mistake::double_free);
    BOOST_TEST(told[0].bytes == bytes);
    BOOST_TEST(told[0].alignment == usual_alignment);
    BOOST_TEST(told[0].given_bytes == bytes + 8);
    BOOST_TEST(told[0].given_alignment == 64u);
    ends_sound(r, w);
  });
}

BOOST_AUTO_TEST_CASE(a_double_free_between_frees_of_another_block_is_told)
{
  everywhere([](const gpa::options& o, std::size_t bytes) {
    witness w;
    gpa::resource r(w.listening(o));
    void* const p = obtain(r, bytes);
    void* const q = obtain(r, bytes);
    discard(r, p, bytes);
    discard(r, q, bytes);
    BOOST_TEST(w.count() == 0u);
    blunder(r, p, bytes);
    is_told_once(w, o, p, bytes);
    blunder(r, q, bytes);
    is_told_once(w, o, q, bytes);
    ends_sound(r, w);
  });
}

BOOST_AUTO_TEST_CASE(a_double_free_on_another_thread_is_told_with_both_threads)
{
  for (const std::size_t bytes : sizes) {
    witness w;
    gpa::resource r(w.listening());
    void* const p = obtain(r, bytes);
    discard(r, p, bytes);
    std::thread([&] { blunder(r, p, bytes); }).join();
    const auto told = w.take();
    BOOST_TEST_REQUIRE(told.size() == 1u);
    is_double_free(told[0], r.options(), p, bytes);
    BOOST_TEST(told[0].freed.thread() == told[0].allocated.thread());
    BOOST_TEST(told[0].here.thread() != told[0].freed.thread());
    BOOST_TEST(shows(told[0].here, "blunder"));
    ends_sound(r, w);
  }
}

// Whether that was the thread which made the blocks or another one; of several blocks, as the first may take another way.
BOOST_AUTO_TEST_CASE(the_thread_of_the_first_free_is_told_whichever_it_was)
{
  for (const gpa::options& o : checked_modes()) {
    for (const std::size_t bytes : sizes) {
      for (const bool by_another : {true, false}) {
        BOOST_TEST_CONTEXT(o.name << ", " << bytes << " bytes" << (by_another ? ", freed by another thread" : ""))
        {
          if (!o.thread_safe) continue;
          witness w;
          gpa::resource r(w.listening(o));
          std::array<void*, 3> all;
          for (void*& p : all) p = obtain(r, bytes);
          const auto free_all = [&] {
            for (void* const p : all) discard(r, p, bytes);
          };
          by_another ? std::thread(free_all).join() : free_all();
          for (void* const p : all) {
            blunder(r, p, bytes);
            const auto told = w.take();
            BOOST_TEST_REQUIRE(told.size() == 1u);
            is_double_free(told[0], r.options(), p, bytes);
            BOOST_TEST(told[0].allocated.thread() == told[0].here.thread());
            BOOST_TEST((told[0].freed.thread() == told[0].here.thread()) != by_another);
            BOOST_TEST(told[0].freed.thread() != 0u);
          }
          ends_sound(r, w);
        }
      }
    }
  }
}

// Several slabs or large blocks full, emptied whole.
BOOST_AUTO_TEST_CASE(a_double_free_after_its_slab_was_emptied_or_trimmed_is_told)
{
  everywhere([](const gpa::options& o, std::size_t bytes) {
    for (const bool trimmed : {false, true}) {
      witness w;
      gpa::resource r(w.listening(o));
      const std::size_t count = std::clamp<std::size_t>((std::size_t{1} << 20) / (bytes + 16), 3, 10'000);
      std::vector<void*> blocks(count);
      for (void*& p : blocks) p = obtain(r, bytes);
      for (void* const p : blocks) discard(r, p, bytes);
      if (trimmed) r.trim();
      for (const std::size_t i : {std::size_t{0}, count / 2, count - 1}) {
        blunder(r, blocks[i], bytes);
        is_told_once(w, o, blocks[i], bytes);
      }
      ends_sound(r, w);
    }
  });
}

// The bound follows from the options: a free moves the quarantine's clock by the size of the slot.
BOOST_AUTO_TEST_CASE(a_block_in_quarantine_is_not_reused_and_its_double_free_is_told)
{
  constexpr std::size_t slot = 32;
  constexpr std::size_t quarantine = std::size_t{64} << 10;
  for (gpa::options o : checked_modes()) {
    o.quarantine_bytes = quarantine;
    witness w;
    gpa::resource r(w.listening(o));
    void* const p = obtain(r, 24);
    discard(r, p, 24);
    std::size_t reused = 0;
    for (std::size_t i = 0; i != quarantine / slot - 2; ++i) {
      void* const q = obtain(r, 24);
      if (q == p) ++reused;
      discard(r, q, 24);
    }
    BOOST_TEST(reused == 0u);
    blunder(r, p, 24);
    is_told_once(w, o, p, 24);
    ends_sound(r, w);
  }
}

BOOST_AUTO_TEST_CASE(without_a_quarantine_a_block_is_reused)
{
  for (gpa::options o : checked_modes()) {
    o.quarantine_bytes = 0;
    witness w;
    gpa::resource r(w.listening(o));
    std::set<void*> seen;
    for (int i = 0; i != 1000; ++i) {
      void* const p = obtain(r, 24);
      seen.insert(p);
      discard(r, p, 24);
    }
    BOOST_TEST(seen.size() < 1000u);
    ends_sound(r, w, gpa::check::ok);
  }
}

BOOST_AUTO_TEST_CASE(with_unlimited_quarantine_no_address_is_used_twice_and_every_double_free_is_told)
{
  for (gpa::options o : checked_modes()) {
    o.quarantine_bytes = gpa::unlimited;
    witness w;
    gpa::resource r(w.listening(o));
    std::vector<void*> blocks;
    for (int i = 0; i != 20'000; ++i) {
      blocks.push_back(obtain(r, 24));
      discard(r, blocks.back(), 24);
    }
    for (const std::size_t i : {0u, 1u, 9'999u, 19'999u}) {
      blunder(r, blocks[i], 24);
      is_told_once(w, o, blocks[i], 24);
    }
    std::sort(blocks.begin(), blocks.end());
    BOOST_TEST((std::adjacent_find(blocks.begin(), blocks.end()) == blocks.end()));
    ends_sound(r, w);
  }
}

BOOST_AUTO_TEST_CASE(a_protected_large_block_freed_long_ago_is_still_a_double_free)
{
  for (gpa::options o : checked_modes()) {
    o.protect_large = gpa::protect_large::always;
    witness w;
    gpa::resource r(w.listening(o));
    constexpr std::size_t bytes = 5 << 20;
    void* const p = obtain(r, bytes);
    discard(r, p, bytes);
    for (int i = 0; i != 500; ++i) {
      void* const q = obtain(r, bytes);
      BOOST_TEST_REQUIRE(q != p);
      discard(r, q, bytes);
    }
    blunder(r, p, bytes);
    is_told_once(w, o, p, bytes);
    ends_sound(r, w);
  }
}

BOOST_AUTO_TEST_CASE(a_double_free_without_stacks_is_told_without_stacks)
{
  witness w;
  gpa::resource r(w.listening({.checks = gpa::checks::always(), .stack_frames = 0}));
  void* const p = obtain(r, 24);
  discard(r, p, 24);
  blunder(r, p, 24);
  const auto told = w.take();
  BOOST_TEST_REQUIRE(told.size() == 1u);
  BOOST_TEST(told[0].kind == mistake::double_free);
  BOOST_TEST(told[0].allocated.empty());
  BOOST_TEST(told[0].freed.empty());
  BOOST_TEST(told[0].here.empty());
  ends_sound(r, w);
}
