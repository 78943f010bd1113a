// Runs an action in a forked child and tells how it ended: exit status or signal, and all it wrote to stderr.
//
// Fork without exec: the child sees what the test prepared. Call it from a program with one thread. The child ends
// by _exit(0) after the action, so static destructors do not run there; a child that hangs dies of SIGALRM.
#pragma once

#include "support/resident.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <new>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace gpa::test {

struct ending {
  int status = -1;  // exit status; -1 when a signal ended it
  int signal = 0;
  std::string text;  // stderr

  [[nodiscard]] bool is_clean() const noexcept { return status == 0 && text.empty(); }
  friend std::ostream& operator<<(std::ostream& out, const ending& e)
  {
    return out << "exit status " << e.status << ", signal " << e.signal << ", stderr:\n" << e.text;
  }
};

[[noreturn]] inline void be_the_child(int errors, const std::function<void()>& action) noexcept
{
  ::dup2(errors, STDERR_FILENO);
  for (const int s : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGALRM}) ::signal(s, SIG_DFL);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::alarm(sanitized ? 400 : 100);
  action();
  std::fflush(nullptr);
  ::_exit(0);
}

[[nodiscard]] inline ending in_child(const std::function<void()>& action)
{
  ending e;
  const int errors = ::memfd_create("stderr", 0);
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) be_the_child(errors, action);
  int status = 0;
  if (child > 0 && ::waitpid(child, &status, 0) == child) {
    if (WIFEXITED(status)) e.status = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) e.signal = WTERMSIG(status);
  }
  std::array<char, 4096> part{};
  ::lseek(errors, 0, SEEK_SET);
  for (ssize_t n = 0; (n = ::read(errors, part.data(), part.size())) > 0;)
    e.text.append(part.data(), static_cast<std::size_t>(n));
  ::close(errors);
  return e;
}

/// A T that parent and children see alike.
template <class T>
class shared {
 public:
  shared()
      : place_(::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
        value_(place_ == MAP_FAILED ? throw std::bad_alloc() : new (place_) T{})
  {}
  ~shared() { ::munmap(place_, sizeof(T)); }
  shared(const shared&) = delete;
  shared& operator=(const shared&) = delete;
  T& operator*() const noexcept { return *value_; }
  T* operator->() const noexcept { return value_; }

 private:
  void* place_;
  T* value_;
};

/// A line of a report that tells a place: "src/a.cpp:12:7: error: double free of ..."
struct told_line {
  std::string file;   // without its folders; "gpa" when no place was known
  unsigned line = 0;  // 0 when unknown
  std::string what;   // "error" or "note"
  std::string words;  // everything behind it
};

/// Every such line of a text, in order; excerpts and frames are no such lines.
[[nodiscard]] inline std::vector<told_line> told_lines(std::string_view text)
{
  std::vector<told_line> all;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(line.size() == text.size() ? line.size() : line.size() + 1);
    if (line.empty() || line.front() == ' ') continue;
    for (const std::string_view what : {"error", "note"}) {
      const std::string sign = ": " + std::string(what) + ": ";
      const std::size_t at = line.find(sign);
      if (at == std::string_view::npos) continue;
      told_line t;
      const std::string_view place = line.substr(0, at);
      const std::size_t slash = place.rfind('/');
      const std::string_view name = slash == std::string_view::npos ? place : place.substr(slash + 1);
      const std::size_t colon = name.find(':');
      t.file = name.substr(0, colon);
      if (colon != std::string_view::npos)
        t.line = static_cast<unsigned>(std::strtoul(name.data() + colon + 1, nullptr, 10));
      t.what = what;
      t.words = line.substr(at + sign.size());
      all.push_back(t);
      break;
    }
  }
  return all;
}

/// The first "error" line; empty when there is none.
[[nodiscard]] inline told_line first_report(const ending& e)
{
  for (const told_line& t : told_lines(e.text))
    if (t.what == "error") return t;
  return {};
}

}  // namespace gpa::test
