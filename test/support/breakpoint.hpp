// A debugger's breakpoint at gpa_on_mistake(), without a debugger: its first byte becomes a trap, told on stderr.
#pragma once

#include <gpa/report.hpp>

#include <dlfcn.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <string_view>

namespace gpa::test {

inline unsigned char* breakpoint = nullptr;
inline unsigned char original = 0;

// What a debugger does: the trap is told, the instruction put back and run.
inline void on_trap(int, siginfo_t*, void* context)
{
  static constexpr std::string_view words = "<stopped in gpa_on_mistake>\n";
  static_cast<void>(!::write(STDERR_FILENO, words.data(), words.size()));
  *breakpoint = original;
  static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP] =
      static_cast<greg_t>(reinterpret_cast<std::uintptr_t>(breakpoint));
}

/// False where code pages cannot be made writable.
[[nodiscard]] inline bool set_breakpoint()
{
  breakpoint = static_cast<unsigned char*>(::dlsym(RTLD_DEFAULT, "gpa_on_mistake"));
  if (breakpoint == nullptr) return false;
  void* const page = reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(breakpoint) & ~std::uintptr_t{4095});
  if (::mprotect(page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) return false;
  struct sigaction action = {};
  action.sa_sigaction = on_trap;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGTRAP, &action, nullptr);
  original = *breakpoint;
  *breakpoint = 0xCC;
  return true;
}

}  // namespace gpa::test
