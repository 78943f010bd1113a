#define BOOST_TEST_MODULE cancellation
// Neither allocating nor freeing is a cancellation point (pthread_cancel), whatever gpa writes meanwhile.
#include <gpa/default_resource.hpp>
#include <gpa/recorder.hpp>
#include <gpa/resource.hpp>

#include "support/outcome.hpp"

#include <pthread.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace {

using gpa::test::outcome;
using gpa::test::outcome_of;

// Runs it in a thread that somebody wants to end already. It is to come to its end, and the thread to be cancelled
// there.
outcome in_a_doomed_thread(std::function<void()> work)
{
  return outcome_of([&work] {
    struct thread {
      std::function<void()>& work;
      bool done = false;
    } t{work};
    pthread_t id{};
    const auto run = [](void* argument) -> void* {
      auto& self = *static_cast<thread*>(argument);
      ::pthread_cancel(::pthread_self());
      self.work();
      self.done = true;
      ::pthread_testcancel();
      return nullptr;
    };
    void* result = nullptr;
    if (::pthread_create(&id, nullptr, run, &t) != 0 || ::pthread_join(id, &result) != 0) ::_exit(3);
    ::_exit(t.done && result == PTHREAD_CANCELED ? 0 : 4);
  });
}

gpa::options checked()
{
  return {.checks = gpa::checks::always(), .after_mistake = gpa::after_mistake::carry_on};
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_mistake_is_told)
{
  const outcome o = in_a_doomed_thread([] {
    gpa::resource r(checked());
    void* const p = r.allocate(40);
    r.deallocate(p, 40);
    r.deallocate(p, 40);
    std::vector<gpa::stack_frame> frames = r.origin(r.allocate(8)).frames();
    if (frames.empty() || r.deinit() != gpa::check::leak) ::_exit(5);
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == 0);
    BOOST_TEST(o.reports() == (std::vector<std::string>{"double-free", "leak"}), boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(a_report_is_made_a_text_with_its_source_lines)
{
  gpa::report kept;
  gpa::options wishes = checked();
  wishes.on_report = [&kept](const gpa::report& r) { kept = r; };
  gpa::resource r(wishes);
  void* const p = r.allocate(40);
  r.deallocate(p, 40);
  r.deallocate(p, 40);
  const outcome o = in_a_doomed_thread([&kept] {
    if (gpa::to_string(kept).find("double free") == std::string::npos) ::_exit(5);
  });
  BOOST_TEST_CONTEXT(o) BOOST_TEST(o.status == 0);
}

BOOST_AUTO_TEST_CASE(warnings_are_written)
{
  const outcome o = in_a_doomed_thread([] {
    gpa::resource r(checked());
    auto outer = std::make_unique<gpa::default_resource_guard>(&r);
    const gpa::default_resource_guard inner(&r);
    outer.reset();  // in another order than reverse
    const gpa::recorder full("/dev/full", &r);
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == 0);
    BOOST_TEST(o.says("in another order than reverse"));
    BOOST_TEST(o.says("/dev/full is not complete"));
  }
}

BOOST_AUTO_TEST_CASE(operations_are_logged)
{
  const outcome o = in_a_doomed_thread([] {
    gpa::options wishes = checked();
    wishes.log_operations = true;
    gpa::resource r(wishes);
    r.deallocate(r.allocate(40), 40);
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == 0);
    BOOST_TEST(o.says("deallocate 40 bytes"));
  }
}

BOOST_AUTO_TEST_CASE(a_document_and_a_recording_are_written)
{
  const std::string file =
      (std::filesystem::temp_directory_path() / ("gpa_cancellation_" + std::to_string(::getpid()))).string();
  const outcome o = in_a_doomed_thread([&file] {
    gpa::resource r(checked());
    {
      gpa::recorder each(file + ".gpatrace", &r);
      for (int i = 0; i != 100'000; ++i) each.deallocate(each.allocate(40), 40);
      each.close();
    }
    r.write_report(file + ".json");
  });
  BOOST_TEST_CONTEXT(o) BOOST_TEST(o.status == 0);
  for (const char* const suffix : {".gpatrace", ".json"}) {
    BOOST_TEST(std::filesystem::file_size(file + suffix) > 500u);
    std::filesystem::remove(file + suffix);
  }
}
