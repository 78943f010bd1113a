// SIGSEGV is explained wherever the thread is, and whatever others do meanwhile; and it ends the process.
#define BOOST_TEST_MODULE fault_ending
#include "support/faults.hpp"
#include "support/outcome.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <csetjmp>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <thread>

// As compilers use rbp where no frame needs it.
asm(R"(
  .pushsection .text
  .type follow_in_rbp, @function
follow_in_rbp:
  .cfi_startproc
  pushq %rbp
  .cfi_def_cfa_offset 16
  .cfi_offset %rbp, -16
  movq %rdi, %rbp
  movq 8(%rbp), %rax
  popq %rbp
  .cfi_def_cfa_offset 8
  ret
  .cfi_endproc
  .size follow_in_rbp, .-follow_in_rbp
  .type lose_frame, @function
lose_frame:
  .cfi_startproc
  pushq %rbp
  .cfi_def_cfa_offset 16
  .cfi_offset %rbp, -16
  movq %rsp, %rbp
  .cfi_def_cfa_register %rbp
  movq %rdi, %rbp
  movq (%rdi), %rax
  leave
  ret
  .cfi_endproc
  .size lose_frame, .-lose_frame
  .popsection
)");
extern "C" void follow_in_rbp(std::uintptr_t pointer);
extern "C" void lose_frame(std::uintptr_t pointer);  // the same, and no unwinder finds the caller

using namespace gpa::test;

BOOST_AUTO_TEST_CASE(little_room_on_the_stack_is_enough, RUNS_WITHOUT_SANITIZERS)
{
  const auto told = [](auto work) {
    const outcome o = outcome_of([&] {
      gpa::resource r(options_named("orders"));
      work(freed_large_block(r));
    });
    BOOST_TEST_CONTEXT(o)
    {
      BOOST_TEST(o.status == -SIGSEGV);
      BOOST_TEST(o.says("in gpa::test::read_from("));
      BOOST_TEST(o.err.ends_with(last_line));
    }
  };
  told([](void* p) {
    pthread_attr_t attributes;
    pthread_t thread{};
    ::pthread_attr_init(&attributes);
    ::pthread_attr_setstacksize(&attributes, static_cast<std::size_t>(PTHREAD_STACK_MIN));
    const auto run = [](void* at) -> void* { return read_from(at, 0), nullptr; };
    if (::pthread_create(&thread, &attributes, run, p) == 0) ::pthread_join(thread, nullptr);
  });
  told([](void* p) {  // a handler of the program's that calls the one that was there, on its own stack
    static struct sigaction before = {};
    stack_t stack = {.ss_sp = ::mmap(nullptr, 9 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
                     .ss_flags = 0,
                     .ss_size = 8 * 1024};
    ::mprotect(stack.ss_sp, 4096, PROT_NONE);
    stack.ss_sp = static_cast<std::byte*>(stack.ss_sp) + 4096;
    ::sigaltstack(&stack, nullptr);
    struct sigaction chain = {};
    chain.sa_sigaction = [](int s, siginfo_t* i, void* c) { before.sa_sigaction(s, i, c); };
    chain.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    ::sigaction(SIGSEGV, &chain, &before);
    read_from(p, 0);
  });
}

BOOST_AUTO_TEST_CASE(no_other_handler_takes_the_thread_elsewhere, RUNS_WITHOUT_ASAN)
{
  const outcome o = outcome_of([] {
    static sigjmp_buf elsewhere;
    gpa::resource r(options_named("orders"));
    void* const p = freed_large_block(r);
    std::signal(SIGALRM, [](int) { siglongjmp(elsewhere, 1); });
    if (sigsetjmp(elsewhere, 1) == 0) {
      const itimerval soon{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_usec = 300}};
      ::setitimer(ITIMER_REAL, &soon, nullptr);
    }  // if it comes before the fault, here once more
    read_from(p, 0);
  });
  BOOST_TEST_CONTEXT(o) BOOST_TEST((o.status == -SIGSEGV && o.err.ends_with(last_line)));
}

BOOST_AUTO_TEST_CASE(threads_that_fault_and_are_cancelled_do_not_end_the_process_otherwise, RUNS_WITHOUT_ASAN)
{
  const outcome o = outcome_of([] {
    gpa::resource r(options_named("orders"));
    void* const p = freed_large_block(r);
    std::array<pthread_t, 4> threads{};
    for (pthread_t& t : threads)
      ::pthread_create(
          &t, nullptr, [](void* at) -> void* { return read_from(at, 0), nullptr; }, p);
    for (const pthread_t t : threads) ::pthread_cancel(t);
    for (const pthread_t t : threads) ::pthread_join(t, nullptr);
  });
  BOOST_TEST_CONTEXT(o) BOOST_TEST((o.status == -SIGSEGV && o.err.ends_with(last_line)));
}

BOOST_AUTO_TEST_CASE(a_child_forked_while_a_fault_is_told_ends_by_its_own, RUNS_WITHOUT_SANITIZERS)
{
  for (const useconds_t later : {200U, 500U, 1000U, 2000U}) {
    std::array<int, 2> alive{};
    BOOST_TEST_REQUIRE(::pipe(alive.data()) == 0);
    const outcome o = outcome_of([later] {
      gpa::resource r(options_named("orders"));
      void* const p = freed_large_block(r);
      const std::jthread first([p] { read_from(p, 0); });
      ::usleep(later);
      static_cast<void>(::fork());
      read_from(p, 0);
    });
    ::close(alive[1]);
    pollfd ended{.fd = alive[0], .events = POLLIN, .revents = 0};
    BOOST_TEST_CONTEXT(o) BOOST_TEST((o.status == -SIGSEGV && ::poll(&ended, 1, 20'000) == 1));
    ::close(alive[0]);
  }
}

BOOST_AUTO_TEST_CASE(a_pointer_in_rbp_ends_the_process_by_another_signal, RUNS_WITHOUT_ASAN)
{
  const outcome o = outcome_of([] {
    gpa::resource r(options_named("orders"));
    freed_large_block(r);
    follow_in_rbp(0xDFDF'DFDF'DFDF'DFDF);
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == -SIGBUS);
    BOOST_TEST(o.says("error: use after free: 0xdfdfdfdfdfdfdfdf is followed as a pointer"));
    BOOST_TEST(o.err.ends_with("note: the program ends by SIGBUS, as it would without gpa\n"));
  }
}

BOOST_AUTO_TEST_CASE(a_fault_is_told_though_the_stack_is_broken, RUNS_WITHOUT_ASAN)
{
  const outcome o = outcome_of([] {
    gpa::resource r(options_named("orders"));
    freed_large_block(r);
    lose_frame(0xDFDF'DFDF'DFDF'DFDF);
  });
  BOOST_TEST_CONTEXT(o)
  {
    BOOST_TEST(o.status == -SIGSEGV);
    BOOST_TEST(o.says("error: use after free: 0xdfdfdfdfdfdfdfdf is followed as a pointer"));
    BOOST_TEST(o.says("in lose_frame"));
    BOOST_TEST(o.err.ends_with(last_line));
  }
}
