// Runs a question in a forked child. The child only answers: a failed BOOST_TEST there would be lost.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

namespace gpa::test {

/// Whether `question`, called in a child of this process, returned true. False as well if the child died.
template <class Question>
[[nodiscard]] bool true_in_child(Question question)
{
  const pid_t child = ::fork();
  if (child == 0) ::_exit(question() ? 0 : 1);
  int status = 0;
  return child > 0 && ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace gpa::test
