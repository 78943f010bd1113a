// Wrong resources, misuse of try_resize(), leaks, and mistakes that are a thread's very first call: one report each,
// every field of it, and a heap that goes on as if nothing had been.
#define BOOST_TEST_MODULE misuse
#include <gpa/resource.hpp>

#include "support/not_run.hpp"
#include "support/accomplices.hpp"
#include "support/suspects.hpp"
#include "support/witness.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <map>
#include <memory>
#include <memory_resource>
#include <thread>
#include <vector>

namespace {

using namespace gpa::test;
using gpa::check;
using gpa::mistake;

constexpr std::size_t sizes[] = {0, 1, 24, 61, 1000, 32'768, 200'000, 5 << 20};

gpa::report only(witness& w)
{
  const auto told = w.take();
  BOOST_TEST_REQUIRE(told.size() == 1u);
  return told.front();
}

void ends_sound(gpa::resource& r, witness& w, check verdict = check::misuse)
{
  BOOST_TEST(is_sound(r));
  BOOST_TEST(r.stats().live_blocks == 0u);
  BOOST_TEST(r.deinit() == verdict);
  BOOST_TEST(w.count() == 0u);
}

void is_wrong_resource(const gpa::report& t, const void* p, std::size_t bytes)
{
  BOOST_TEST(t.kind == mistake::wrong_resource);
  BOOST_TEST(t.resource == "b");
  BOOST_TEST(t.owner == "a");
  BOOST_TEST(t.address == p);
  BOOST_TEST(t.bytes == bytes);
  BOOST_TEST(t.total_bytes == bytes);
  BOOST_TEST(t.alignment == usual_alignment);
  BOOST_TEST(t.given_bytes == bytes);
  BOOST_TEST(t.given_alignment == usual_alignment);
  BOOST_TEST(t.blocks == 1u);
  BOOST_TEST(shows(t.allocated, "obtain"));
  BOOST_TEST(t.freed.empty());
  BOOST_TEST(shows(t.here, "blunder"));
}

}  // namespace

// ---- wrong resource ----

BOOST_AUTO_TEST_CASE(a_block_freed_into_another_resource_is_told_with_both_names_and_stays_where_it_is)
{
  for (gpa::options o : checked_modes()) {
    for (const std::size_t bytes : sizes) {
      witness w;
      o.name = "a";
      gpa::resource a(w.listening(o));
      o.name = "b";
      gpa::resource b(w.listening(o));
      void* const p = obtain(a, bytes);
      void* const q = obtain(b, bytes);
      blunder(b, p, bytes);
      is_wrong_resource(only(w), p, bytes);
      BOOST_TEST(a.stats().live_blocks == 1u);
      BOOST_TEST(b.stats().live_blocks == 1u);
      BOOST_TEST(b.stats().mistakes == 1u);
      BOOST_TEST(a.stats().mistakes == 0u);
      discard(a, p, bytes);
      discard(b, q, bytes);
      ends_sound(a, w, check::ok);
      ends_sound(b, w);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_block_of_a_dead_resource_freed_into_another_is_told_with_both_names)
{
  for (const std::size_t bytes : sizes) {
    witness w;
    gpa::resource b(w.listening({.name = "b", .checks = gpa::checks::always()}));
    void* p = nullptr;
    std::pmr::memory_resource* late = nullptr;
    {
      gpa::resource a(w.listening({.name = "a", .checks = gpa::checks::always()}));
      late = a.allocator().resource();
      p = obtain(*late, bytes);
    }
    BOOST_TEST(only(w).kind == mistake::leak);
    blunder(b, p, bytes);
    is_wrong_resource(only(w), p, bytes);

    discard(*late, p, bytes);  // where it belongs, too late
    const gpa::report t = only(w);
    BOOST_TEST(t.kind == mistake::use_after_deinit);
    BOOST_TEST(t.resource == "a");
    BOOST_TEST(t.address == p);
    BOOST_TEST(t.bytes == bytes);
    BOOST_TEST(shows(t.allocated, "obtain"));
    BOOST_TEST(shows(t.here, "discard"));
    ends_sound(b, w);
  }
}

BOOST_AUTO_TEST_CASE(a_block_of_a_resource_without_checks_freed_into_another_is_told)
{
  for (const std::size_t bytes : {24u, 200'000u}) {
    witness w;
    gpa::resource a(w.listening({.name = "a", .checks = gpa::checks::never()}));
    gpa::resource b(w.listening({.name = "b", .checks = gpa::checks::always()}));
    void* const p = obtain(a, bytes);
    blunder(b, p, bytes);
    const gpa::report t = only(w);
    BOOST_TEST(t.kind == mistake::wrong_resource);
    BOOST_TEST(t.resource == "b");
    BOOST_TEST(t.owner == "a");
    BOOST_TEST(t.address == p);
    discard(a, p, bytes);
    ends_sound(b, w);
    ends_sound(a, w, check::ok);
  }
}

BOOST_AUTO_TEST_CASE(a_freed_block_of_another_resource_is_a_double_free)
{
  witness w;
  gpa::resource a(w.listening({.name = "a", .checks = gpa::checks::always()}));
  gpa::resource b(w.listening({.name = "b", .checks = gpa::checks::always()}));
  for (const std::size_t bytes : {24u, 200'000u}) {
    void* const p = obtain(a, bytes);
    discard(a, p, bytes);
    blunder(b, p, bytes);
    const gpa::report t = only(w);
    BOOST_TEST(t.kind == mistake::double_free);
    BOOST_TEST(t.resource == "b");
    BOOST_TEST(t.owner == "a");
    BOOST_TEST(shows(t.freed, "discard"));
  }
  ends_sound(a, w, check::ok);
  ends_sound(b, w);
}

// ---- the first call of a thread or of a resource ----

BOOST_AUTO_TEST_CASE(a_mistake_that_is_the_first_call_of_its_thread_is_told)
{
  for (const std::size_t bytes : sizes) {
    witness w;
    gpa::resource a(w.listening({.name = "a", .checks = gpa::checks::always()}));
    gpa::resource b(w.listening({.name = "b", .checks = gpa::checks::always()}));
    void* const p = obtain(a, bytes);
    std::thread([&] { blunder(a, p, bytes + 1); }).join();
    BOOST_TEST(only(w).kind == mistake::size_mismatch);
    std::thread([&] { blunder(a, p, bytes, 64); }).join();
    BOOST_TEST(only(w).kind == mistake::alignment_mismatch);
    std::thread([&] { blunder(b, p, bytes); }).join();  // b's first call, too
    const gpa::report t = only(w);
    is_wrong_resource(t, p, bytes);
    BOOST_TEST(t.here.thread() != t.allocated.thread());
    std::thread([&] { static_cast<void>(a.try_resize(p, bytes + 1, bytes + 2)); }).join();
    BOOST_TEST(only(w).kind == mistake::size_mismatch);
    discard(a, p, bytes);
    std::thread([&] { blunder(a, p, bytes); }).join();
    BOOST_TEST(only(w).kind == mistake::double_free);
    ends_sound(a, w);
    ends_sound(b, w);
  }
}

// ---- try_resize() ----

namespace {

[[gnu::noinline]] bool resize(gpa::resource& r, void* p, std::size_t old_bytes, std::size_t new_bytes,
                              std::size_t alignment = usual_alignment)
{
  const bool done = r.try_resize(p, old_bytes, new_bytes, alignment);
  STAY;
  return done;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_wrong_try_resize_is_told_as_the_free_would_be_and_changes_nothing)
{
  for (const gpa::options& o : checked_modes()) {
    for (const std::size_t bytes : {24u, 1000u, 32'760u, 200'000u}) {
      witness w;
      gpa::resource r(w.listening(o));
      gpa::resource other(w.listening({.name = "other", .checks = gpa::checks::always()}));
      void* const p = obtain(r, bytes);
      void* const foreign = obtain(other, bytes);
      void* const freed = obtain(r, bytes);
      discard(r, freed, bytes);
      struct wrong {
        mistake kind;
        void* p;
        std::size_t old_bytes;
        std::size_t alignment;
      };
      for (const wrong& x :
           {wrong{mistake::size_mismatch, p, bytes + 1, usual_alignment},
            wrong{mistake::size_mismatch, p, bytes + 65'536, usual_alignment},
            wrong{mistake::size_mismatch, p, bytes + (std::size_t{1} << 32), usual_alignment},
            wrong{mistake::alignment_mismatch, p, bytes, 8}, wrong{mistake::alignment_mismatch, p, bytes, 0},
            wrong{mistake::double_free, freed, bytes, usual_alignment},
            wrong{mistake::wrong_resource, foreign, bytes, usual_alignment},
            wrong{mistake::invalid_pointer, moved(p, 8), bytes, usual_alignment},
            wrong{mistake::invalid_pointer, &w, bytes, usual_alignment},
            wrong{mistake::invalid_pointer, nullptr, bytes, usual_alignment}}) {
        for (const std::size_t new_bytes : {x.old_bytes - 1, x.old_bytes + 1}) {
          BOOST_TEST(!resize(r, x.p, x.old_bytes, new_bytes, x.alignment));
          const gpa::report t = only(w);
          BOOST_TEST(t.kind == x.kind);
          BOOST_TEST(t.address == x.p);
          BOOST_TEST(t.given_bytes == x.old_bytes);
          BOOST_TEST(t.given_alignment == x.alignment);
          BOOST_TEST(shows(t.here, "resize"));
        }
      }
      BOOST_TEST(r.stats().live_blocks == 1u);
      BOOST_TEST(r.stats().live_bytes == bytes);
      discard(r, p, bytes);
      discard(other, foreign, bytes);
      BOOST_TEST(w.count() == 0u);
      ends_sound(other, w, check::ok);
      ends_sound(r, w);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_resized_block_is_freed_with_its_new_bytes_only_and_its_new_end_is_watched)
{
  for (const gpa::options& o : checked_modes()) {
    for (const std::size_t bytes : {28u, 1000u, 32'760u, 200'000u}) {
      witness w;
      gpa::resource r(w.listening(o));
      void* const p = obtain(r, bytes);
      for (const std::size_t now : {bytes - 4, bytes + 1, bytes - 20, bytes + 2}) {
        const std::size_t before = r.stats().live_bytes;
        BOOST_TEST_REQUIRE(resize(r, p, before, now));
        std::memset(p, 0, now);
        BOOST_TEST(r.verify() == 0u);
        BOOST_TEST(r.stats().live_bytes == now);
        blunder(r, p, before);
        const gpa::report t = only(w);
        BOOST_TEST(t.kind == mistake::size_mismatch);
        BOOST_TEST(t.bytes == now);
        BOOST_TEST(t.given_bytes == before);
      }
      BOOST_TEST_REQUIRE(resize(r, p, bytes + 2, bytes - 9));
      stray_write(p, static_cast<std::ptrdiff_t>(bytes) - 9);
      discard(r, p, bytes - 9);
      const gpa::report t = only(w);
      BOOST_TEST(t.kind == mistake::overflow);
      BOOST_TEST(t.offset == bytes - 9);
      BOOST_TEST(t.damaged == 1u);
      BOOST_TEST(t.bytes == bytes - 9);
      ends_sound(r, w);
    }
  }
}

BOOST_AUTO_TEST_CASE(an_overflow_is_not_hidden_by_try_resize)
{
  for (const std::size_t bytes : {24u, 1000u, 200'000u}) {
    for (const std::size_t now : {bytes - 8, bytes + 1}) {
      witness w;
      gpa::resource r(w.listening());
      void* const p = obtain(r, bytes);
      stray_write(p, static_cast<std::ptrdiff_t>(bytes));
      const bool done = resize(r, p, bytes, now);
      discard(r, p, done ? now : bytes);
      const gpa::report t = only(w);
      BOOST_TEST(t.kind == mistake::overflow);
      BOOST_TEST(t.address == p);
      BOOST_TEST(t.offset == bytes);
      ends_sound(r, w);
    }
  }
}

// ---- leaks ----

namespace {

[[gnu::noinline]] void* obtain_at_another_site(gpa::resource& r, std::size_t bytes)
{
  void* const p = r.allocate(bytes);
  STAY;
  return p;
}

}  // namespace

BOOST_AUTO_TEST_CASE(leaks_are_told_once_a_stack_with_blocks_and_bytes_the_largest_first)
{
#if GPA_TEST_ASAN
  gpa::test::not_run_here("instrumented loops are unrolled, so a call site is several");
  return;
#endif
  for (const gpa::options& o : checked_modes()) {
    for (const std::size_t bytes : sizes) {
      witness w;
      {
        gpa::resource r(w.listening(o));
        std::vector<void*> blocks;
        for (int i = 0; i != 5; ++i) blocks.push_back(obtain(r, bytes));
        for (int i = 0; i != 7; ++i) blocks.push_back(obtain_at_another_site(r, bytes + 1));
        discard(r, obtain(r, bytes), bytes);
        BOOST_TEST(r.detect_leaks() == 12u);
        BOOST_TEST(w.take().size() == 2u);
        BOOST_TEST(r.deinit() == check::leak);
        const auto told = w.take();
        BOOST_TEST_REQUIRE(told.size() == 2u);
        BOOST_TEST(told[0].blocks == 7u);
        BOOST_TEST(told[0].total_bytes == 7 * (bytes + 1));
        BOOST_TEST(told[0].bytes == bytes + 1);
        BOOST_TEST(shows(told[0].allocated, "obtain_at_another_site"));
        BOOST_TEST(told[1].blocks == 5u);
        BOOST_TEST(told[1].total_bytes == 5 * bytes);
        BOOST_TEST(told[1].bytes == bytes);
        for (const gpa::report& t : told) {
          BOOST_TEST(t.kind == mistake::leak);
          BOOST_TEST(t.resource == o.name);
          BOOST_TEST(t.alignment == usual_alignment);
          BOOST_TEST(t.freed.empty());
          BOOST_TEST((std::find(blocks.begin(), blocks.end(), t.address) != blocks.end()));
        }
        BOOST_TEST(r.deinit() == check::leak);  // the same answer, and silence
      }
      BOOST_TEST(w.count() == 0u);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_leak_of_a_thread_that_has_ended_is_told_with_its_thread)
{
  witness w;
  gpa::resource r(w.listening());
  std::thread([&] { obtain(r, 24); }).join();
  obtain(r, 24);
  BOOST_TEST(r.deinit() == check::leak);
  const auto told = w.take();
  BOOST_TEST_REQUIRE(told.size() == 2u);
  BOOST_TEST(told[0].allocated.thread() != told[1].allocated.thread());
  BOOST_TEST(told[0].allocated.thread() != 0u);
}

BOOST_AUTO_TEST_CASE(a_leak_is_told_by_the_destructor_as_well)
{
  witness w;
  {
    obtain(*std::make_unique<gpa::resource>(w.listening()), 24);
  }
  BOOST_TEST(only(w).kind == mistake::leak);
}

BOOST_AUTO_TEST_CASE(an_ignored_block_is_no_leak_and_may_still_be_freed_once)
{
  for (const std::size_t bytes : sizes) {
    witness w;
    gpa::resource r(w.listening());
    void* const kept = obtain(r, bytes);
    void* const freed = obtain(r, bytes);
    r.ignore(kept);
    r.ignore(freed);
    r.ignore(freed);
    BOOST_TEST(r.detect_leaks() == 0u);
    blunder(r, freed, bytes + 1);
    BOOST_TEST(only(w).kind == mistake::size_mismatch);
    discard(r, freed, bytes);
    BOOST_TEST(w.count() == 0u);
    blunder(r, freed, bytes);
    BOOST_TEST(only(w).kind == mistake::double_free);
    BOOST_TEST(is_sound(r));
    BOOST_TEST(r.deinit() == check::misuse);
    BOOST_TEST(w.count() == 0u);
  }
}
