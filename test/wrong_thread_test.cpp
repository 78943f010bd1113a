// A resource with thread_safe = false belongs to one thread at a time: every call of another is told, and a resource
// without a live block changes hands in silence.
#define BOOST_TEST_MODULE wrong_thread
#include <gpa/resource.hpp>

#include "support/accomplices.hpp"
#include "support/suspects.hpp"
#include "support/witness.hpp"

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <thread>

namespace {

using namespace gpa::test;
using gpa::mistake;

gpa::options single()
{
  return {.name = "single", .checks = gpa::checks::always(), .thread_safe = false};
}

template <class Action>
void elsewhere(Action action)
{
  std::thread(action).join();
}

gpa::report only(witness& w)
{
  const auto told = w.take();
  BOOST_TEST_REQUIRE(told.size() == 1u);
  BOOST_TEST(told[0].kind == mistake::wrong_thread);
  BOOST_TEST(told[0].resource == "single");
  return told[0];
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_call_of_another_thread_is_told_once)
{
  for (const std::size_t bytes : {24u, 5000u, 200'000u}) {
    witness w;
    gpa::resource r(w.listening(single()));
    void* const mine = obtain(r, bytes);
    const std::uint64_t owner = [&] {
      blunder(r, mine, bytes + 1);
      return w.take().at(0).here.thread();
    }();
    elsewhere([&] {
      void* theirs = nullptr;
      for (int i = 0; i != 3; ++i) {
        theirs = obtain(r, bytes, 32);
        gpa::report t = only(w);
        BOOST_TEST(t.address == nullptr);
        BOOST_TEST(t.given_bytes == bytes);
        BOOST_TEST(t.given_alignment == 32u);
        BOOST_TEST(shows(t.here, "obtain"));
        BOOST_TEST(t.here.thread() != owner);

        discard(r, theirs, bytes, 32);
        t = only(w);
        BOOST_TEST(t.address == theirs);
        BOOST_TEST(t.given_bytes == bytes);
        BOOST_TEST(t.given_alignment == 32u);
        BOOST_TEST(shows(t.here, "discard"));

        static_cast<void>(r.try_resize(mine, bytes, bytes - 1));
        t = only(w);
        BOOST_TEST(t.address == mine);
        BOOST_TEST(to_string(t).find("is resized in resource") != std::string::npos);

        theirs = r.try_allocate(bytes);
        only(w);
        r.deallocate(theirs, bytes);
        only(w);
      }
    });
    BOOST_TEST(w.count() == 0u);
    discard(r, mine, bytes);
    BOOST_TEST(w.count() == 0u);
    BOOST_TEST(r.stats().live_blocks == 0u);
    BOOST_TEST(is_sound(r));
    BOOST_TEST(r.deinit() == gpa::check::misuse);
    BOOST_TEST(w.count() == 0u);
  }
}

BOOST_AUTO_TEST_CASE(the_calls_of_one_thread_are_no_mistake)
{
  witness w;
  gpa::resource r(w.listening(single()));
  for (const std::size_t bytes : {24u, 5000u, 200'000u}) {
    void* const p = obtain(r, bytes);
    BOOST_TEST(r.try_resize(p, bytes, bytes - 1));
    discard(r, p, bytes - 1);
  }
  BOOST_TEST(is_sound(r));
  BOOST_TEST(r.deinit() == gpa::check::ok);
  BOOST_TEST(w.count() == 0u);
}

BOOST_AUTO_TEST_CASE(a_thread_safe_resource_belongs_to_every_thread)
{
  witness w;
  gpa::resource r(w.listening());
  void* const p = obtain(r, 24);
  elsewhere([&] {
    discard(r, p, 24);
    discard(r, obtain(r, 24), 24);
  });
  BOOST_TEST(r.deinit() == gpa::check::ok);
  BOOST_TEST(w.count() == 0u);
}

BOOST_AUTO_TEST_CASE(a_resource_without_a_live_block_changes_hands)
{
  witness w;
  gpa::resource r(w.listening(single()));
  void* p = nullptr;
  elsewhere([&] { p = obtain(r, 24); });  // made here, owned there: nobody had called yet
  BOOST_TEST(w.count() == 0u);
  discard(r, p, 24);  // the block is live, so this call is wrong
  only(w);
  for (int i = 0; i != 3; ++i) {
    p = obtain(r, 24);  // none is live now
    BOOST_TEST(w.count() == 0u);
    elsewhere([&] { discard(r, obtain(r, 24), 24); });
    BOOST_TEST(w.take().size() == 2u);
    discard(r, p, 24);
    elsewhere([&] {
      p = obtain(r, 24);
      discard(r, p, 24);
      BOOST_TEST(is_sound(r));
      p = obtain(r, 24);
    });
    BOOST_TEST(w.count() == 0u);
    void* const wrong = obtain(r, 24);  // who owned it before is told, too
    only(w);
    elsewhere([&] { static_cast<void>(r.stats()); });
    discard(r, wrong, 24);
    only(w);
    discard(r, p, 24);
    only(w);
  }
  BOOST_TEST(r.stats().live_blocks == 0u);
  BOOST_TEST(r.deinit() == gpa::check::misuse);
  BOOST_TEST(w.count() == 0u);
}

BOOST_AUTO_TEST_CASE(a_thread_whose_empty_resource_another_one_took_is_told_at_its_first_call)
{
  witness w;
  gpa::resource r(w.listening(single()));
  for (int i = 0; i != 10; ++i) discard(r, obtain(r, 24), 24);
  void* p = nullptr;
  elsewhere([&] { p = obtain(r, 24); });
  BOOST_TEST(w.count() == 0u);
  void* const wrong = obtain(r, 24);
  only(w);
  discard(r, wrong, 24);
  only(w);
  discard(r, p, 24);
  only(w);
}

BOOST_AUTO_TEST_CASE(a_mistake_of_another_thread_is_told_beside_the_wrong_thread)
{
  witness w;
  gpa::resource r(w.listening(single()));
  void* const p = obtain(r, 24);
  elsewhere([&] { blunder(r, p, 25); });
  BOOST_TEST(w.count(mistake::wrong_thread) == 1u);
  BOOST_TEST(w.count(mistake::size_mismatch) == 1u);
  BOOST_TEST(w.count() == 2u);
  discard(r, p, 24);
  BOOST_TEST(w.count() == 2u);
}

BOOST_AUTO_TEST_CASE(a_single_threaded_resource_moves_to_the_thread_that_uses_it_next_while_empty)
{
  witness w;
  gpa::resource r(w.listening(single()));
  for (int i = 0; i != 50; ++i) {
    elsewhere([&] { BOOST_TEST(is_sound(r)); });
    BOOST_TEST(is_sound(r));
  }
  BOOST_TEST(r.deinit() == gpa::check::ok);
  BOOST_TEST(w.count() == 0u);
}
