// How much memory of this process is resident, for tests of what must not grow.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <fstream>
#include <string>

namespace gpa::test {

// The pages counted one by one: statm tells what each CPU has added up so far, and may be some hundred KiB behind.
[[nodiscard]] inline std::size_t resident_bytes()
{
  std::ifstream file("/proc/self/smaps_rollup");
  std::string word;
  while (file >> word && word != "Rss:") {
  }
  std::size_t kib = 0;
  if (file >> kib) return kib * 1024;
  std::ifstream older("/proc/self/statm");
  std::size_t whole = 0;
  std::size_t resident = 0;
  older >> whole >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

#if defined(__has_feature)
#define GPA_TEST_HAS_FEATURE(name) __has_feature(name)
#else
#define GPA_TEST_HAS_FEATURE(name) 0
#endif

/// Sanitizers keep memory of their own, so there what is resident says nothing about us, and everything takes longer.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || GPA_TEST_HAS_FEATURE(address_sanitizer) || \
    GPA_TEST_HAS_FEATURE(thread_sanitizer)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

/// `full` rounds, a tenth of them in a sanitizer build.
[[nodiscard]] constexpr int rounds(int full) { return sanitized ? full / 10 : full; }

}  // namespace gpa::test
