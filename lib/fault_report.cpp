#include "fault_report.hpp"

#include "base/tools.hpp"
#include "checked/fill.hpp"
#include "checked/judge.hpp"
#include "checked/poison.hpp"
#include "environment.hpp"
#include "os/threads.hpp"
#include "reporter.hpp"
#include "trace/capture.hpp"
#include "trace/depot.hpp"
#include "trace/interned.hpp"

#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>

namespace gpa::detail {

namespace {

constexpr std::size_t frames_of_fault = 32;  // whatever resources keep: this stack costs nothing but itself
constexpr greg_t write_access = 2;           // a bit of the error code of a page fault

constinit std::atomic<bool> asked_for{false};
constinit std::atomic<bool> telling{false};

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

std::optional<gpa::report> explanation(const siginfo_t& info, const ucontext_t& context) noexcept
{
  const auto& registers = context.uc_mcontext.gregs;
  if (info.si_code == SEGV_MAPERR || info.si_code == SEGV_ACCERR)
    return report_of_access(info.si_addr, (registers[REG_ERR] & write_access) != 0);
  if (info.si_code != SI_KERNEL) return {};
  std::array<std::uintptr_t, REG_RIP + 1> values{};
  std::transform(registers, registers + values.size(), values.begin(),
                 [](greg_t value) { return static_cast<std::uintptr_t>(value); });
  return report_of_poison(values);
}

// Returns to the instruction, which then ends the process as if nobody had been here.
void on_fault(int, siginfo_t* info, void* context) noexcept
{
  const int error = errno;
  const auto& where = *static_cast<const ucontext_t*>(context);
  if (auto r = explanation(*info, where)) {
    while (telling.exchange(true, std::memory_order_relaxed)) ::pause();  // until another thread's fault has been told
    r->here =
        gpa::stack_trace(stack_at(static_cast<std::uintptr_t>(where.uc_mcontext.gregs[REG_RIP])), this_thread_number());
    tell_of_fault(*r);
  }
  struct sigaction as_ever = {};
  as_ever.sa_handler = SIG_DFL;
  ::sigaction(SIGSEGV, &as_ever, nullptr);
  if (info->si_code <= 0) ::raise(SIGSEGV);  // it was sent, and there is no such instruction
  errno = error;
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

std::optional<gpa::report> report_of_poison(std::span<const std::uintptr_t> registers) noexcept
{
  for (const std::uintptr_t value : registers) {
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
  struct sigaction now = {};
  if (::sigaction(SIGSEGV, nullptr, &now) != 0 || (now.sa_flags & SA_SIGINFO) != 0 || now.sa_handler != SIG_DFL) return;
  now.sa_sigaction = on_fault;
  now.sa_flags = SA_SIGINFO;  // on the stack that faulted: an alternate one may be small
  ::sigemptyset(&now.sa_mask);
  ::sigaction(SIGSEGV, &now, nullptr);
}

}  // namespace gpa::detail
