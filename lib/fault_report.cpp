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

// False: this thread tells of another fault already, and met this one on the way. Of other threads the first alone
// returns, until it ends the process.
bool may_tell() noexcept
{
  const std::uint64_t me = this_thread();
  std::uint64_t other = 0;
  while (!teller.compare_exchange_strong(other, me, std::memory_order_relaxed)) {
    if (other == me) return false;
    if (other >> 32 != me >> 32) continue;  // a thread of the parent, when this process was forked
    ::pause();
    other = 0;
  }
  return true;
}

// Somebody else's lock may be held for ever: the fault was in malloc.
void end_in_the_end() noexcept
{
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGSEGV;
  timer_t timer = {};
  const itimerspec patience = {.it_interval = {}, .it_value = {.tv_sec = most_seconds, .tv_nsec = 0}};
  if (::timer_create(CLOCK_MONOTONIC, &event, &timer) == 0) ::timer_settime(timer, 0, &patience, nullptr);
}

void tell(gpa::report& r, int signal, std::uintptr_t pc) noexcept
{
  r.here = gpa::stack_trace(stack_at(pc), this_thread_number());
  end_in_the_end();
  sigset_t faults;
  ::sigemptyset(&faults);
  ::sigaddset(&faults, SIGSEGV);
  ::pthread_sigmask(SIG_UNBLOCK, &faults, nullptr);
  tell_of_fault(r, signal);
  ::pthread_sigmask(SIG_BLOCK, &faults, nullptr);
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
  const auto& where = *static_cast<const ucontext_t*>(context);
  auto r = explanation(signal, *info, where);
  if (r && may_tell()) {
    const auto pc = static_cast<std::uintptr_t>(where.uc_mcontext.gregs[REG_RIP]);
    on_own_stack([&] { tell(*r, signal, pc); }, signals::are_blocked);
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
