// Whoever is told of mistakes: the handler, stderr, a debugger's breakpoint; and what comes after.
#define BOOST_TEST_MODULE handler
#include <gpa/resource.hpp>

#include "support/not_run.hpp"
#include "support/accomplices.hpp"
#include "support/breakpoint.hpp"
#include "support/death.hpp"
#include "support/suspects.hpp"
#include "support/witness.hpp"

#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using namespace gpa::test;
using gpa::mistake;

std::size_t occurrences(std::string_view text, std::string_view part)
{
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

void free_twice(gpa::resource& r, std::size_t bytes = 24)
{
  void* const p = obtain(r, bytes);
  discard(r, p, bytes);
  blunder(r, p, bytes);
}

gpa::options telling(std::function<void(const gpa::report&)> handler,
                     gpa::after_mistake after = gpa::after_mistake::carry_on)
{
  gpa::options o{.checks = gpa::checks::always(), .after_mistake = after};
  o.on_report = std::move(handler);
  return o;
}

}  // namespace

// ---- the handler ----

// If a lock were held, the child would hang until its alarm.
BOOST_AUTO_TEST_CASE(a_handler_is_called_with_no_lock_held_and_may_use_the_resource)
{
  const shared<int> calls;
  const ending e = in_child([&] {
    gpa::resource* which = nullptr;
    bool inside = false;
    const auto use = [&](const gpa::report&) {
      ++*calls;
      if (inside) return;
      inside = true;
      gpa::resource& r = *which;
      for (const std::size_t bytes : {24u, 5000u, 200'000u}) {
        void* const p = r.allocate(bytes);
        r.detect_leaks();
        r.verify();
        static_cast<void>(r.stats());
        if (r.try_resize(p, bytes, bytes - 1)) r.deallocate(p, bytes - 1);
        r.trim();
      }
      // Another thread, too, whatever this one holds.
      std::thread([&r] { r.deallocate(r.allocate(24), 24), r.verify(); }).join();
      inside = false;
    };
    for (const std::size_t quarantine : {gpa::default_quarantine, std::size_t{0}}) {
      gpa::options o = telling(use);
      o.quarantine_bytes = quarantine;
      gpa::resource r(o);
      which = &r;
      for (const std::size_t bytes : {24u, 5000u, 200'000u}) {
        free_twice(r, bytes);
        void* const p = r.allocate(bytes);
        r.deallocate(p, bytes + 1);
        r.deallocate(p, bytes, 64);
        r.deallocate(moved(p, 8), bytes);
        static_cast<void>(r.try_resize(p, bytes + 1, bytes));
        stray_write(p, static_cast<std::ptrdiff_t>(bytes));
        r.deallocate(p, bytes);
        void* const q = r.allocate(bytes);
        stray_write(q, static_cast<std::ptrdiff_t>(bytes));
        r.verify();
        r.deallocate(q, bytes);
        if (bytes > 32'768) continue;
        stray_write(q, 0);  // noticed when handed out again
        for (int i = 0; i != 100; ++i) r.deallocate(r.allocate(bytes), bytes);
        stray_write(q, 0);
        r.verify();
        stray_write(q, 0);
        r.trim();
      }
      static_cast<void>(r.try_allocate(24, 3));
      static_cast<void>(r.allocate(24));
      r.detect_leaks();
      static_cast<void>(r.deinit());
    }
  });
  BOOST_TEST(e.is_clean(), e);
  BOOST_TEST(*calls > 2 * 3 * 7);
}

BOOST_AUTO_TEST_CASE(a_handler_that_makes_a_mistake_is_told_of_it)
{
  const shared<int> calls;
  const ending e = in_child([&] {
    gpa::resource* which = nullptr;
    gpa::resource r(telling([&](const gpa::report&) {
      if (++*calls == 1) which->deallocate(&which, 8);
    }));
    which = &r;
    free_twice(r);
  });
  BOOST_TEST(e.is_clean(), e);
  BOOST_TEST(*calls == 2);
}

BOOST_AUTO_TEST_CASE(with_a_handler_that_carries_on_nothing_goes_to_stderr)
{
  const shared<int> calls;
  const ending e = in_child([&] {
    gpa::resource r(telling([&](const gpa::report&) { ++*calls; }));
    for (int i = 0; i != 30; ++i) free_twice(r);
    static_cast<void>(r.allocate(24));
  });
  BOOST_TEST(e.is_clean(), e);
  BOOST_TEST(*calls == 31);
}

BOOST_AUTO_TEST_CASE(with_abort_the_text_goes_to_stderr_and_the_handler_is_called_before_the_end)
{
  const shared<int> calls;
  const ending e = in_child([&] {
    gpa::resource r(telling([&](const gpa::report&) { ++*calls; }, gpa::after_mistake::abort));
    free_twice(r);
    ++*calls;  // never
  });
  BOOST_TEST(e.signal == SIGABRT);
  BOOST_TEST(*calls == 1);
  BOOST_TEST(first_report(e).words.starts_with("double free of 24 bytes"), e);
  BOOST_TEST(occurrences(e.text, ": error: ") == 1u, e);
}

BOOST_AUTO_TEST_CASE(a_leak_does_not_abort)
{
  const shared<int> calls;
  const ending e = in_child([&] {
    {
      gpa::resource r(telling([&](const gpa::report&) { ++*calls; }, gpa::after_mistake::abort));
      static_cast<void>(r.allocate(24));
      if (r.detect_leaks() == 1) ++*calls;
    }
    ++*calls;
  });
  BOOST_TEST(e.is_clean(), e);
  BOOST_TEST(*calls == 4);
}

BOOST_AUTO_TEST_CASE(a_handler_that_throws_ends_in_terminate_with_the_report_on_stderr)
{
  for (const gpa::after_mistake after : {gpa::after_mistake::carry_on, gpa::after_mistake::abort}) {
    for (const bool leaks : {false, true}) {
      const ending e = in_child([&] {
        gpa::resource r(telling([](const gpa::report&) { throw std::runtime_error("from the handler"); }, after));
        if (leaks) {
          static_cast<void>(r.allocate(24));
          r.detect_leaks();
        } else {
          free_twice(r);
        }
      });
      BOOST_TEST(e.signal == SIGABRT);
      BOOST_TEST(first_report(e).words.starts_with(leaks ? "leak of 24 bytes" : "double free of 24 bytes"), e);
      BOOST_TEST(occurrences(e.text, ": error: ") == 1u, e);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_report_outlives_its_resource)
{
  witness w;
  {
    const std::string name = "a name that goes out of scope";
    gpa::resource r(w.listening({.name = name, .checks = gpa::checks::always()}));
    void* const p = obtain(r, 61);
    blunder(r, moved(p, 16), 61);
    discard(r, p, 61);
  }
  const auto told = w.take();
  BOOST_TEST_REQUIRE(told.size() == 1u);
  const std::string text = gpa::to_string(told[0]);
  BOOST_TEST(occurrences(text, "inside a block, 16 bytes from its start") == 1u, text);
  BOOST_TEST(occurrences(text, "a name that goes out of scope") == 1u, text);
  BOOST_TEST(occurrences(text, "blunder") != 0u, text);
}

// ---- stderr ----

BOOST_AUTO_TEST_CASE(at_most_20_texts_of_a_kind_are_written_and_the_others_counted_at_deinit)
{
  const auto run = [](int mistakes) {
    return in_child([mistakes] {
      gpa::resource r({.name = "chatty", .after_mistake = gpa::after_mistake::carry_on});
      for (int i = 0; i != mistakes; ++i) free_twice(r);
      blunder(r, &r, 24);
      static_cast<void>(r.deinit());
      static_cast<void>(r.deinit());
    });
  };
  ending e = run(25);
  BOOST_TEST(e.status == 0);
  BOOST_TEST(occurrences(e.text, ": error: double free of 24 bytes") == 20u, e);
  BOOST_TEST(occurrences(e.text, ": error: invalid pointer") == 1u, e);
  BOOST_TEST(occurrences(e.text, "gpa: resource \"chatty\": 5 more reports of double free were not shown\n") == 1u, e);
  BOOST_TEST(occurrences(e.text, "were not shown") == 1u, e);

  e = run(20);
  BOOST_TEST(occurrences(e.text, ": error: double free of 24 bytes") == 20u, e);
  BOOST_TEST(occurrences(e.text, "not shown") == 0u, e);
}

BOOST_AUTO_TEST_CASE(at_most_20_places_of_leaks_are_written_and_the_others_counted)
{
  const ending e = in_child([] {
    gpa::resource r;
    // A depth of its own is a stack of its own.
    struct site {
      [[gnu::noinline]] static void leak(gpa::resource& at, int depth)
      {
        if (depth == 0) {
          static_cast<void>(at.allocate(24));
        } else {
          leak(at, depth - 1);
        }
        STAY;
      }
    };
    for (int depth = 0; depth != 23; ++depth) site::leak(r, depth);
  });
  BOOST_TEST(e.status == 0);
  BOOST_TEST(occurrences(e.text, ": error: leak of 24 bytes in 1 block") == 20u, e);
  BOOST_TEST(occurrences(e.text, "(3 more places not shown)\n") == 1u, e);
  BOOST_TEST(occurrences(e.text, "SUMMARY: gpa: 552 bytes leaked in 23 blocks from 23 places") == 1u, e);
}

// ---- the breakpoint ----

BOOST_AUTO_TEST_CASE(gpa_on_mistake_is_called_before_anything_else_happens)
{
  for (const bool leaks : {false, true}) {
    for (const bool handled : {false, true}) {
      const ending e = in_child([&] {
        gpa::options o;
        if (handled)
          o = telling([](const gpa::report&) { static_cast<void>(!::write(STDERR_FILENO, "<handler>\n", 10)); });
        gpa::resource r(o);
        if (!set_breakpoint()) ::_exit(77);
        if (leaks) {
          static_cast<void>(r.allocate(24));
          r.detect_leaks();
        } else {
          free_twice(r);
        }
        ::_exit(0);
      });
      if (e.status == 77) {
        gpa::test::not_run_here("code pages cannot be made writable here");
        return;
      }
      BOOST_TEST(e.text.starts_with("<stopped in gpa_on_mistake>\n"), e);
      BOOST_TEST(occurrences(e.text, "<stopped") == 1u, e);
      BOOST_TEST(occurrences(e.text, "<handler>") == (handled ? 1u : 0u), e);
    }
  }
}

// ---- allocations that are refused ----

BOOST_AUTO_TEST_CASE(an_allocation_after_deinit_is_told_and_refused)
{
  for (const gpa::options& o : checked_modes()) {
    witness w;
    gpa::resource r(w.listening(o));
    BOOST_TEST(r.deinit() == gpa::check::ok);
    for (const std::size_t bytes : {24u, 200'000u}) {
      BOOST_CHECK_THROW(obtain(r, bytes, 8), std::bad_alloc);
      BOOST_CHECK_THROW(obtain(*r.allocator().resource(), bytes, 8), std::bad_alloc);
      BOOST_TEST(r.try_allocate(bytes, 8) == nullptr);
      const auto told = w.take();
      BOOST_TEST_REQUIRE(told.size() == 3u);
      for (const gpa::report& t : told) {
        BOOST_TEST(t.kind == mistake::use_after_deinit);
        BOOST_TEST(t.resource == o.name);
        BOOST_TEST(t.address == nullptr);
        BOOST_TEST(t.given_bytes == bytes);
        BOOST_TEST(t.given_alignment == 8u);
        BOOST_TEST(t.allocated.empty());
      }
      BOOST_TEST(shows(told[0].here, "obtain"));
    }
    BOOST_TEST(r.deinit() == gpa::check::ok);  // the first verdict
  }
  const ending e = in_child([] {
    gpa::resource r;
    static_cast<void>(r.deinit());
    static_cast<void>(obtain(r, 24));
  });
  BOOST_TEST(e.signal == SIGABRT);
  BOOST_TEST(first_report(e).words.starts_with("use after deinit: 24 bytes are asked"), e);
}

BOOST_AUTO_TEST_CASE(an_alignment_that_is_no_power_of_two_is_told_and_refused)
{
  std::vector<gpa::options> modes = {{.name = "never", .checks = gpa::checks::never()},
                                     {.name = "sampled", .checks = gpa::checks::one_in(3)}};
  for (const gpa::options& o : checked_modes()) modes.push_back(o);
  for (const gpa::options& o : modes) {
    witness w;
    gpa::resource r(w.listening(o));
    for (const bool warm : {false, true}) {
      if (warm) discard(r, obtain(r, 24), 24);
      for (const std::size_t alignment : {0u, 3u, 24u, 4097u}) {
        BOOST_CHECK_THROW(obtain(r, 61, alignment), std::bad_alloc);
        BOOST_TEST(r.try_allocate(61, alignment) == nullptr);
        const auto told = w.take();
        BOOST_TEST_REQUIRE(told.size() == 2u);
        for (const gpa::report& t : told) {
          BOOST_TEST(t.kind == mistake::invalid_alignment);
          BOOST_TEST(t.resource == o.name);
          BOOST_TEST(t.address == nullptr);
          BOOST_TEST(t.given_bytes == 61u);
          BOOST_TEST(t.given_alignment == alignment);
        }
        BOOST_TEST(shows(told[0].here, "obtain"));
      }
    }
    BOOST_TEST(r.stats().live_blocks == 0u);
    BOOST_TEST(is_sound(r));
    BOOST_TEST(r.deinit() == gpa::check::misuse);
    BOOST_TEST(w.count() == 0u);
  }
  const ending e = in_child([] {
    gpa::resource r;
    static_cast<void>(obtain(r, 61, 24));
  });
  BOOST_TEST(e.signal == SIGABRT);
  BOOST_TEST(first_report(e).words.starts_with("invalid alignment 24 asked for 61 bytes"), e);
}
