// GPA_OPTIONS: each field of gpa::options that it may set, in both directions; what is wrong with it; who wins.
#define BOOST_TEST_MODULE environment
#include <gpa/resource.hpp>

#include "support/accomplices.hpp"
#include "support/governed.hpp"
#include "support/mappings.hpp"
#include "support/not_run.hpp"
#include "support/resident.hpp"
#include "support/suspects.hpp"

#include <boost/test/unit_test.hpp>

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory_resource>
#include <new>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

std::size_t heap_calls = 0;

}  // namespace

// The user's heap, for the test that asks whether it was used. Inlined, g++ would miss the pair of malloc and free.
[[gnu::noinline]] void* operator new(std::size_t bytes)
{
  ++heap_calls;
  if (void* const p = std::malloc(bytes == 0 ? 1 : bytes); p != nullptr) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p) noexcept
{
  std::free(p);
}
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept
{
  std::free(p);
}

namespace {

using namespace gpa::test;
using strings = std::vector<std::string>;

constexpr auto carry_on = gpa::after_mistake::carry_on;

// Of options `o`; a free with a wrong size, which only checks notice.
void mistake_with(gpa::options o)
{
  o.after_mistake = carry_on;
  gpa::resource r(o);
  void* const p = obtain(r, 24);
  blunder(r, p, 23);
  if (r.stats().mistakes != 0) r.deallocate(p, 24);
}

void leak_with(const gpa::options& o)
{
  gpa::resource r(o);
  static_cast<void>(obtain(r, 24));
}

// How many of 1 000 blocks, each freed at once, had an address that was there before.
std::size_t addresses_used_again(gpa::resource& r)
{
  std::vector<void*> seen;
  std::size_t again = 0;
  for (int i = 0; i != 1'000; ++i) {
    void* const p = r.allocate(24, 8);
    for (void* const q : seen) again += p == q ? 1u : 0u;
    seen.push_back(p);
    r.deallocate(p, 24, 8);
  }
  return again;
}

void print(std::string_view words)
{
  static_cast<void>(::write(STDOUT_FILENO, words.data(), words.size()));
}
void print_answer(bool yes)
{
  print(yes ? std::string_view("yes") : std::string_view("no"));
}

}  // namespace

// ---- the fields of gpa::options ----

BOOST_AUTO_TEST_CASE(checks_decides_what_is_checked)
{
  const auto work = [](gpa::checks c) { return [c] { mistake_with({.checks = c}); }; };
  const strings told{"size-mismatch"};
  BOOST_TEST(under("checks=never", work(gpa::checks::always())).reports().empty());
  BOOST_TEST(under("checks=always", work(gpa::checks::never())).reports() == told);
  BOOST_TEST(under("checks=one_in(1)", work(gpa::checks::never())).reports() == told);
  BOOST_TEST(under("checks=by_build", work(gpa::checks::never())).reports() == told);  // this file has no NDEBUG
  BOOST_TEST(under("", work(gpa::checks::never())).reports().empty());
}

BOOST_AUTO_TEST_CASE(thread_safe_decides_whether_another_thread_may_come_in)
{
  const auto work = [](bool safe) {
    return [safe] {
      gpa::resource r({.checks = gpa::checks::always(), .thread_safe = safe, .after_mistake = carry_on});
      void* const p = r.allocate(24);
      std::thread([&] { r.deallocate(r.allocate(8), 8); }).join();
      r.deallocate(p, 24);
    };
  };
  BOOST_TEST(under("thread_safe=0", work(true)).says("[gpa-wrong-thread]"));
  BOOST_TEST(!under("thread_safe=1", work(false)).says("[gpa-wrong-thread]"));
}

BOOST_AUTO_TEST_CASE(memory_limit_limits_each_resource)
{
  const auto work = [](std::size_t limit) {
    return [limit] {
      gpa::resource r({.memory_limit = limit});
      print_answer(r.memory_limit() == 1024 && r.try_allocate(1025) == nullptr);
    };
  };
  BOOST_TEST(under("memory_limit=1k", work(gpa::unlimited)).out == "yes");
  BOOST_TEST(under("", work(1024)).out == "yes");
  BOOST_TEST(under("memory_limit=unlimited", work(1024)).out == "no");
}

BOOST_AUTO_TEST_CASE(quarantine_bytes_decides_when_an_address_comes_again)
{
  const auto work = [](std::size_t quarantine) {
    return [quarantine] {
      gpa::resource r({.checks = gpa::checks::always(), .quarantine_bytes = quarantine, .stack_frames = 0});
      print_answer(addresses_used_again(r) != 0);
    };
  };
  BOOST_TEST(under("quarantine_bytes=0", work(gpa::unlimited)).out == "yes");
  BOOST_TEST(under("quarantine_bytes=unlimited", work(0)).out == "no");
  BOOST_TEST(under("quarantine_bytes=default", [] {
               gpa::resource r({.quarantine_bytes = 0});
               print_answer(r.options().quarantine_bytes >= 16u * 1024);
             }).out == "yes");
}

BOOST_AUTO_TEST_CASE(poison_bytes_decides_which_writes_after_free_are_seen)
{
  const auto work = [](std::size_t poison) {
    return [poison] {
      gpa::resource r({.checks = gpa::checks::always(),
                       .after_mistake = gpa::after_mistake::carry_on,
                       .on_report = [](const gpa::report&) {},
                       .poison_bytes = poison});
      void* const p = r.allocate(4096, 8);
      r.deallocate(p, 4096, 8);
      stray_write(p, 1024);
      print_answer(r.verify() == 1);
    };
  };
  BOOST_TEST(under("poison_bytes=512", work(gpa::unlimited)).out == "no");
  BOOST_TEST(under("poison_bytes=4k", work(gpa::default_poison)).out == "yes");
  BOOST_TEST(under("poison_bytes=unlimited", work(gpa::default_poison)).out == "yes");
}

BOOST_AUTO_TEST_CASE(protect_large_decides_whether_a_freed_large_block_can_be_read)
{
  const auto work = [](gpa::protect_large protect) {
    return [protect] {
      gpa::resource r({.checks = gpa::checks::always(), .protect_large = protect});
      void* const p = r.allocate(100'000, 8);
      r.deallocate(p, 100'000, 8);
      print_answer(is_accessible(p));
    };
  };
  BOOST_TEST(under("protect_large=never", work(gpa::protect_large::always)).out == "yes");
  BOOST_TEST(under("protect_large=always", work(gpa::protect_large::never)).out == "no");
  BOOST_TEST(under("protect_large=auto", work(gpa::protect_large::never)).out == "no");  // the first 2 MiB
  BOOST_TEST(under("", work(gpa::protect_large::never)).out == "yes");
}

BOOST_AUTO_TEST_CASE(stack_frames_decides_how_much_of_a_stack_is_kept)
{
  const auto work = [](std::size_t frames) {
    return [frames] { leak_with({.checks = gpa::checks::always(), .stack_frames = frames}); };
  };
  BOOST_TEST(under("stack_frames=0", work(32)).says("keeps no call stacks"));
  BOOST_TEST(under("stack_frames=32", work(0)).says("    #1 "));
  BOOST_TEST(!under("stack_frames=1", work(32)).says("    #1 "));
}

BOOST_AUTO_TEST_CASE(after_mistake_decides_how_it_ends)
{
  const auto work = [](gpa::after_mistake after) {
    return [after] {
      gpa::resource r({.checks = gpa::checks::always(), .after_mistake = after});
      r.deallocate(reinterpret_cast<void*>(16), 1, 1);
    };
  };
  const std::string words = "note: the program is aborted; with GPA_OPTIONS=after_mistake=carry_on it would go on\n";
  const outcome on = under("after_mistake=carry_on", work(gpa::after_mistake::abort));
  BOOST_TEST(on.status == 0);
  BOOST_TEST(!on.says(words));
  const outcome off = under("after_mistake=abort", work(carry_on));
  BOOST_TEST(off.status == -SIGABRT);
  BOOST_TEST(off.err.ends_with(words));
}

BOOST_AUTO_TEST_CASE(log_operations_decides_whether_each_is_a_line)
{
  const auto work = [](bool log) {
    return [log] {
      gpa::resource r({.log_operations = log});
      r.deallocate(r.allocate(24), 24);
    };
  };
  const outcome on = under("log_operations=1", work(false));
  BOOST_TEST_CONTEXT(on) BOOST_TEST((on.says(": allocate 24 bytes") && on.says(": deallocate 24 bytes")));
  BOOST_TEST(under("log_operations=0", work(true)).err == "");
}

BOOST_AUTO_TEST_CASE(leak_exit_status_is_that_of_a_process_that_leaked)
{
  const auto run = [](std::string options, strings command) {
    return outcome_of([&] {
             forget_surroundings();
             ::setenv("GPA_OPTIONS", options.c_str(), 1);
             ::execl(beside_this("programs/process").c_str(), "process", command[0].c_str(), command[1].c_str(),
                     nullptr);
             ::_exit(127);
           })
        .status;
  };
  BOOST_TEST(run("", {"leaky", "0"}) == 42);
  BOOST_TEST(run("leak_exit_status=7", {"leaky", "0"}) == 7);
  BOOST_TEST(run("leak_exit_status=0", {"leaky", "0"}) == 0);
  BOOST_TEST(run("leak_exit_status=7", {"leaky", "3"}) == 3);
  BOOST_TEST(run("leak_exit_status=7", {"leak", "1"}) == 7);  // process_resource() hears of it, too
}

// ---- who wins ----

BOOST_AUTO_TEST_CASE(options_that_ignore_the_environment_are_final)
{
  BOOST_TEST(under("log_operations=1:memory_limit=1:stack_frames=0", [] {
               gpa::resource r({.stack_frames = 5, .environment = gpa::environment::ignored});
               r.deallocate(r.allocate(24), 24);
               print_answer(r.options().stack_frames == 5 && r.memory_limit() == gpa::unlimited);
             }).err == "");
}

BOOST_AUTO_TEST_CASE(the_variable_is_read_once)
{
  const outcome o = under("stack_frames=3", [] {
    const gpa::resource first;
    ::setenv("GPA_OPTIONS", "stack_frames=4:nonsense=1", 1);
    const gpa::resource second;
    print_answer(first.options().stack_frames == 3 && second.options().stack_frames == 3);
  });
  BOOST_TEST_CONTEXT(o) BOOST_TEST((o.out == "yes" && o.err == ""));
}

BOOST_AUTO_TEST_CASE(reading_it_takes_nothing_from_the_users_heap)
{
  const outcome o = under("stack_frames=8:nonsense=1:help=1:memory_limit=1G:log_path='/dev/stderr'", [] {
    std::pmr::set_default_resource(std::pmr::null_memory_resource());
    heap_calls = 0;
    {
      const gpa::resource r;
    }
    print_answer(heap_calls == 0);
  });
  BOOST_TEST_CONTEXT(o) BOOST_TEST((o.out == "yes" && o.says("nonsense")));
}

boost::test_tools::assertion_result rights_can_be_given(boost::unit_test::test_unit_id)
{
  struct statvfs about = {};
  const bool taken_away = ::statvfs("/tmp", &about) != 0 || (about.f_flag & ST_NOSUID) != 0 ||
                          ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 0;
  return gpa::test::runs_if(!sanitized && ::geteuid() == 0 && !taken_away,
                            "needs root, programs that may change their user, and no sanitizer");
}

BOOST_AUTO_TEST_CASE(a_program_that_runs_with_more_rights_than_its_caller_hears_nothing,
                     *boost::unit_test::precondition(rights_can_be_given))
{
  std::string copy = "/tmp/gpa_setuid_XXXXXX";
  ::close(::mkstemp(copy.data()));
  std::filesystem::copy_file(beside_this("programs/process_static"), copy,
                             std::filesystem::copy_options::overwrite_existing);
  const auto run = [&copy] {
    return outcome_of([&copy] {
             forget_surroundings();
             ::setenv("GPA_OPTIONS", "leak_exit_status=7", 1);
             ::execl(copy.c_str(), copy.c_str(), "leak", "1", nullptr);
             ::_exit(127);
           })
        .status;
  };
  constexpr uid_t nobody = 65534;
  BOOST_TEST((::chmod(copy.c_str(), 0755) == 0 && run() == 7));
  BOOST_TEST((::chown(copy.c_str(), nobody, nobody) == 0 && ::chmod(copy.c_str(), 04755) == 0));
  BOOST_TEST(run() == 0);
  std::filesystem::remove(copy);
}

// ---- what is wrong with it ----

BOOST_AUTO_TEST_CASE(a_wrong_key_is_one_warning_with_the_nearest_name_and_the_rest_holds)
{
  const auto work = [] {
    gpa::resource r;
    gpa::resource another;
    print_answer(r.options().stack_frames == 8);
  };
  const outcome o = under("stack_frmaes=9:stack_frames=8", work);
  BOOST_TEST(o.err == "gpa: warning: GPA_OPTIONS has no key \"stack_frmaes\"; did you mean \"stack_frames\"?\n");
  BOOST_TEST(o.out == "yes");
  BOOST_TEST(o.status == 0);
  BOOST_TEST(under("colour=never", work).says("did you mean \"color\"?"));
  BOOST_TEST(under("quarantine=1MiB", work).says("did you mean \"quarantine_bytes\"?"));
  BOOST_TEST(under("detect_odr_violation=1", work).err ==
             "gpa: warning: GPA_OPTIONS has no key \"detect_odr_violation\"; GPA_OPTIONS=help=1 lists them\n");
}

BOOST_AUTO_TEST_CASE(a_wrong_value_is_one_warning_that_names_key_value_and_what_is_allowed)
{
  const auto warning = [](const char* options) { return under(options, [] { const gpa::resource r; }).err; };
  BOOST_TEST(warning("stack_frames=many") ==
             "gpa: warning: GPA_OPTIONS: stack_frames=many is not understood; allowed: 0..64\n");
  BOOST_TEST(warning("stack_frames=65") ==
             "gpa: warning: GPA_OPTIONS: stack_frames=65 is not understood; allowed: 0..64\n");
  BOOST_TEST(warning("checks=one_in") ==
             "gpa: warning: GPA_OPTIONS: checks=one_in is not understood; allowed: always|never|by_build|one_in(n)\n");
  BOOST_TEST(warning("after_mistake=continue") ==
             "gpa: warning: GPA_OPTIONS: after_mistake=continue is not understood; allowed: abort|carry_on\n");
  BOOST_TEST(warning("help") == "gpa: warning: GPA_OPTIONS: help has no value; allowed: 0|1\n");
  BOOST_TEST(warning("log_path='a b") ==
             "gpa: warning: GPA_OPTIONS: the quote in log_path=a b is not closed; allowed: file\n");
}

BOOST_AUTO_TEST_CASE(strict_makes_what_is_wrong_fatal_wherever_it_stands)
{
  const auto work = [] {
    const gpa::resource r;
    print("went on");
  };
  for (const char* const options : {"strict=1:stack_frmaes=8", "stack_frmaes=8:strict=1", "memory_limit=x:strict=1"}) {
    const outcome o = under(options, work);
    BOOST_TEST_CONTEXT(options << ": " << o)
    {
      BOOST_TEST(o.status == 2);
      BOOST_TEST(o.out == "");
      BOOST_TEST(o.err.starts_with("gpa: error: GPA_OPTIONS"));
    }
  }
  BOOST_TEST(under("strict=1:stack_frames=8", work).out == "went on");
  BOOST_TEST(under("strict=0:stack_frmaes=8", work).out == "went on");
}

// ---- help ----

BOOST_AUTO_TEST_CASE(help_lists_every_key_once_and_goes_on)
{
  const outcome o = under("help=1:memory_limit=64M:checks=one_in(1000)", [] {
    const gpa::resource r;
    const gpa::resource another;
    print("went on");
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.out == "went on");
    BOOST_TEST(o.says("\n  memory_limit       bytes[k|M|G]|unlimited            unlimited  64M "));
    BOOST_TEST(o.says("\n  checks             always|never|by_build|one_in(n)   by_build   one_in(1000) "));
    const std::size_t first = o.err.find("\n  stack_frames ");
    BOOST_TEST(first != std::string::npos);
    BOOST_TEST(o.err.find("\n  stack_frames ", first + 1) == std::string::npos);
  }
}

BOOST_AUTO_TEST_CASE(the_readme_quotes_the_help_as_it_is)
{
  const outcome o = under("help=1", [] { const gpa::resource r; });
  std::ifstream file(GPA_TEST_DIR "/../README.md");
  const std::string readme(std::istreambuf_iterator<char>(file), {});
  BOOST_TEST(o.err.size() > 1'000u);
  BOOST_TEST(readme.find("```\n" + o.err + "```\n") != std::string::npos, o.err);
}
