// Runs a function in a forked child, or a program, to its end, and tells what it printed and how it ended.
#pragma once

#include "support/resident.hpp"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <ostream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace gpa::test {

struct outcome {
  int status = -1;  // exit status; minus the signal's number when one ended it
  std::string out;
  std::string err;

  /// Tags of the report headlines on stderr, in order: "leak", "double-free".
  [[nodiscard]] std::vector<std::string> reports() const
  {
    constexpr std::string_view opening = " [gpa-";
    std::vector<std::string> tags;
    std::istringstream lines(err);
    for (std::string line; std::getline(lines, line);) {
      const std::size_t at = line.rfind(opening);
      if (at == std::string::npos || !line.ends_with(']') || line.find("error: ") > at) continue;
      const std::size_t begin = at + opening.size();
      tags.push_back(line.substr(begin, line.size() - 1 - begin));
    }
    return tags;
  }
  [[nodiscard]] bool says(std::string_view words) const { return err.find(words) != std::string::npos; }
};

inline std::ostream& operator<<(std::ostream& to, const outcome& o)
{
  return to << "status " << o.status << "\n--- stdout\n" << o.out << "--- stderr\n" << o.err;
}

namespace detail {

// A file without a name: a child that prints more than a pipe holds must not wait for us.
inline int open_nameless() { return ::memfd_create("output", MFD_CLOEXEC); }

inline std::string contents(int file)
{
  std::string text(static_cast<std::size_t>(std::max<off_t>(::lseek(file, 0, SEEK_END), 0)), '\0');
  if (::pread(file, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) text = "(cannot be read)";
  ::close(file);
  return text;
}

}  // namespace detail

/// `work` runs in a fork of this process; returning from it is exit status 0. What hangs ends by SIGALRM.
template <class Work>
[[nodiscard]] outcome outcome_of(Work work)
{
  outcome o;
  const int out = detail::open_nameless();
  const int err = detail::open_nameless();
  std::cout.flush();  // what this process has to say is not the child's
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    for (const int signal : {SIGABRT, SIGALRM, SIGBUS, SIGFPE, SIGILL, SIGSEGV}) std::signal(signal, SIG_DFL);
    ::alarm(sanitized ? 400 : 100);  // a little less than what meson test gives its parent
    ::dup2(out, STDOUT_FILENO);
    ::dup2(err, STDERR_FILENO);
    try {
      work();
    } catch (const std::exception& e) {
      ::dprintf(STDERR_FILENO, "exception: %s\n", e.what());
      ::_exit(99);
    }
    ::_exit(0);
  }
  int status = 0;
  if (child > 0 && ::waitpid(child, &status, 0) == child)
    o.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  o.out = detail::contents(out);
  o.err = detail::contents(err);
  return o;
}

/// A program, searched in PATH when it has no slash, with its arguments.
[[nodiscard]] inline outcome outcome_of_program(std::vector<std::string> command)
{
  std::vector<char*> words;
  for (std::string& word : command) words.push_back(word.data());
  words.push_back(nullptr);
  return outcome_of([&] {
    ::execvp(words.front(), words.data());
    ::_exit(127);
  });
}

/// A program that was built beside this one.
[[nodiscard]] inline std::string beside_this(std::string_view name)
{
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / name).string();
}

}  // namespace gpa::test
