// Call stacks of a mixed workload, each taken by gpa and by libgcc's unwinder, and compared.
//
//   every_stack    prints how many were captured and how many differed; exit status 1 if any did
//
// Built without optimisation, with it, and across translation units: capture_test runs each.
#include "support/pmr_workloads.hpp"
#include "support/resident.hpp"

#include "trace/capture.hpp"
#include "trace/depot.hpp"
#include "trace/front_frame.hpp"

#include <pthread.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <new>
#include <stdexcept>
#include <thread>

namespace {

using namespace gpa::detail;

// ThreadSanitizer must be told of fibers, and takes it amiss when a signal handler allocates.
#if defined(__SANITIZE_THREAD__) || GPA_TEST_HAS_FEATURE(thread_sanitizer)
constexpr bool watched_for_races = true;
#else
constexpr bool watched_for_races = false;
#endif

std::atomic<std::size_t> captures{0};
std::atomic<std::size_t> differences{0};

struct unwound {
  std::array<std::uintptr_t, 4'096> frames;
  std::size_t count = 0;
};

_Unwind_Reason_Code on_frame(_Unwind_Context* context, void* argument)
{
  unwound& u = *static_cast<unwound*>(argument);
  const std::uintptr_t ip = _Unwind_GetIP(context);
  if (ip == 0 || u.count == u.frames.size()) return _URC_END_OF_STACK;
  u.frames[u.count++] = ip;
  return _URC_NO_REASON;
}

// What is above `caller` is the same for all captures at one place: the unwinder, the slower by far, goes there once.
[[gnu::noinline]] const unwound& unwind()
{
  static thread_local unwound u;
  u.count = 0;
  _Unwind_Backtrace(on_frame, &u);
  return u;
}

void compare(std::uint32_t id, const unwound& expected, const void* caller, std::size_t limit)
{
  const auto* const end = expected.frames.data() + expected.count;
  const auto* const begin = std::find(static_cast<const std::uintptr_t*>(expected.frames.data()), end,
                                      reinterpret_cast<std::uintptr_t>(caller));
  const auto count = std::min(limit, static_cast<std::size_t>(end - begin));
  const auto found = depot_frames(id);
  ++captures;
  if (found.size() == count && count != 0 && std::equal(found.begin(), found.end(), begin)) return;
  if (differences++ != 0) return;
  std::fprintf(stderr, "the first that differs: %zu frames instead of %zu\n", found.size(), count);
  for (std::size_t i = 0; i != std::max(count, found.size()); ++i)
    std::fprintf(stderr, "  %zu: %lx %lx\n", i, i < found.size() ? found[i] : 0, i < count ? begin[i] : 0);
}

// Twice at one place: walked, then found again; and then with more frames.
[[gnu::noinline]] const unwound& take(const void* caller)
{
  begin_stack_cache();
  const unwound& expected = unwind();
  for (int i = 0; i != 2; ++i) {
    asm volatile("" : "+r"(i));  // not unrolled into two calls
    compare(capture_stack(32, caller), expected, caller, 32);
  }
  compare(capture_stack(max_stack_frames, caller), expected, caller, max_stack_frames);
  compare(capture_stack(3, caller), expected, caller, 3);
  return expected;
}

// As the front door captures, whose frame is the one next to the user's.
[[gnu::always_inline]] inline std::uint32_t captured_at_the_door(std::size_t frames)
{
  const void* const caller = __builtin_return_address(0);
  const std::uint32_t seen = is_own_caller(caller) ? stack_seen_here(frames) : 0;
  return seen != 0 ? seen : stack_from_here(frames, caller);
}

[[gnu::always_inline]] inline void take_at_the_door()
{
  const void* const caller = __builtin_return_address(0);
  const unwound& expected = take(caller);
  for (int i = 0; i != 2; ++i) compare(captured_at_the_door(32), expected, caller, 32);
}

// Stands where gpa::resource stands.
class recorder final : public std::pmr::memory_resource {
  [[gnu::noinline]] void* do_allocate(std::size_t bytes, std::size_t alignment) override
  {
    take_at_the_door();
    return ::operator new(bytes, std::align_val_t(alignment));
  }
  [[gnu::noinline]] void do_deallocate(void* p, std::size_t, std::size_t alignment) override
  {
    take_at_the_door();
    ::operator delete(p, std::align_val_t(alignment));
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};
recorder memory;

[[gnu::noinline]] void use_memory()
{
  memory.deallocate(memory.allocate(40), 40);
  asm volatile("");
}

// ---- what makes frames unusual ----

[[gnu::noinline]] void variable_frame(std::size_t bytes)
{
  auto* const room = static_cast<char*>(__builtin_alloca(bytes));
  room[0] = static_cast<char>(bytes);
  use_memory();
  asm volatile("" : : "r"(room) : "memory");
}

[[gnu::noinline]] void realigned_frame(std::size_t bytes)
{
  alignas(128) std::array<char, 256> aligned = {};
  auto* const room = static_cast<char*>(__builtin_alloca(bytes));
  asm volatile("" : : "r"(room), "r"(aligned.data()) : "memory");
  use_memory();
  variable_frame(bytes);
  asm volatile("" : : "r"(room), "r"(aligned.data()) : "memory");
}

[[gnu::noinline]] void large_frame()
{
  std::array<char, 300'000> room;
  asm volatile("" : : "r"(room.data()) : "memory");
  use_memory();
  asm volatile("" : : "r"(room.data()) : "memory");
}

int by_number(const void* a, const void* b)
{
  use_memory();
  return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}

[[gnu::noinline]] void callbacks()
{
  std::array<int, 40> numbers;
  for (int i = 0; i != 40; ++i) numbers[static_cast<std::size_t>(i)] = i * 17 % 41;
  std::qsort(numbers.data(), numbers.size(), sizeof(int), by_number);
  const std::function<void(int)> again = [&again](int n) {
    use_memory();
    if (n != 0) again(n - 1);
  };
  again(20);
}

struct uses_memory_at_its_end {
  ~uses_memory_at_its_end() { use_memory(); }
};

[[gnu::noinline]] void throw_through(int frames)
{
  const uses_memory_at_its_end here;
  if (frames == 0) throw std::runtime_error("thrown");
  throw_through(frames - 1);
  asm volatile("");
}

[[gnu::noinline]] void exceptions()
{
  for (int i = 0; i != 20; ++i) {
    try {
      try {
        throw_through(i);
      } catch (const std::exception&) {
        use_memory();
        throw;
      }
    } catch (...) {
      use_memory();
    }
    variable_frame(static_cast<std::size_t>(i) * 40 + 1);
  }
}

[[gnu::noinline]] void recurse(unsigned depth)
{
  if (depth % 16 == 0) use_memory();
  if (depth != 0) recurse(depth - 1);
  asm volatile("");
}

// ---- other stacks ----

ucontext_t home;
std::array<ucontext_t, 3> fibers;
alignas(64) std::array<std::array<char, 64 << 10>, 3> fiber_stacks;

void fiber_body(int self)
{
  const auto me = static_cast<std::size_t>(self);
  for (unsigned i = 0; i != 6; ++i) {
    recurse(i * 8);
    variable_frame(100 + i);
    ::swapcontext(&fibers[me], i % 2 == 0 ? &fibers[(me + 1) % fibers.size()] : &home);
  }
  use_memory();
}

[[gnu::noinline]] void run_fibers()
{
  for (int round = 0; round != 3; ++round) {  // each time on the same, used stacks
    for (std::size_t i = 0; i != fibers.size(); ++i) {
      ::getcontext(&fibers[i]);
      fibers[i].uc_stack.ss_sp = fiber_stacks[i].data();
      fibers[i].uc_stack.ss_size = fiber_stacks[i].size() - static_cast<std::size_t>(round) * 4'096;
      fibers[i].uc_link = &home;
      ::makecontext(&fibers[i], reinterpret_cast<void (*)()>(&fiber_body), 1, static_cast<int>(i));
    }
    for (std::size_t i = 0; i != 9; ++i) {
      use_memory();
      ::swapcontext(&home, &fibers[i % fibers.size()]);
    }
  }
}

void on_signal(int)
{
  use_memory();
  recurse(20);
}

[[gnu::noinline]] void signals()
{
  static std::array<char, 128 << 10> room;
  stack_t other = {};
  other.ss_sp = room.data();
  other.ss_size = room.size();
  ::sigaltstack(&other, nullptr);
  for (const int flags : {0, SA_ONSTACK}) {
    struct sigaction action = {};
    action.sa_handler = on_signal;
    action.sa_flags = flags;
    ::sigaction(SIGUSR1, &action, nullptr);
    for (int i = 0; i != 3; ++i) ::raise(SIGUSR1);
  }
}

// ---- the ends of threads and of processes ----

pthread_key_t last_key;

void at_thread_end(void*)
{
  use_memory();
}

[[gnu::noinline]] void mixture()
{
  for (const auto& w : gpa::test::pmr_workloads)
    if (w.run != gpa::test::deep_recursion) w.run(memory);
  unsigned made = 0;
  gpa::test::grow_tree(memory, 8, made);
  for (const std::size_t bytes : {1u, 100u, 5'000u, 60'000u}) {
    variable_frame(bytes);
    realigned_frame(bytes);
  }
  large_frame();
  callbacks();
  exceptions();
  recurse(200);
  recurse(40);
}

void in_thread()
{
  thread_local uses_memory_at_its_end at_the_end;
  static_cast<void>(at_the_end);
  ::pthread_setspecific(last_key, &last_key);
  mixture();
  end_stack_cache();  // as at a thread's end: what comes is walked
  recurse(30);
}

void in_child()
{
  const pid_t child = ::fork();
  if (child == 0) {
    captures = 0;
    recurse(100);
    callbacks();
    ::_exit(differences == 0 && captures != 0 ? 0 : 1);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
    ++differences;
}

struct last_words {
  ~last_words()
  {
    use_memory();
    std::printf("%zu captures, %zu differed\n", captures.load(), differences.load());
    std::fflush(stdout);
    if (differences != 0) ::_exit(1);
  }
};
const last_words reported;

}  // namespace

int main()
{
  ::pthread_key_create(&last_key, at_thread_end);
  std::thread first(in_thread);
  mixture();
  if (!watched_for_races) {
    run_fibers();
    signals();
  }
  first.join();
  std::thread(in_thread).join();
  in_child();
  std::atexit(use_memory);
  return 0;
}
