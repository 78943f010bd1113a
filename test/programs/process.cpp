// process_resource() used before main, in it, in atexit handlers and static destructors; process_resource_test runs
// it and reads what it says. Also built against the static library, as process_static.
//
//   process tidy         everything is freed
//   process leak N       forgets N blocks; and a chain of three that a static variable points at
//   process status S     returns S after printing without a newline; leaks; process_resource() asks for nothing
//   process leaky S      a resource with leak_exit_status = 42 leaks; main returns S
//   process unsaid S     as leaky, nothing leaks
//   process stream S     as leaky, and prints with std::cout alone
//   process waits        as leaky, while another thread waits for standard input
//   process forks        as leaky; tells how a child ends that leaks nothing
//   process asks S       a resource with leak_exit_status = S leaks; main returns 0
//   process late         leaks after main, in a static destructor
//   process quit S       as leaky, ends by exit(S) deep inside
//   process guard N      as leak, and a page of a static array is closed
#include <gpa/resource.hpp>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory_resource>
#include <new>
#include <string_view>
#include <thread>
#include <vector>

namespace {

struct link {
  link* next;
  char filler[56];
};

bool leaks_at_the_end = false;

// Constructed before main, destroyed after it.
struct early_and_late {
  std::pmr::vector<int> numbers{gpa::process_resource()};

  early_and_late()
  {
    if (gpa::process_resource() == nullptr) std::abort();
    numbers.assign(100, 1);
  }
  ~early_and_late()
  {
    numbers.push_back(2);
    if (leaks_at_the_end) static_cast<void>(gpa::process_resource()->allocate(77));
  }
};
early_and_late before_main;

alignas(4096) std::array<char, std::size_t{5} * 4096> stack_with_guard;
link* chain = nullptr;  // what static storage points at is no leak

void in_atexit()
{
  std::pmr::vector<int> more(1000, 3, gpa::process_resource());
  more.push_back(4);
}

void forget(int blocks)
{
  for (int i = 0; i != blocks; ++i) static_cast<void>(gpa::process_resource()->allocate(64));
}

void make_chain()
{
  for (int i = 0; i != 3; ++i)
    chain = new (gpa::process_resource()->allocate(sizeof(link), alignof(link))) link{chain, {}};
}

}  // namespace

int main(int count, char** words)
{
  const std::string_view what = count > 1 ? words[1] : "";
  const int number = count > 2 ? std::atoi(words[2]) : 0;
  std::atexit(in_atexit);
  static early_and_late in_main;
  if (what == "leak") {
    forget(number);
    make_chain();
  }
  if (what == "guard") {
    forget(number);
    make_chain();
    if (::mprotect(stack_with_guard.data(), 4096, PROT_NONE) != 0) return 1;
  }
  if (what == "late") leaks_at_the_end = true;
  if (what == "status") {
    std::printf("no newline");
    forget(1);
    return number;
  }
  if (what == "leaky" || what == "quit" || what == "unsaid" || what == "stream") {
    if (what == "stream") {
      std::ios::sync_with_stdio(false);
      std::cout << "no newline";
    } else {
      std::printf("no newline");
    }
    gpa::resource r({.checks = gpa::checks::always(), .leak_exit_status = 42});
    void* const p = r.allocate(10);
    if (what == "unsaid") r.deallocate(p, 10);
    if (what == "quit") {
      static_cast<void>(r.deinit());
      std::exit(number);
    }
    return number;
  }
  if (what == "waits") {
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0 || ::dup2(ends[0], STDIN_FILENO) != STDIN_FILENO) return 1;
    std::thread([] { static_cast<void>(std::getchar()); }).detach();
    ::usleep(20'000);
    gpa::resource r({.checks = gpa::checks::always(), .leak_exit_status = 42});
    static_cast<void>(r.allocate(10));
  }
  if (what == "forks") {
    {
      gpa::resource r({.checks = gpa::checks::always(), .leak_exit_status = 42});
      static_cast<void>(r.allocate(10));
    }
    const pid_t child = ::fork();
    if (child == 0) std::exit(0);
    int status = -1;
    ::waitpid(child, &status, 0);
    std::printf("the child's status is %d", status);
  }
  if (what == "asks") {
    gpa::resource r({.checks = gpa::checks::always(), .leak_exit_status = number});
    static_cast<void>(r.allocate(10));
  }
  return 0;
}
