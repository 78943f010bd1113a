// Counts what a piece of work asks of the system: its calls about memory and waiting, and its page faults.
//
// The work runs in a child that this process traces: each call stops it, and is told by its number. Two signals that the
// child sends itself say where counting begins and ends; what it does outside, and any other call, is not looked at.
#pragma once

#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <map>
#include <numeric>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

namespace gpa::test {

struct asked {
  bool could_trace = false;
  bool ended_well = false;
  std::map<std::string_view, long> calls;
  long page_faults = 0;

  /// "madvise 2, mmap 1", or "nothing".
  [[nodiscard]] std::string text() const
  {
    std::string all;
    for (const auto& [name, count] : calls)
      all += (all.empty() ? "" : ", ") + std::string(name) + ' ' + std::to_string(count);
    return all.empty() ? "nothing" : all;
  }
  [[nodiscard]] long total() const
  {
    return std::accumulate(calls.begin(), calls.end(), 0L, [](long sum, const auto& one) { return sum + one.second; });
  }
};

namespace detail {

inline constexpr std::array<std::pair<long, std::string_view>, 10> counted_calls{{
    {SYS_mmap, "mmap"},
    {SYS_munmap, "munmap"},
    {SYS_mprotect, "mprotect"},
    {SYS_madvise, "madvise"},
    {SYS_mremap, "mremap"},
    {SYS_brk, "brk"},
    {SYS_futex, "futex"},
    {SYS_sched_yield, "sched_yield"},
    {SYS_process_vm_readv, "process_vm_readv"},
    {SYS_clock_gettime, "clock_gettime"},
}};

inline constexpr int border = SIGUSR1;

inline long minor_faults() noexcept
{
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  return used.ru_minflt;
}

}  // namespace detail

/// `prepare` returns what `work` is called with; only the latter is counted. Before that it runs `uncounted` times, called
/// from the same place: call stacks that are met for the first time take pages, more or fewer by where the program was loaded.
template <class Prepare, class Work>
[[nodiscard]] asked asked_of_system(Prepare prepare, Work work, int uncounted = 0)
{
  asked seen;
  void* const place = ::mmap(nullptr, sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (place == MAP_FAILED) return seen;
  auto& faults = *static_cast<long*>(place);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(9);
    auto prepared = prepare();
    std::signal(detail::border, SIG_IGN);
    faults = detail::minor_faults();  // whatever it touches itself is touched
    long before = 0;
    for (int left = uncounted; left >= 0; --left) {
      asm volatile("" : "+r"(left));  // one call of `work` for all, not one taken out of the loop
      if (left == 0) {
        ::raise(detail::border);
        before = detail::minor_faults();
      }
      work(prepared);
    }
    faults = detail::minor_faults() - before;
    ::raise(detail::border);
    ::_exit(0);
  }
  bool counting = false;
  bool enters = true;  // calls stop twice
  int status = 0;
  while (child > 0 && ::waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
    const int signal = WSTOPSIG(status);
    int passed_on = 0;
    if (signal == (SIGTRAP | 0x80)) {
      user_regs_struct registers{};
      ::ptrace(PTRACE_GETREGS, child, nullptr, &registers);
      const auto number = static_cast<long>(registers.orig_rax);
      const auto known = std::ranges::find(detail::counted_calls, number, &std::pair<long, std::string_view>::first);
      if (enters && known != detail::counted_calls.end()) ++seen.calls[known->second];
      enters = !enters;
    } else if (signal == detail::border) {
      seen.could_trace = true;
      ::ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
      counting = !counting;
      enters = !counting || enters;
    } else {
      passed_on = signal;
    }
    ::ptrace(counting ? PTRACE_SYSCALL : PTRACE_CONT, child, nullptr, passed_on);
  }
  seen.ended_well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 9) seen.could_trace = false;
  seen.page_faults = faults;
  ::munmap(place, sizeof(long));
  return seen;
}

inline std::ostream& operator<<(std::ostream& to, const asked& a)
{
  return to << a.text() << "; " << a.page_faults << " page faults";
}

}  // namespace gpa::test
