#include "harness/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <thread>

namespace gpa::bench {

namespace {

[[noreturn]] void refuse(int error, const std::string& what)
{
  throw std::system_error(error, std::generic_category(), what);
}

struct pipe_ends {
  int read = -1, write = -1;
};

pipe_ends make_pipe()
{
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) refuse(errno, "pipe2");
  return {ends[0], ends[1]};
}

std::vector<std::string> environment_with(const std::string& preload)
{
  std::vector<std::string> all;
  for (char** entry = ::environ; *entry != nullptr; ++entry)
    if (std::strncmp(*entry, "LD_PRELOAD=", 11) != 0) all.emplace_back(*entry);
  if (!preload.empty()) all.push_back("LD_PRELOAD=" + preload);
  return all;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts)
{
  std::vector<char*> all;
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

}  // namespace

process::process(const std::vector<std::string>& command, const std::string& preload, bool quiet)
{
  std::vector<std::string> arguments = command;
  std::vector<std::string> environment = environment_with(preload);
  const pipe_ends in = make_pipe();
  const pipe_ends out = make_pipe();

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in.read, STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, out.write, STDOUT_FILENO);
  if (quiet) ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  const int error = ::posix_spawnp(&id_, command.front().c_str(), &actions, nullptr, pointers_to(arguments).data(),
                                   pointers_to(environment).data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(in.read);
  ::close(out.write);
  input_ = in.write;
  output_ = out.read;
  if (error != 0) {
    ::close(input_);
    ::close(output_);
    refuse(error, command.front());
  }
}

process::~process()
{
  if (id_ == -1) return;
  ::close(input_);
  using namespace std::chrono_literals;
  for (auto left = 10'000ms; left > 0ms && ::waitpid(id_, nullptr, WNOHANG) == 0; left -= 2ms) {
    if (left <= 2ms) {
      kill();
      ::waitpid(id_, nullptr, 0);
      break;
    }
    std::this_thread::sleep_for(2ms);
  }
  ::close(output_);
}

void process::kill() noexcept
{
  ::kill(id_, SIGKILL);
}

void process::tell(const std::string& line)
{
  const std::string text = line + '\n';
  // A process that is gone shows in answer(); SIGPIPE is ignored by main().
  static_cast<void>(!::write(input_, text.data(), text.size()));
}

bool process::readable_within(std::chrono::milliseconds patience) const
{
  ::pollfd one{output_, POLLIN, 0};
  int ready = 0;
  do ready = ::poll(&one, 1, static_cast<int>(patience.count()));
  while (ready == -1 && errno == EINTR);
  return ready == 1;
}

std::optional<std::string> process::answer(std::chrono::milliseconds patience)
{
  for (;;) {
    if (const std::size_t end = read_.find('\n'); end != std::string::npos) {
      std::string line = read_.substr(0, end);
      read_.erase(0, end + 1);
      return line;
    }
    if (!readable_within(patience)) {
      impatient_ = true;
      kill();
      return std::nullopt;
    }
    std::array<char, 4096> buffer{};
    const ::ssize_t got = ::read(output_, buffer.data(), buffer.size());
    if (got <= 0) return std::nullopt;
    read_.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

std::string process::everything()
{
  std::string all;
  while (const auto line = answer(std::chrono::minutes(2))) all += *line + '\n';
  return all;
}

std::string this_program()
{
  return std::filesystem::read_symlink("/proc/self/exe");
}

}  // namespace gpa::bench
