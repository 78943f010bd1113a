#include "tools/watch.hpp"

#include "tools/input.hpp"
#include "tools/process_info.hpp"
#include "tools/read_document.hpp"

#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <thread>

namespace gpa::tools {

namespace {

using namespace std::chrono_literals;

constexpr auto longest_wait = 10s;  // for one report; a program with ten million blocks takes some seconds
constexpr auto start_of_process = 2s;

volatile std::sig_atomic_t interrupted = 0;

pid_t parse_pid(const std::string& text)
{
  pid_t pid = 0;
  const char* const end = text.data() + text.size();
  if (const auto [rest, error] = std::from_chars(text.data(), end, pid);
      error != std::errc{} || rest != end || pid <= 0)
    throw refusal("no process id: " + text);
  return pid;
}

// One that has ended stays until its parent asks for it.
bool is_running(pid_t pid)
{
  const std::string state = status_of(pid, "State:");
  return !state.empty() && state.front() != 'Z' && state.front() != 'X';
}

// Sent to a process without a handler, the signal would end it.
bool catches_signal(pid_t pid)
{
  return (std::strtoull(status_of(pid, "SigCgt:").c_str(), nullptr, 16) >> (SIGUSR2 - 1) & 1) != 0;
}

// A process that was just started makes its first resource in a moment.
void await_handler(pid_t pid)
{
  const auto deadline = std::chrono::steady_clock::now() + start_of_process;
  while (is_running(pid) && !catches_signal(pid) && std::chrono::steady_clock::now() < deadline && interrupted == 0)
    std::this_thread::sleep_for(10ms);
}

void require_handler(pid_t pid)
{
  const std::string name = "process " + std::to_string(pid);
  if (::kill(pid, 0) != 0) throw refusal(name + ": " + std::strerror(errno));
  if (!is_running(pid)) throw refusal(name + " has ended");
  if (!catches_signal(pid))
    throw refusal(name + " does not catch SIGUSR2, so it would die of it: start it with " +
                  "GPA_OPTIONS=report_path=FILE:report_signal=1");
}

// What changes when the file is written anew, or replaced by another.
struct version {
  ino_t file = 0;
  timespec changed = {};
  off_t size = 0;

  bool operator==(const version& o) const noexcept
  {
    return file == o.file && changed.tv_sec == o.changed.tv_sec && changed.tv_nsec == o.changed.tv_nsec &&
           size == o.size;
  }
};

version version_of(const std::string& path)
{
  struct stat s {};
  // A pipe of that name is nothing the library wrote, and would be waited for.
  if (::stat(path.c_str(), &s) != 0 || !S_ISREG(s.st_mode)) return {};
  return {s.st_ino, s.st_mtim, s.st_size};
}

// Asks for a report and waits until it is whole; none when the process ends meanwhile.
std::optional<document> next_report(pid_t pid, const std::string& path, const symbol_files& symbols)
{
  const version before = version_of(path);
  // Asked each time: a program that has executed another one since catches nothing any more.
  try {
    require_handler(pid);
  } catch (const refusal&) {
    if (!is_running(pid)) return std::nullopt;  // it may end at any moment, this one too
    throw;
  }
  if (::kill(pid, SIGUSR2) != 0) return std::nullopt;
  const auto deadline = std::chrono::steady_clock::now() + longest_wait;
  std::string problem = path + ": nothing was written there";
  while (std::chrono::steady_clock::now() < deadline && interrupted == 0) {
    std::this_thread::sleep_for(10ms);
    if (!(version_of(path) == before)) {
      try {
        return load(path, symbols, notes::dropped);
      } catch (const refusal& r) {
        problem = r.what();  // perhaps only half of it is there yet
      }
    }
    if (!is_running(pid)) return std::nullopt;
  }
  if (interrupted != 0) return std::nullopt;
  throw refusal(problem);
}

void sleep_for(double seconds)
{
  const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (interrupted == 0 && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(20ms);
}

winsize terminal_size() noexcept
{
  winsize size{};
  return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size : winsize{};
}

// Home, then the lines, each cleared to its end, then the rest of the screen: no flicker. Lines the terminal has no room
// for are left out: the first ones would scroll away.
std::string screen_of(const std::string& text)
{
  std::string screen = "\x1b[H";
  std::size_t room = terminal_size().ws_row;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    screen.append(text, at, end - at);
    screen += "\x1b[K";
    at = end + 1;
    if (--room == 0) break;  // 0 before: nobody knows how high it is
    screen += '\n';
  }
  return screen + "\x1b[J";
}

}  // namespace

std::size_t terminal_width() noexcept
{
  const std::size_t columns = terminal_size().ws_col;
  return columns != 0 ? columns : 120;
}

int watch(const command& c)
{
  const pid_t pid = parse_pid(c.pid);
  std::signal(SIGINT, [](int) { interrupted = 1; });
  std::signal(SIGTERM, [](int) { interrupted = 1; });
  await_handler(pid);
  require_handler(pid);
  const std::string path = report_path_of(pid, c.watched_file, c.resource);
  const bool on_terminal = ::isatty(STDOUT_FILENO) != 0;
  for (std::uint64_t look = 0; interrupted == 0 && (c.times == 0 || look != c.times); ++look) {
    if (look != 0) sleep_for(c.interval);
    if (interrupted != 0) break;
    const std::optional<document> d = next_report(pid, path, c.symbols);
    if (!d) {
      const std::string below = on_terminal && look != 0 ? "\n" : "";
      if (interrupted == 0) store({}, below + "process " + c.pid + " has ended\n");
      return 0;
    }
    std::string text = to_table(*d, c.request, terminal_width());
    if (on_terminal) {
      text = (look == 0 ? "\x1b[2J" : "") + screen_of(text);
    } else if (look != 0) {
      text = "\n" + text;
    }
    store({}, text);
  }
  return 0;
}

}  // namespace gpa::tools
