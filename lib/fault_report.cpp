#include "fault_report.hpp"

#include "base/tools.hpp"
#include "checked/fill.hpp"
#include "checked/judge.hpp"
#include "checked/poison.hpp"
#include "environment.hpp"
#include "fault_operands.hpp"
#include "os/own_stack.hpp"
#include "os/threads.hpp"
#include "reporter.hpp"
#include "trace/capture.hpp"
#include "trace/depot.hpp"
#include "trace/interned.hpp"

#include <pthread.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <ctime>

namespace gpa::detail {

namespace {

constexpr std::size_t frames_of_fault = 32;  // whatever resources keep: this stack costs nothing but itself
constexpr time_t most_seconds = 30;          // for a report
constexpr greg_t write_access = 2;           // a bit of the error code of a page fault

constinit std::atomic<bool> asked_for{false};
constinit std::atomic<std::uint64_t> teller{0};

// Of eight times the byte, but for what was added to it: a member's offset.
bool is_made_of(std::uintptr_t value, unsigned char byte) noexcept
{
  constexpr std::uintptr_t repeated = 0x0101010101010101;
  return (value ^ repeated * byte) >> 16 == 0;
}

gpa::report report_of_pointer(mistake kind, std::string_view reason) noexcept
{
  gpa::report r;
  r.kind = kind;
  r.reason = reason;
  return r;
}

// Frames are named by the byte in front of them, where the call is. This one is no call.
std::uint32_t stack_at(std::uintptr_t pc) noexcept
{
  const std::uint32_t id = capture_stack(frames_of_fault, reinterpret_cast<const void*>(pc));
  const auto found = depot_frames(id);
  if (found.empty() || found.front() != pc) return id;
  std::array<std::uintptr_t, max_stack_frames> frames{};
  const std::size_t count = std::min(found.size(), frames.size());
  std::copy_n(found.begin(), count, frames.begin());
  ++frames.front();
  return depot_intern(std::span(frames).first(count));
}

std::optional<gpa::report> explanation(int signal, const siginfo_t& info, const ucontext_t& context) noexcept
{
  const auto& registers = context.uc_mcontext.gregs;
  if (signal == SIGSEGV && (info.si_code == SEGV_MAPERR || info.si_code == SEGV_ACCERR))
    return report_of_access(info.si_addr, (registers[REG_ERR] & write_access) != 0);
  if (info.si_code != SI_KERNEL) return {};
  const auto value = [&](int name) { return static_cast<std::uintptr_t>(registers[name]); };
  const std::array<std::uintptr_t, 1> pc{value(REG_RIP)};
  if (auto r = report_of_poison(pc)) return r;
  const fault_operands operands(
      reinterpret_cast<const std::uint8_t*>(pc.front()),
      {value(REG_RAX), value(REG_RCX), value(REG_RDX), value(REG_RBX), value(REG_RSP), value(REG_RBP), value(REG_RSI),
       value(REG_RDI), value(REG_R8), value(REG_R9), value(REG_R10), value(REG_R11), value(REG_R12), value(REG_R13),
       value(REG_R14), value(REG_R15)});
  return report_of_poison(operands.values());
}

// Process and thread.
std::uint64_t this_thread() noexcept
{
  return std::uint64_t{static_cast<std::uint32_t>(::getpid())} << 32 | static_cast<std::uint32_t>(::gettid());
}

// For the first thread alone, which ends the process. Others wait for that.
void wait_for_others() noexcept
{
  const std::uint64_t me = this_thread();
  std::uint64_t other = 0;
  while (!teller.compare_exchange_strong(other, me, std::memory_order_relaxed)) {
    if (other >> 32 != me >> 32) continue;  // a thread of the parent, when this process was forked
    ::pause();
    other = 0;
  }
}

// Naming frames may wait for ever for a lock that this thread holds, where the fault was in malloc.
void end_in_the_end() noexcept
{
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGSEGV;
  event._sigev_un._tid = ::gettid();  // glibc 2.35 has no other name for it
  timer_t timer = {};
  constexpr timespec patience = {.tv_sec = most_seconds, .tv_nsec = 0};
  constexpr itimerspec again = {.it_interval = patience, .it_value = patience};
  if (::timer_create(CLOCK_MONOTONIC, &event, &timer) == 0) ::timer_settime(timer, 0, &again, nullptr);
}

// Whose fault is told may have a broken stack. With the compiler's own jump: the C library's, as distributions have
// programs built, asks whether it leads further out, and there are two stacks.
std::array<void*, 5> way_back{};

// On a stack of ours. False: it met a fault itself, and was left.
template <class F>
[[gnu::noinline]] bool try_to(F f) noexcept
{
  if (__builtin_setjmp(way_back.data()) != 0) return false;
  sigset_t faults;
  ::sigemptyset(&faults);
  for (const int signal : {SIGSEGV, SIGBUS}) ::sigaddset(&faults, signal);
  ::pthread_sigmask(SIG_UNBLOCK, &faults, nullptr);
  on_own_stack(f, signals::are_blocked);
  ::pthread_sigmask(SIG_BLOCK, &faults, nullptr);
  return true;
}

[[noreturn]] void go_back() noexcept
{
  __builtin_longjmp(way_back.data(), 1);
}

void tell(gpa::report& r, int signal, std::uintptr_t pc) noexcept
{
  end_in_the_end();
  std::uint32_t stack = 0;
  if (!try_to([&] { stack = stack_at(pc); })) stack = depot_intern(std::array{pc + 1});
  r.here = gpa::stack_trace(stack, this_thread_number());
  try_to([&] { tell_of_fault(r, signal); });
}

// Returns to the instruction, where the same signal waits. (To meet the fault again is not enough: another thread may
// have made the address accessible, and a signal that was sent has no such instruction.) Nothing is put back: no
// handler of the program's, and no cancellation, may take the thread elsewhere on its way.
void on_fault(int signal, siginfo_t* info, void* context) noexcept
{
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);  // again, for a handler of the program's that calls this one
  ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
  if (teller.load(std::memory_order_relaxed) == this_thread()) go_back();
  const auto& where = *static_cast<const ucontext_t*>(context);
  if (auto r = explanation(signal, *info, where)) {
    wait_for_others();
    tell(*r, signal, static_cast<std::uintptr_t>(where.uc_mcontext.gregs[REG_RIP]));
  }
  struct sigaction as_ever = {};
  as_ever.sa_handler = SIG_DFL;
  ::sigaction(signal, &as_ever, nullptr);
  if (::syscall(SYS_rt_tgsigqueueinfo, ::getpid(), ::gettid(), signal, info) != 0 && info->si_code <= 0)
    ::raise(signal);
}

void explain(int signal) noexcept
{
  struct sigaction now = {};
  if (::sigaction(signal, nullptr, &now) != 0 || (now.sa_flags & SA_SIGINFO) != 0 || now.sa_handler != SIG_DFL) return;
  now.sa_sigaction = on_fault;
  now.sa_flags = SA_SIGINFO;  // on the stack that faulted: an alternate one may be small
  ::sigfillset(&now.sa_mask);
  ::sigaction(signal, &now, nullptr);
}

}  // namespace

std::optional<gpa::report> report_of_access(const void* address, bool writes) noexcept
{
  const judgement j = judge(address, 0, 0, nullptr);
  const bool freed =
      j.place == pointer_place::inside_freed || (j.place == pointer_place::start && j.kind == mistake::double_free);
  if (!freed) return {};
  gpa::report r = report_of(j, *j.belongs_to, j.block, 0, 0);
  r.kind = mistake::use_after_free;
  r.reason = writes ? "write" : "read";
  return r;
}

std::optional<gpa::report> report_of_poison(std::span<const std::uintptr_t> pointers) noexcept
{
  for (const std::uintptr_t value : pointers) {
    if (is_made_of(value, poison_byte))
      return report_of_pointer(
          mistake::use_after_free,
          interned_format("0x%x is followed as a pointer: freed blocks, and new ones, are filled with 0x%X", value,
                          poison_byte));
    if (is_made_of(value, redzone_byte))
      return report_of_pointer(
          mistake::overflow,
          interned_format("0x%x is followed as a pointer: behind blocks stand bytes of 0x%X", value, redzone_byte));
  }
  return {};
}

void explain_faults() noexcept
{
  if (asked_for.exchange(true, std::memory_order_relaxed)) return;
  if (!environment_settings().explain_faults || tools_present()) return;
  explain(SIGSEGV);
  explain(SIGBUS);  // by a pointer in rbp, or in rsp
}

}  // namespace gpa::detail
