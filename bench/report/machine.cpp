// Reads /proc, uname and what the compiler says of itself.
#include "report/machine.hpp"

#include "report/numbers.hpp"

#include <gnu/libc-version.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <ctime>
#include <fstream>

namespace gpa::bench {

namespace {

// The value of the first line that starts with `label`.
std::string line_of(const char* file, const std::string& label)
{
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(label)) continue;
    const std::size_t colon = line.find(':');
    return colon == std::string::npos ? line : line.substr(line.find_first_not_of(" \t", colon + 1));
  }
  return "unknown";
}

std::string cpu()
{
  std::string text = line_of("/proc/cpuinfo", "model name") + " (family " + line_of("/proc/cpuinfo", "cpu family") +
                     ", model " + line_of("/proc/cpuinfo", "model\t") + "), " +
                     std::to_string(::sysconf(_SC_NPROCESSORS_ONLN)) + " CPUs";
  if (line_of("/proc/cpuinfo", "flags").find(" hypervisor") != std::string::npos) text += ", a virtual machine";
  return text;
}

std::string today()
{
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", &parts);
  return text.data();
}

std::string system_name()
{
  std::ifstream in("/etc/os-release");
  std::string name = "unknown system";
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("PRETTY_NAME=\"")) name = line.substr(13, line.size() - 14);
  utsname u{};
  ::uname(&u);
  return name + ", Linux " + u.release + ", glibc " + ::gnu_get_libc_version();
}

}  // namespace

std::string load_now()
{
  double one_minute = 0;
  if (::getloadavg(&one_minute, 1) != 1) return "unknown";
  return rounded(one_minute);
}

std::vector<std::pair<std::string, std::string>> describe_machine(const std::string& command)
{
#ifdef __clang__
  const std::string compiler = __VERSION__;
#else
  const std::string compiler = "g++ " __VERSION__;
#endif
  return {{"CPU", cpu()},
          {"system", system_name()},
          {"compiler", compiler + ", " GPA_BENCH_BUILD ", libgpa as a shared library"},
          {"date", today()},
          {"command", command},
          {"load before", load_now()}};
}

}  // namespace gpa::bench
