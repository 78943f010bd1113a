// SIGUSR2 writes reports: a handler that posts a semaphore, and a thread that waits for it.
#include "report_signal.hpp"

#include "base/tools.hpp"
#include "environment.hpp"
#include "os/text.hpp"
#include "report_writing.hpp"

#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>

namespace gpa::detail {

namespace {

constinit std::atomic<bool> asked_for{false};
constinit std::atomic<pid_t> asked_process{0};  // that got the last signal
sem_t asked;  // never destroyed: a signal may come at any time

void on_signal(int) noexcept
{
  const int error = errno;
  asked_process.store(::getpid(), std::memory_order_relaxed);
  ::sem_post(&asked);
  errno = error;
}

void* answer(void*) noexcept
{
  for (;;)
    if (::sem_wait(&asked) == 0) write_all_reports("signal");
}

bool start_thread() noexcept
{
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  if (::sem_init(&asked, 0, 0) != 0 || ::pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return false;
  pthread_t thread{};
  const bool started = ::pthread_create(&thread, nullptr, answer, nullptr) == 0;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!started) return false;
  ::pthread_setname_np(thread, "gpa report");
  ::pthread_detach(thread);
  return true;
}

void warn(std::string_view why) noexcept
{
  text line;
  line.append("gpa: warning: report_signal=1 does nothing: ");
  line.append(why);
  line.append("\n");
  line.write_to_stderr();
}

// A signal may have come before the child's first step: its parent's are not its own.
void answer_in_child() noexcept
{
  if (threads_are_watched()) return;
  if (!start_thread()) warn("no thread could be started");
  if (asked_process.load(std::memory_order_relaxed) == ::getpid()) ::sem_post(&asked);
}

}  // namespace

void answer_report_signal() noexcept
{
  const settings& s = environment_settings();
  if (!s.report_signal || asked_for.exchange(true, std::memory_order_relaxed)) return;
  struct sigaction now = {};
  if (s.report_path.empty()) return warn("report_path is not set");
  if (::sigaction(SIGUSR2, nullptr, &now) != 0 || (now.sa_flags & SA_SIGINFO) != 0 || now.sa_handler != SIG_DFL)
    return warn("the program handles SIGUSR2 itself");
  if (!start_thread()) return warn("no thread could be started");
  ::pthread_atfork(nullptr, nullptr, answer_in_child);
  now.sa_handler = on_signal;
  now.sa_flags = SA_RESTART;
  ::sigaction(SIGUSR2, &now, nullptr);
}

}  // namespace gpa::detail
