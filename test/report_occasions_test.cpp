// When JSON documents are written, as GPA_OPTIONS says: at deinit, at exit, on a signal, before an abort.
#define BOOST_TEST_MODULE report_occasions
#include <gpa/resource.hpp>
#include <gpa/tag_scope.hpp>

#include "support/accomplices.hpp"
#include "support/documents.hpp"
#include "support/governed.hpp"
#include "support/suspects.hpp"

#include <boost/test/unit_test.hpp>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using namespace gpa::test;

[[nodiscard]] bool appears(const std::string& file, const char* reason)
{
  for (int i = 0; i != 1000; ++i) {
    if (std::filesystem::exists(file) && read(file).get<std::string>("process.reason") == reason) return true;
    ::usleep(10'000);
  }
  return false;
}

}  // namespace

BOOST_AUTO_TEST_CASE(report_path_writes_at_deinit_one_file_a_resource)
{
  const folder f;
  const auto work = [&f] {
    gpa::resource a(named("a/1"));
    gpa::resource b(named("b"));
    static_cast<void>(obtain(a, 72));
    if (a.deinit() != gpa::check::leak || b.deinit() != gpa::check::ok) ::_exit(3);
    if (f.files() > 2) ::_exit(4);
  };
  const outcome without = under("", work);
  BOOST_TEST(without.status == 0);
  BOOST_TEST(f.files() == 0u);
  const outcome with = under("report_path='" + f.file("%n.json") + "'", work);
  BOOST_TEST_CONTEXT(with)
  {
    BOOST_TEST(with.status == 0);
    BOOST_TEST(f.files() == 2u);
    const ptree a = read(f.file("a_1.json"));
    BOOST_TEST(a.get<std::string>("process.reason") == "deinit");
    BOOST_TEST(a.get<std::size_t>("totals.live_bytes") == 72u);
    BOOST_TEST(at(a.get_child("mistakes"), 0).get<std::string>("rule") == "gpa-leak");
    BOOST_TEST(read(f.file("b.json")).get_child("mistakes").empty());
  }
}

BOOST_AUTO_TEST_CASE(options_that_are_final_write_no_report)
{
  const folder f;
  const outcome o = under("report_path=" + f.file("%n.json"), [] {
    gpa::options final = named("final");
    final.environment = gpa::environment::ignored;
    const gpa::resource r(final);
  });
  BOOST_TEST(o.status == 0);
  BOOST_TEST(f.files() == 0u);
}

BOOST_AUTO_TEST_CASE(a_report_that_cannot_be_written_at_deinit_is_a_warning)
{
  const outcome o = under("report_path=/nowhere/%n.json", [] { const gpa::resource r(named("a")); });
  BOOST_TEST(o.status == 0);
  BOOST_TEST(o.err == "gpa: warning: the report /nowhere/a.json of resource \"a\" is not written "
                      "(No such file or directory)\n");
}

BOOST_AUTO_TEST_CASE(profile_in_gpa_options_keeps_the_history)
{
  const folder f;
  const auto work = [] {
    gpa::resource r(named("a"));
    discard(r, obtain(r, 72), 72);
  };
  BOOST_TEST(under("profile=1:report_path=" + f.file("with.json"), work).status == 0);
  BOOST_TEST(under("report_path=" + f.file("without.json"), work).status == 0);
  BOOST_TEST(at(read(f.file("with.json")).get_child("sites"), 0).get<int>("total_blocks") == 1);
  BOOST_TEST(read(f.file("without.json")).get_child("sites").empty());
}

BOOST_AUTO_TEST_CASE(a_mistake_that_aborts_is_in_the_report)
{
  const folder f;
  const outcome o = under("report_path=" + f.file("%n.json"), [] {
    gpa::resource r({.name = "a", .checks = gpa::checks::always()});
    void* const p = obtain(r, 24);
    blunder(r, p, 23);
  });
  BOOST_TEST(o.status == -SIGABRT);
  const ptree d = read(f.file("a.json"));
  BOOST_TEST(d.get<std::string>("process.reason") == "abort");
  BOOST_TEST(d.get<std::size_t>("totals.live_bytes") == 24u);
  BOOST_TEST(at(d.get_child("mistakes"), 0).get<std::string>("rule") == "gpa-size-mismatch");
}

BOOST_AUTO_TEST_CASE(what_is_alive_at_exit_is_written_then)
{
  const folder f;
  const outcome o = under("report_path=" + f.file("%n.json"), [] {
    static_cast<void>(obtain(*gpa::process_resource(), 72));
    static auto* const forgotten = new gpa::resource(named("forgotten"));
    static_cast<void>(obtain(*forgotten, 24));
    std::exit(0);
  });
  BOOST_TEST_CONTEXT(o)
  {
    const ptree process = read(f.file("process.json"));
    BOOST_TEST(process.get<std::string>("process.reason") == "exit");
    BOOST_TEST(process.get<std::size_t>("totals.live_bytes") == 72u);
    BOOST_TEST(at(process.get_child("mistakes"), 0).get<std::string>("rule") == "gpa-leak");
    BOOST_TEST(read(f.file("forgotten.json")).get<std::size_t>("totals.live_bytes") == 24u);
  }
}

BOOST_AUTO_TEST_CASE(sigusr2_writes_the_report_of_a_program_that_runs_on)
{
  const folder f;
  const std::string path = "report_path=" + f.file("%n.json");
  const auto work = [&f] {
    gpa::resource r(named("a"));
    void* const p = obtain(r, 72);
    ::raise(SIGUSR2);
    if (!appears(f.file("a.json"), "signal")) ::_exit(3);
    discard(r, p, 72);
    ::raise(SIGUSR2);
    static_cast<void>(r.deinit());  // and not both at once
  };
  const outcome asked = under("report_signal=1:" + path, work);
  BOOST_TEST_CONTEXT(asked)
  {
    BOOST_TEST(asked.status == 0);
    BOOST_TEST(asked.err == "");
    BOOST_TEST(read(f.file("a.json")).get<std::size_t>("totals.live_bytes") == 0u);
  }
  BOOST_TEST(under(path, work).status == -SIGUSR2);  // not asked for: the system's own answer
}

BOOST_AUTO_TEST_CASE(a_program_keeps_its_own_handler_of_sigusr2)
{
  const folder f;
  const outcome o = under("report_signal=1:report_path=" + f.file("%n.json"), [] {
    static volatile std::sig_atomic_t caught = 0;
    std::signal(SIGUSR2, [](int) { caught = 1; });
    const gpa::resource r(named("a"));
    ::raise(SIGUSR2);
    if (caught != 1) ::_exit(3);
  });
  BOOST_TEST(o.status == 0);
  BOOST_TEST(o.err == "gpa: warning: report_signal=1 does nothing: the program handles SIGUSR2 itself\n");
}

BOOST_AUTO_TEST_CASE(a_signal_without_a_path_is_told)
{
  const outcome o = under("report_signal=1", [] { const gpa::resource r(named("a")); });
  BOOST_TEST(o.err == "gpa: warning: report_signal=1 does nothing: report_path is not set\n");
}

#if !GPA_TEST_TSAN  // children of several threads begin no thread there
BOOST_AUTO_TEST_CASE(the_child_of_a_fork_answers_sigusr2_too)
{
  for (const bool at_once : {false, true}) {
    const folder f;
    const outcome o = under("report_signal=1:report_path=" + f.file("%n.json"), [&f, at_once] {
      gpa::resource r(named("a"));
      const pid_t child = ::fork();
      if (child == 0) {
        void* const p = obtain(r, 72);
        if (!at_once) ::raise(SIGUSR2);
        const bool written = appears(f.file("a.json"), "signal");
        discard(r, p, 72);
        static_cast<void>(r.deinit());
        ::_exit(written ? 0 : 3);
      }
      if (at_once) ::kill(child, SIGUSR2);  // before its first step, as a rule
      int status = -1;
      if (::waitpid(child, &status, 0) != child || status != 0) ::_exit(4);
    });
    BOOST_TEST_CONTEXT(o << (at_once ? ", at once" : ""))
    {
      BOOST_TEST(o.status == 0);
      BOOST_TEST(o.err == "");
    }
  }
}
#endif

// What looks at a resource waits while that is in release(), and does not take it for one that ended.
BOOST_AUTO_TEST_CASE(no_report_is_lost_where_a_resource_is_released_all_the_time)
{
  const folder f;
  const outcome o = under("report_signal=1:report_path=" + f.file("%n.json"), [&f] {
    gpa::resource r(named("a"));
    std::atomic<bool> stop{false};
    std::thread busy([&] {
      while (!stop) {
        for (int i = 0; i != 2'000; ++i) static_cast<void>(obtain(r, 1'000));
        r.release();
      }
    });
    for (int i = 0; i != 20; ++i) {
      ::raise(SIGUSR2);
      if (!appears(f.file("a.json"), "signal")) ::_exit(3);
      std::filesystem::remove(f.file("a.json"));
    }
    stop = true;
    busy.join();
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == 0);
    BOOST_TEST(o.err == "");
  }
}

// All of a document, and not in the midst of another: into a pipe, too. They are longer than what is written at once
// into files.
BOOST_AUTO_TEST_CASE(documents_come_whole_through_a_pipe)
{
  const folder f;
  const std::string pipe = f.file("pipe");
  BOOST_REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  const outcome o = under("report_signal=1:report_path=" + pipe, [&] {
    constexpr int room = 1 << 20;
    const int kept = ::open(pipe.c_str(), O_RDWR | O_NONBLOCK);
    if (kept == -1 || ::fcntl(kept, F_SETPIPE_SZ, room) < room) ::_exit(3);
    {
      gpa::resource r(named("a"));
      for (int i = 0; i != 1'000; ++i) {
        const gpa::tag_scope tag("tag " + std::to_string(i));
        static_cast<void>(obtain(r, 72));
      }
      ::raise(SIGUSR2);
      ::usleep(3'000);  // long enough to begin, and too short to end, one time or another
    }
    for (std::string piece(room, ' ');;) {
      const ssize_t got = ::read(kept, piece.data(), piece.size());
      if (got <= 0) break;
      std::cout << std::string_view(piece).substr(0, static_cast<std::size_t>(got)) << std::flush;
      ::usleep(300'000);
    }
  });
  BOOST_TEST_CONTEXT(o.err)
  {
    BOOST_TEST(o.status == 0);
    std::size_t documents = 0;
    std::string_view rest = o.out;
    while (!rest.empty()) {
      const std::size_t end = rest.find("\"mistakes_not_listed\":");
      BOOST_REQUIRE(end != std::string_view::npos);
      const std::size_t behind = rest.find("}\n", end) + 2;
      std::istringstream text{std::string(rest.substr(0, behind))};
      ptree d;
      BOOST_REQUIRE_NO_THROW(boost::property_tree::read_json(text, d));
      rest.remove_prefix(behind);
      ++documents;
    }
    BOOST_TEST(documents >= 1u);
    BOOST_TEST(o.out.size() > 65'536u);
  }
}

BOOST_AUTO_TEST_CASE(a_mistake_after_the_end_leaves_the_report_of_the_end)
{
  for (const bool profile : {false, true}) {
    const folder f;
    const outcome o = under("report_path=" + f.file("%n.json"), [profile] {
      gpa::resource r({.name = "a", .checks = gpa::checks::always(), .profile = profile});
      void* const p = obtain(r, 72);
      static_cast<void>(r.deinit());
      discard(r, p, 72);
    });
    BOOST_TEST(o.status == -SIGABRT);
    const auto d = read(f.file("a.json"));
    BOOST_TEST(d.get<std::string>("process.reason") == (profile ? "abort" : "deinit"));
    BOOST_TEST(d.get_child("sites").size() == 1u);
  }
}

// Resources come, go and are released while reports of all of them are asked for.
BOOST_AUTO_TEST_CASE(reports_are_written_while_resources_begin_and_end)
{
  const folder f;
  const outcome o = under("report_signal=1:profile=1:report_path=" + f.file("%n.json"), [] {
    const gpa::resource first(named("first"));  // from here on the signal is answered
    std::atomic<bool> stop{false};
    std::atomic<int> begun{0};
    std::vector<std::thread> threads;
    for (const char* const name : {"a", "b"}) {
      threads.emplace_back([name, &stop, &begun] {
        for (int round = 0; !stop; ++round) {
          if (round == 1) ++begun;
          gpa::resource r(named(name));
          for (int i = 0; i != 200; ++i) discard(r, obtain(r, 100), 100);
          static_cast<void>(obtain(r, 200'000));
          r.release();
          static_cast<void>(obtain(r, 100));
          r.release();
        }
      });
    }
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    while (std::chrono::steady_clock::now() < end || begun != 2) {
      ::raise(SIGUSR2);
      ::usleep(1000);
    }
    stop = true;
    for (std::thread& t : threads) t.join();
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == 0);
    BOOST_TEST(o.err == "");
  }
  for (const char* const name : {"a.json", "b.json"}) BOOST_TEST(read(f.file(name)).get<int>("gpa_report") == 1);
}

BOOST_AUTO_TEST_CASE(a_profile_that_is_asked_for_where_nothing_is_checked_is_said_to_stay_empty_once)
{
  const auto work = [](gpa::checks c, gpa::environment e = gpa::environment::wins) {
    return [c, e] {
      gpa::options o = named("first");
      o.checks = c;
      o.environment = e;
      const gpa::resource first(o);
      o.name = "second";
      const gpa::resource second(o);
    };
  };
  const std::string told =
      "gpa: warning: GPA_OPTIONS: profile=1 keeps no history of resource \"first\", whose blocks are not checked "
      "(checks=always has them checked)\n";
  BOOST_TEST(under("profile=1", work(gpa::checks::never())).err == told);
  BOOST_TEST(under("profile=1:checks=always", work(gpa::checks::never())).err == "");
  BOOST_TEST(under("profile=1", work(gpa::checks::one_in(100))).err == "");
  BOOST_TEST(under("profile=0", work(gpa::checks::never())).err == "");
  BOOST_TEST(under("profile=1", work(gpa::checks::never(), gpa::environment::ignored)).err == "");
}

// Unloading holds the loader's lock while the library's resource ends, and a report asks for that lock.
BOOST_AUTO_TEST_CASE(reports_are_written_while_a_library_with_a_resource_is_unloaded)
{
  const folder f;
  const outcome o = under("report_signal=1:report_path=" + f.file("%n.json"), [] {
    const gpa::resource first(named("first"));
    for (int i = 0; i != 40; ++i) {
      void* const library = ::dlopen(beside_this("programs/holds_resource.so").c_str(), RTLD_NOW);
      if (library == nullptr) ::_exit(3);
      reinterpret_cast<void (*)()>(::dlsym(library, "keep_in_library"))();
      ::raise(SIGUSR2);
      ::usleep(static_cast<useconds_t>(i) * 100);  // in the midst of it, one time or another
      ::dlclose(library);
    }
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == 0);
    BOOST_TEST(o.err == "");
  }
  BOOST_TEST(read(f.file("in a library.json")).get<std::string>("process.reason") == "deinit");
}
