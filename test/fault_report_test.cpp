// What SIGSEGV says before it ends the process: whose freed block it was, or whose bytes were taken for a pointer.
#define BOOST_TEST_MODULE fault_report
#include "fault_report.hpp"

#include "support/faults.hpp"
#include "support/governed.hpp"

#include <boost/test/unit_test.hpp>

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace gpa::test;
using namespace gpa::detail;

[[gnu::noinline]] void write_to(void* p, std::ptrdiff_t offset)
{
  stray_write(p, offset);
  STAY;
}

// Through a pointer that stands at the beginning of a block.
[[gnu::noinline]] void follow(void* p)
{
  void* pointer = nullptr;
  for (std::size_t i = 0; i != sizeof pointer; ++i)
    reinterpret_cast<unsigned char*>(&pointer)[i] = stray_read(p, static_cast<std::ptrdiff_t>(i));
  read_from(pointer, 24);
}

}  // namespace

BOOST_AUTO_TEST_CASE(an_access_to_a_freed_large_block_is_told_with_its_three_stacks, RUNS_WITHOUT_ASAN)
{
  for (const bool writes : {false, true}) {
    const outcome o = outcome_of([writes] {
      gpa::resource r(options_named("orders"));
      void* const p = freed_large_block(r);
      writes ? write_to(p, 123) : static_cast<void>(read_from(p, 123));
    });
    BOOST_TEST_CONTEXT(o)
    {
      BOOST_TEST(o.status == -SIGSEGV);
      BOOST_TEST(o.reports() == std::vector<std::string>{"use-after-free"});
      BOOST_TEST(o.says(writes ? ": write at offset 123 of a freed 40000-byte block at 0x"
                               : ": read at offset 123 of a freed 40000-byte block at 0x"));
      const std::size_t here = o.err.find(writes ? "in (anonymous namespace)::write_to(" : "in gpa::test::read_from(");
      const std::size_t freed = o.err.find("note: freed here");
      const std::size_t freed_by = o.err.find("in gpa::test::discard(");
      const std::size_t allocated = o.err.find("note: allocated here, with size 40000 and alignment 16");
      const std::size_t allocated_by = o.err.find("in gpa::test::obtain(");
      BOOST_TEST(allocated_by != std::string::npos);
      BOOST_TEST((here < freed && freed < freed_by && freed_by < allocated && allocated < allocated_by));
      BOOST_TEST(o.says("    resource \"orders\": the access was stopped; see README.md#use-after-free\n"));
      BOOST_TEST(o.err.ends_with(last_line));
    }
  }
}

BOOST_AUTO_TEST_CASE(the_place_is_named_where_resources_keep_no_call_stacks, RUNS_WITHOUT_ASAN)
{
  const outcome o = outcome_of([] {
    gpa::options wish = options_named("orders");
    wish.stack_frames = 0;
    gpa::resource r(wish);
    std::thread([p = freed_large_block(r)] { read_from(p, 0); }).join();
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == -SIGSEGV);
    BOOST_TEST(o.reports() == std::vector<std::string>{"use-after-free"});
    BOOST_TEST(o.says("in gpa::test::read_from("));
    BOOST_TEST(!o.says("in main "));  // another thread's
  }
}

BOOST_AUTO_TEST_CASE(a_pointer_out_of_freed_memory_is_told, RUNS_WITHOUT_ASAN)
{
  const outcome o = outcome_of([] {
    gpa::resource r(options_named("orders"));
    void* const p = obtain(r, 64);
    discard(r, p, 64);
    follow(p);
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == -SIGSEGV);
    BOOST_TEST(o.reports() == std::vector<std::string>{"use-after-free"});
    BOOST_TEST(
        o.says(" is followed as a pointer: freed blocks, and new ones, are filled with 0xDF [gpa-use-after-free]\n"));
    BOOST_TEST(o.says("error: use after free: 0xdfdfdfdfdfdfdf"));
    BOOST_TEST(o.says("in gpa::test::read_from("));
    BOOST_TEST(o.says("in (anonymous namespace)::follow("));
    BOOST_TEST(o.says("    the access was stopped; see README.md#use-after-free\n"));
    BOOST_TEST(o.err.ends_with(last_line));
  }
}

BOOST_AUTO_TEST_CASE(a_function_pointer_in_freed_memory_is_told, RUNS_WITHOUT_ASAN)
{
  const outcome o = outcome_of([] {
    gpa::resource r(options_named("orders"));
    void* const p = obtain(r, 64);
    discard(r, p, 64);
    asm volatile("call *8(%0)" : : "r"(p) : "memory");
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == -SIGSEGV);
    BOOST_TEST(o.says("error: use after free: 0xdfdfdfdfdfdfdfdf is followed as a pointer"));
  }
}

BOOST_AUTO_TEST_CASE(a_pointer_from_behind_a_block_is_told, RUNS_WITHOUT_ASAN)
{
  const outcome o = outcome_of([] {
    gpa::resource r(options_named("orders"));
    follow(static_cast<std::byte*>(obtain(r, 100)) + 100);
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == -SIGSEGV);
    BOOST_TEST(o.reports() == std::vector<std::string>{"overflow"});
    BOOST_TEST(o.says(" is followed as a pointer: behind blocks stand bytes of 0xD5 [gpa-overflow]\n"));
    BOOST_TEST(o.says("    the access was stopped; see README.md#overflow\n"));
  }
}

BOOST_AUTO_TEST_CASE(of_two_threads_that_fault_at_once_both_or_one_is_told_in_full, RUNS_WITHOUT_ASAN)
{
  for (int i = 0; i != 20; ++i) {
    const outcome o = outcome_of([] {
      gpa::resource r(options_named("orders"));
      void* const p = freed_large_block(r);
      std::array<std::thread, 2> threads;
      for (std::thread& t : threads) t = std::thread([p] { read_from(p, 8); });
      for (std::thread& t : threads) t.join();
    });
    BOOST_TEST_CONTEXT(o)
    {
      BOOST_TEST(o.status == -SIGSEGV);
      BOOST_TEST(o.reports() == std::vector<std::string>{"use-after-free"});
      BOOST_TEST(o.err.ends_with(last_line));
    }
  }
}

// ---- where there is nothing to say ----

BOOST_AUTO_TEST_CASE(other_faults_end_the_process_without_a_word, RUNS_WITHOUT_ASAN)
{
  const auto silent = [](auto work) {
    const outcome o = outcome_of([&] {
      gpa::resource r(options_named("orders"));
      freed_large_block(r);
      work(r);
    });
    BOOST_TEST_CONTEXT(o) BOOST_TEST((o.status == -SIGSEGV && o.err.empty()));
  };
  silent([](gpa::resource&) { read_from(unknown<void*>(nullptr), 0); });
  silent([](gpa::resource&) { read_from(::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 0); });
  silent([](gpa::resource& r) {  // alive, and closed by the program itself
    void* const p = obtain(r, 70'000, 4096);
    if (::mprotect(p, 4096, PROT_NONE) == 0) read_from(p, 0);
  });
  silent([](gpa::resource&) { read_from(reinterpret_cast<void*>(unknown(std::uintptr_t{0xABAB'ABAB'ABAB'ABAB})), 0); });
  silent([](gpa::resource&) {  // a register that nothing is done with, and an instruction that faults by itself
    asm volatile("mov %0, %%rcx\n\thlt" : : "r"(0xDFDF'DFDF'DFDF'DFDF) : "rcx");
  });
  silent([](gpa::resource&) { ::raise(SIGSEGV); });
  silent([](gpa::resource&) {  // as if the address could be used by now
    siginfo_t told = {};
    told.si_signo = SIGSEGV;
    told.si_code = SEGV_MAPERR;
    ::syscall(SYS_rt_tgsigqueueinfo, ::getpid(), ::gettid(), SIGSEGV, &told);
  });
  silent([](gpa::resource&) {
    ::kill(::getpid(), SIGSEGV);
    for (;;) ::pause();
  });
}

BOOST_AUTO_TEST_CASE(a_program_that_handles_the_signal_keeps_its_handler)
{
  const outcome o = outcome_of([] {
    std::signal(SIGSEGV, [](int) { ::_exit(7); });
    gpa::resource r(options_named("orders"));
    read_from(freed_large_block(r), 0);
  });
  BOOST_TEST_CONTEXT(o)
  {
    if (!GPA_TEST_ASAN) BOOST_TEST(o.status == 7);
    BOOST_TEST(o.reports().empty());
  }
}

BOOST_AUTO_TEST_CASE(explain_faults_0_changes_nothing, RUNS_WITHOUT_ASAN)
{
  const auto work = [] {
    gpa::resource r(options_named("orders"));
    read_from(freed_large_block(r), 0);
  };
  const outcome without = under("explain_faults=0", work);
  BOOST_TEST_CONTEXT(without) BOOST_TEST((without.status == -SIGSEGV && without.err.empty()));
  BOOST_TEST(under("explain_faults=1", work).says("use after free"));
}

// So a test framework that handles faults where nobody else does may have a resource of static storage beside it.
BOOST_AUTO_TEST_CASE(there_is_no_handler_before_a_block_may_be_checked)
{
  const outcome o = outcome_of([] {
    const auto handled = [] {
      struct sigaction now = {};
      return ::sigaction(SIGSEGV, nullptr, &now) != 0 || now.sa_handler != SIG_DFL;
    };
    gpa::resource unchecked({.checks = gpa::checks::never()});
    unchecked.deallocate(unchecked.allocate(24), 24);
    gpa::resource r({.checks = gpa::checks::always()});
    if (handled()) ::_exit(3);
    r.deallocate(r.allocate(24), 24);
    if (!handled() && !sanitized) ::_exit(4);
  });
  BOOST_TEST(o.status == 0, o);
}

// ---- what is known of an address ----

BOOST_AUTO_TEST_CASE(only_an_access_to_a_freed_block_has_a_report)
{
  gpa::resource r(options_named("orders"));
  for (const std::size_t bytes : {std::size_t{24}, large}) {
    auto* const p = static_cast<std::byte*>(obtain(r, bytes));
    BOOST_TEST(!report_of_access(p, true).has_value());
    BOOST_TEST(!report_of_access(p + 5, false).has_value());
    discard(r, p, bytes);
    for (const std::size_t offset : {std::size_t{0}, std::size_t{5}}) {
      const auto told = report_of_access(p + offset, offset == 0);
      BOOST_TEST_REQUIRE(told.has_value());
      BOOST_TEST((told->kind == gpa::mistake::use_after_free));
      BOOST_TEST(told->resource == "orders");
      BOOST_TEST(told->reason == (offset == 0 ? "write" : "read"));
      BOOST_TEST(told->address == p);
      BOOST_TEST(told->bytes == bytes);
      BOOST_TEST(told->offset == offset);
      BOOST_TEST(!told->allocated.empty());
      BOOST_TEST(!told->freed.empty());
    }
  }
  int other = 0;
  BOOST_TEST(!report_of_access(nullptr, false).has_value());
  BOOST_TEST(!report_of_access(&other, false).has_value());
}

BOOST_AUTO_TEST_CASE(a_register_that_holds_poison_or_a_little_more_is_recognised)
{
  const auto kind_of = [](std::uintptr_t value) {
    const std::array<std::uintptr_t, 3> registers{1, value, 0};
    const auto r = report_of_poison(registers);
    return r.has_value() ? to_string(r->kind) : std::string_view("nothing");
  };
  BOOST_TEST(kind_of(0xDFDF'DFDF'DFDF'DFDF) == "use after free");
  BOOST_TEST(kind_of(0xDFDF'DFDF'DFDF'FFFF) == "use after free");
  BOOST_TEST(kind_of(0xD5D5'D5D5'D5D5'D5E5) == "overflow");
  BOOST_TEST(kind_of(0xDFDF'DFDF'DFE0'DFDF) == "nothing");
  BOOST_TEST(kind_of(0x0000'7FDF'DFDF'DFDF) == "nothing");
}
