#define BOOST_TEST_MODULE resize
#include "support/not_run.hpp"
#include "support/modes.hpp"
#include "support/upstreams.hpp"
#include "support/witness.hpp"
#include "support/suspects.hpp"

#include <gpa/resource.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory_resource>

namespace {

using gpa::mistake;
using gpa::test::every_mode;
using gpa::test::mode;
using gpa::test::witness;

// A resource of every mode, over pages and over an upstream; nothing may be reported and nothing be left.
template <class Body>
void in_every_mode(Body body)
{
  for (const mode& m : every_mode()) {
    for (const bool own_upstream : {false, true}) {
      BOOST_TEST_CONTEXT(m.name << (own_upstream ? ", over an upstream" : ""))
      {
        witness w;
        gpa::test::recording_upstream upstream;
        gpa::resource r(w.listening(m.options), own_upstream ? &upstream : nullptr);
        body(r);
        BOOST_TEST(r.stats().live_bytes == 0u);
        BOOST_TEST(r.verify() == 0u);
        BOOST_TEST((r.deinit() == gpa::check::ok));
        BOOST_TEST(w.count() == 0u);
        BOOST_TEST(upstream.live() == 0u);
      }
    }
  }
}

struct checked {
  witness w;
  gpa::resource r{w.listening()};
};

bool is_kept(const void* p, std::size_t bytes)
{
  const auto* const b = static_cast<const unsigned char*>(p);
  return std::all_of(b, b + bytes, [](unsigned char seen) { return seen == 0x41; });
}

void* filled(gpa::resource& r, std::size_t bytes, std::size_t alignment = 8)
{
  void* const p = r.allocate(bytes, alignment);
  std::memset(p, 0x41, bytes);
  return p;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_block_grows_and_shrinks_within_its_slot_and_is_freed_with_its_new_size)
{
  in_every_mode([](gpa::resource& r) {
    void* const p = filled(r, 100);
    BOOST_TEST(r.try_resize(p, 100, 111, 8));
    BOOST_TEST(is_kept(p, 100));
    std::memset(p, 0x41, 111);
    BOOST_TEST(r.try_resize(p, 111, 97, 8));
    BOOST_TEST(is_kept(p, 97));
    BOOST_TEST(r.stats().live_bytes == 97u);
    BOOST_TEST(r.try_resize(p, 97, 97, 8));
    r.deallocate(p, 97, 8);
  });
}

BOOST_AUTO_TEST_CASE(a_large_block_grows_and_shrinks_within_its_last_granule)
{
  in_every_mode([](gpa::resource& r) {
    void* const p = filled(r, 200'000);
    BOOST_TEST(r.try_resize(p, 200'000, 262'000, 8));
    BOOST_TEST(is_kept(p, 200'000));
    std::memset(p, 0x41, 262'000);
    BOOST_TEST(r.try_resize(p, 262'000, 200'001, 8));
    BOOST_TEST(is_kept(p, 200'001));
    r.deallocate(p, 200'001, 8);
  });
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_refused_and_the_block_is_as_it_was)
{
  in_every_mode([](gpa::resource& r) {
    void* const small = filled(r, 100);
    void* const large = filled(r, 200'000);
    std::array<void*, 20> behind;  // else an unchecked block might grow; sampled ones lie elsewhere
    for (void*& p : behind) p = filled(r, 200'000);
    for (const std::size_t bytes : {std::size_t{1'000}, std::size_t{40'000}, std::size_t{300'000}, std::size_t{1} << 40,
                                    std::size_t{1} << 47, SIZE_MAX - 15, SIZE_MAX}) {
      BOOST_TEST(!r.try_resize(small, 100, bytes, 8));
      if (bytes > 200'000) BOOST_TEST(!r.try_resize(large, 200'000, bytes, 8));
    }
    BOOST_TEST(is_kept(small, 100));
    BOOST_TEST(is_kept(large, 200'000));
    BOOST_TEST(r.stats().live_bytes == 100u + 21 * 200'000u);
    r.deallocate(small, 100, 8);
    r.deallocate(large, 200'000, 8);
    for (void* const p : behind) r.deallocate(p, 200'000, 8);
  });
}

// Unchecked blocks lie one behind the other and grow into what is free behind them. (Checked ones cannot: what was freed
// there stays inaccessible.)
BOOST_AUTO_TEST_CASE(an_unchecked_large_block_grows_into_free_memory_behind_it_and_gives_it_back)
{
  gpa::resource r({.checks = gpa::checks::never()});
  void* const p = filled(r, 200'000);
  void* const behind = filled(r, 300'000);
  void* const end = filled(r, 100'000);
  BOOST_TEST(!r.try_resize(p, 200'000, 300'000, 8));
  r.deallocate(behind, 300'000, 8);
  BOOST_TEST(r.try_resize(p, 200'000, 400'000, 8));
  BOOST_TEST(is_kept(p, 200'000));
  std::memset(p, 0x41, 400'000);
  BOOST_TEST(!r.try_resize(p, 400'000, 700'000, 8));
  BOOST_TEST(is_kept(end, 100'000));
  BOOST_TEST(r.try_resize(p, 400'000, 70'000, 8));
  BOOST_TEST(r.stats().live_bytes == 170'000u);
  void* const again = filled(r, 400'000);  // where the rest was
  BOOST_TEST((again > p && again < end));
  BOOST_TEST(is_kept(p, 70'000));
  BOOST_TEST(is_kept(end, 100'000));
  BOOST_TEST(!r.try_resize(p, 70'000, 30'000, 8));  // a small block lives in a slab
  r.deallocate(p, 70'000, 8);
  r.deallocate(again, 400'000, 8);
  r.deallocate(end, 100'000, 8);
  BOOST_TEST((r.deinit() == gpa::check::ok));
}

// Its thread keeps such a one for the next of that size, but no more than a block that grows.
BOOST_AUTO_TEST_CASE(an_unchecked_block_grows_into_one_that_its_thread_freed_last)
{
  gpa::resource r({.checks = gpa::checks::never()});
  void* const p = filled(r, 100'000);
  void* const behind = filled(r, 100'000);
  BOOST_TEST(behind == static_cast<std::byte*>(p) + 131'072);
  BOOST_TEST(!r.try_resize(p, 100'000, 200'000, 8));
  r.deallocate(behind, 100'000, 8);
  BOOST_TEST(r.try_resize(p, 100'000, 200'000, 8));
  BOOST_TEST(is_kept(p, 100'000));
  r.deallocate(p, 200'000, 8);
  BOOST_TEST((r.deinit() == gpa::check::ok));
}

// All sizes from and to, over the edges of classes: whatever is answered, the block is right for it.
BOOST_AUTO_TEST_CASE(every_answer_is_kept)
{
  in_every_mode([](gpa::resource& r) {
    std::size_t wrong = 0;
    std::size_t done = 0;
    for (std::size_t from = 0; from <= 300; from += 3) {
      for (std::size_t to = 0; to <= 300; to += 7) {
        void* const p = filled(r, from);
        const bool yes = r.try_resize(p, from, to, 8);
        if (!is_kept(p, std::min(from, yes ? to : from))) ++wrong;
        if (yes) std::memset(p, 0x42, to);
        done += yes;
        r.deallocate(p, yes ? to : from, 8);
      }
    }
    BOOST_TEST(wrong == 0u);
    BOOST_TEST(done > 101u);
  });
}

BOOST_AUTO_TEST_CASE(an_aligned_block_keeps_its_alignment)
{
  in_every_mode([](gpa::resource& r) {
    for (const std::size_t alignment : {64U, 4096U, 65'536U}) {
      void* const p = filled(r, alignment * 2 - 40, alignment);
      BOOST_TEST(r.try_resize(p, alignment * 2 - 40, alignment * 2 - 30, alignment));
      BOOST_TEST(is_kept(p, alignment * 2 - 40));
      r.deallocate(p, alignment * 2 - 30, alignment);
    }
  });
}

// Empty is a size as any other; a resize to it frees nothing.
BOOST_AUTO_TEST_CASE(a_block_may_become_empty_and_grow_again)
{
  in_every_mode([](gpa::resource& r) {
    void* const p = filled(r, 10);
    if (r.try_resize(p, 10, 0, 8)) {
      BOOST_TEST(r.stats().live_blocks == 1u);
      BOOST_TEST(r.stats().live_bytes == 0u);
      BOOST_TEST(r.try_resize(p, 0, 10, 8));
    }
    r.deallocate(p, 10, 8);
  });
}

BOOST_FIXTURE_TEST_CASE(wrong_old_numbers_are_reported_as_the_free_would_be, checked)
{
  void* const p = filled(r, 100);
  void* const large = filled(r, 200'000);
  gpa::resource other(w.listening({.name = "other", .checks = gpa::checks::always()}));
  void* const others = other.allocate(100, 8);
  void* const freed = r.allocate(300, 8);
  r.deallocate(freed, 300, 8);
  int local = 0;

  struct row {
    void* p;
    std::size_t old_bytes;
    std::size_t alignment;
    mistake expected;
  };
  for (const row& wrong :
       {row{p, 99, 8, mistake::size_mismatch}, row{p, 100 + 65'536, 8, mistake::size_mismatch},
        row{large, 200'001, 8, mistake::size_mismatch}, row{p, 100, 16, mistake::alignment_mismatch},
        row{p, 100, 24, mistake::alignment_mismatch}, row{large, 200'000, 16, mistake::alignment_mismatch},
        row{freed, 300, 8, mistake::double_free}, row{others, 100, 8, mistake::wrong_resource},
        row{static_cast<std::byte*>(p) + 16, 84, 8, mistake::invalid_pointer},
        row{nullptr, 100, 8, mistake::invalid_pointer}, row{&local, 4, 4, mistake::invalid_pointer}}) {
    BOOST_TEST(!r.try_resize(wrong.p, wrong.old_bytes, 101, wrong.alignment));
    const auto told = w.take();
    BOOST_REQUIRE(told.size() == 1u);
    BOOST_TEST(told.front().kind == wrong.expected);
    BOOST_TEST(told.front().address == wrong.p);
    BOOST_TEST(told.front().given_bytes == wrong.old_bytes);
  }
  BOOST_TEST(is_kept(p, 100));
  BOOST_TEST(is_kept(large, 200'000));
  BOOST_TEST(r.stats().live_bytes == 200'100u);
  r.deallocate(p, 100, 8);
  r.deallocate(large, 200'000, 8);
  other.deallocate(others, 100, 8);
  BOOST_TEST((r.deinit() == gpa::check::misuse));
  BOOST_TEST(w.count() == 0u);
}

BOOST_FIXTURE_TEST_CASE(after_a_resize_the_old_size_is_wrong, checked)
{
  for (const std::size_t bytes : {100U, 200'000U}) {
    void* const p = filled(r, bytes);
    BOOST_TEST(r.try_resize(p, bytes, bytes + 1, 8));
    r.deallocate(p, bytes, 8);
    const auto told = w.take();
    BOOST_REQUIRE(told.size() == 1u);
    BOOST_TEST(told.front().kind == mistake::size_mismatch);
    BOOST_TEST(told.front().bytes == bytes + 1);
    r.deallocate(p, bytes + 1, 8);
    BOOST_TEST(w.count() == 0u);
  }
}

BOOST_FIXTURE_TEST_CASE(a_mistake_is_told_where_the_resize_is_out_of_the_question, checked)
{
  for (const std::size_t bytes : {100U, 200'000U}) {
    void* const p = filled(r, bytes);
    void* const freed = filled(r, bytes);
    r.deallocate(freed, bytes, 8);
    int local = 0;
    for (const std::size_t limit : {gpa::unlimited, 2 * bytes}) {
      r.set_memory_limit(limit);
      const std::size_t too_much = limit == gpa::unlimited ? ~std::size_t{0} : limit + 1;
      const auto is_told = [&](mistake kind, void* q, std::size_t old_bytes, std::size_t alignment) {
        BOOST_TEST(!r.try_resize(q, old_bytes, too_much, alignment));
        const auto told = w.take();
        BOOST_REQUIRE(told.size() == 1u);
        BOOST_TEST(told.front().kind == kind);
      };
      is_told(mistake::size_mismatch, p, bytes - 1, 8);
      is_told(mistake::alignment_mismatch, p, bytes, 4);
      is_told(mistake::double_free, freed, bytes, 8);
      is_told(mistake::invalid_pointer, &local, bytes, 8);
      // The call that is right is refused without a word, and takes nothing of the limit.
      BOOST_TEST(!r.try_resize(p, bytes, too_much, 8));
      BOOST_TEST(w.count() == 0u);
      BOOST_TEST(is_kept(p, bytes));
      BOOST_TEST(r.stats().live_bytes == bytes);
      void* const rest = r.try_allocate(bytes, 8);
      BOOST_REQUIRE(rest != nullptr);
      r.deallocate(rest, bytes, 8);
    }
    r.set_memory_limit(gpa::unlimited);
    r.deallocate(p, bytes, 8);
  }
  BOOST_TEST((r.deinit() == gpa::check::misuse));
}

BOOST_FIXTURE_TEST_CASE(the_redzone_moves_with_the_end_of_the_block, checked)
{
#if GPA_TEST_ASAN
  gpa::test::not_run_here("ASan stops at the planted write itself");
  return;
#endif
  for (const std::size_t bytes : {100U, 200'000U}) {
    for (const std::size_t resized : {bytes + 5, bytes - 50}) {
      auto* const p = static_cast<std::byte*>(filled(r, bytes));
      BOOST_TEST(r.try_resize(p, bytes, resized, 8));
      std::memset(p, 0x41, resized);
      BOOST_TEST(r.verify() == 0u);
      p[resized] = std::byte{0x42};
      r.deallocate(p, resized, 8);
      const auto told = w.take();
      BOOST_REQUIRE(told.size() == 1u);
      BOOST_TEST(told.front().kind == mistake::overflow);
      BOOST_TEST(told.front().offset == resized);
    }
  }
}

// Not a byte further than where a write behind it would still be seen.
BOOST_FIXTURE_TEST_CASE(a_block_that_grew_as_far_as_it_can_still_shows_an_overflow, checked)
{
#if GPA_TEST_ASAN
  gpa::test::not_run_here("ASan stops at the planted write itself");
  return;
#endif
  for (const std::size_t bytes : {100U, 5'000U, 196'000U}) {
    auto* const p = static_cast<std::byte*>(filled(r, bytes));
    std::size_t now = bytes;
    while (r.try_resize(p, now, now + 1, 8)) ++now;
    BOOST_TEST(now > bytes);
    BOOST_TEST((reinterpret_cast<std::uintptr_t>(p) + now) % 16 == 15u);  // of what is set aside one byte is left
    std::memset(p, 0x41, now);
    BOOST_TEST(r.verify() == 0u);
    p[now] = std::byte{0x42};
    r.deallocate(p, now, 8);
    const auto told = w.take();
    BOOST_TEST_REQUIRE(told.size() == 1u);
    BOOST_TEST(told.front().kind == mistake::overflow);
    BOOST_TEST(told.front().offset == now);
  }
}

// A block that was overrun keeps the evidence: it is not resized over it.
BOOST_FIXTURE_TEST_CASE(a_resize_does_not_wipe_out_an_overflow, checked)
{
#if GPA_TEST_ASAN
  gpa::test::not_run_here("ASan stops at the planted write itself");
  return;
#endif
  auto* const p = static_cast<std::byte*>(filled(r, 100));
  p[101] = std::byte{0x42};
  static_cast<void>(r.try_resize(p, 100, 108, 8));
  const std::size_t live = r.stats().live_bytes;
  r.deallocate(p, live, 8);
  const auto told = w.take();
  BOOST_REQUIRE(told.size() == 1u);
  BOOST_TEST(told.front().kind == mistake::overflow);
}

BOOST_FIXTURE_TEST_CASE(an_ignored_block_stays_ignored, checked)
{
  void* const p = r.allocate(100, 8);
  r.ignore(p);
  BOOST_TEST(r.try_resize(p, 100, 105, 8));
  BOOST_TEST(r.detect_leaks() == 0u);
  BOOST_TEST(w.count() == 0u);
  r.deallocate(p, 105, 8);
}

BOOST_FIXTURE_TEST_CASE(a_resize_after_deinit_is_reported_and_refused, checked)
{
  void* const p = r.allocate(100, 8);
  BOOST_TEST((r.deinit() == gpa::check::leak));
  BOOST_TEST(w.take().size() == 1u);
  BOOST_TEST(!r.try_resize(p, 100, 105, 8));
  BOOST_TEST(w.count(mistake::use_after_deinit) == 1u);
  r.deallocate(p, 100, 8);
}
