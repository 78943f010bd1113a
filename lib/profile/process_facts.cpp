#include "profile/process_facts.hpp"

#include "os/files.hpp"
#include "trace/format.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <ctime>
#include <string_view>

namespace gpa::detail {

namespace {

// By arithmetic: gmtime_r() and strftime() hold a lock that stays locked in a child forked by another thread just then.
metadata_string in_words(std::time_t time)
{
  using namespace std::chrono;
  const sys_seconds moment{seconds(time)};
  const sys_days day = floor<days>(moment);
  const year_month_day date(day);
  const hh_mm_ss<seconds> clock(moment - day);
  text words;
  absl::Format(&words, "%04d-%02d-%02dT%02d:%02d:%02dZ", static_cast<int>(date.year()),
               static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
               clock.minutes().count(), clock.seconds().count());
  return metadata_string(words.view());
}

// Clock ticks from the system's start to the process's: the 22nd word of /proc/self/stat. The second word is the
// program's name, which may hold spaces, but ends with the last bracket.
std::uint64_t start_in_ticks()
{
  text content;
  if (!append_file(content, "/proc/self/stat")) return 0;
  std::string_view words = content.view();
  words.remove_prefix(std::min(words.rfind(')') + 1, words.size()));
  for (int word = 3; word != 23; ++word) {
    words.remove_prefix(std::min(words.find_first_not_of(' '), words.size()));
    if (word == 22) break;
    words.remove_prefix(std::min(words.find(' '), words.size()));
  }
  std::uint64_t ticks = 0;
  std::from_chars(words.data(), words.data() + words.size(), ticks);
  return ticks;
}

constexpr std::uint64_t microseconds_a_second = 1'000'000;

std::uint64_t age_of_process()
{
  timespec running{};
  ::clock_gettime(CLOCK_BOOTTIME, &running);
  const auto ticks_a_second = static_cast<std::uint64_t>(std::max(::sysconf(_SC_CLK_TCK), 1L));
  const std::uint64_t start = start_in_ticks() * (microseconds_a_second / ticks_a_second);
  const std::uint64_t now = static_cast<std::uint64_t>(running.tv_sec) * microseconds_a_second +
                            static_cast<std::uint64_t>(running.tv_nsec) / 1000;
  return now > start ? now - start : 0;
}

}  // namespace

process_facts facts_of_process()
{
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const std::uint64_t age = age_of_process();
  const auto start = now.tv_sec - static_cast<std::time_t>(age / microseconds_a_second);
  text arguments;
  static_cast<void>(append_file(arguments, "/proc/self/cmdline"));
  std::array<char, 4096> path;
  return {.pid = static_cast<std::uint64_t>(::getpid()),
          .executable = metadata_string(executable_path(path)),
          .arguments = metadata_string(arguments.view()),
          .start = in_words(start),
          .now = in_words(now.tv_sec),
          .age = age};
}

}  // namespace gpa::detail
