// A report as the library wrote it (the JSON document, version 1): what gpa-report reads, and all it knows.
//
//   site --trace--> trace --frames, innermost first--> frame --calls, innermost first--> function, file, line
//                                                        `--module--> file and build id
//
// A frame is one return address; inlining gives it several calls. read_document() has checked every index, gives each
// site a trace, and each trace a frame, so whoever walks them need not look again.
//
// Plain data. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gpa::tools {

inline constexpr const char* no_call_stack = "(no call stack)";
inline constexpr std::size_t none = static_cast<std::size_t>(-1);

struct call {
  std::string function = {};
  std::string file = {};
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  bool inlined = false;
  bool library = false;
};

struct frame {
  std::uint64_t address = 0;   // inside the call instruction, in that process
  std::uint64_t relative = 0;  // in its module
  std::size_t module = none;
  bool named = true;  // false: the one call says where the address is, since nobody knows more
  std::vector<call> calls = {};
};

struct module {
  std::string path = {};
  std::string build_id = {};
  std::uint64_t base = 0;
};

using call_stack = std::vector<std::size_t>;

/// Both together, or the most that a signed number holds: so differences of sums are numbers, too.
[[nodiscard]] constexpr std::uint64_t sum_of(std::uint64_t a, std::uint64_t b) noexcept
{
  constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
  return a >= most || b >= most - a ? most : a + b;
}

struct site {
  std::size_t trace = 0;
  std::string tag = {};
  std::uint64_t size_class = 0;
  std::uint64_t live_bytes = 0, live_blocks = 0;
  // Known where document::profiled:
  std::uint64_t peak_bytes = 0, peak_blocks = 0;        // of this site alone
  std::uint64_t at_peak_bytes = 0, at_peak_blocks = 0;  // when all sites together were at their peak
  std::uint64_t total_bytes = 0, total_blocks = 0;
  std::uint64_t temporary = 0;     // blocks freed before their thread allocated another
  std::uint64_t lifetime_sum = 0;  // microseconds, of the blocks that were freed

  /// The numbers, that is: two sites of one stack.
  void add(const site& other) noexcept
  {
    const auto add_to = [](std::uint64_t& sum, std::uint64_t more) { sum = sum_of(sum, more); };
    add_to(live_bytes, other.live_bytes);
    add_to(live_blocks, other.live_blocks);
    add_to(peak_bytes, other.peak_bytes);
    add_to(peak_blocks, other.peak_blocks);
    add_to(at_peak_bytes, other.at_peak_bytes);
    add_to(at_peak_blocks, other.at_peak_blocks);
    add_to(total_bytes, other.total_bytes);
    add_to(total_blocks, other.total_blocks);
    add_to(temporary, other.temporary);
    add_to(lifetime_sum, other.lifetime_sum);
  }
};

struct mistake {
  std::string rule = {};     // gpa-double-free
  std::string kind = {};     // double free
  std::string message = {};  // as in the headline of the report's text
  std::string reason = {};
  std::string address = {};
  std::string fingerprint = {};
  std::uint64_t bytes = 0, alignment = 0;
  std::uint64_t blocks = 1, total_bytes = 0;                     // of a group of leaks
  std::vector<std::pair<std::string, std::size_t>> traces = {};  // here, freed, allocated
  std::vector<std::pair<std::string, std::uint64_t>> threads = {};  // of the same, where known

  /// The trace of that name, or `none`.
  [[nodiscard]] std::size_t trace_of(std::string_view role) const noexcept
  {
    for (const auto& [name, index] : traces)
      if (name == role) return index;
    return none;
  }

  /// The number of the thread, or 0.
  [[nodiscard]] std::uint64_t thread_of(std::string_view role) const noexcept
  {
    for (const auto& [name, number] : threads)
      if (name == role) return number;
    return 0;
  }

  /// Whose place the message is about: of a leak the allocation, else where it was noticed, if that is known.
  [[nodiscard]] std::string_view role_of_headline() const noexcept
  {
    return rule == "gpa-leak" || trace_of("here") == none ? "allocated" : "here";
  }
};

struct totals {
  std::uint64_t live_bytes = 0, live_blocks = 0;
  std::uint64_t peak_bytes = 0, peak_blocks = 0;
  bool peak_is_exact = true;  // else at least that
  std::uint64_t total_bytes = 0, total_blocks = 0;
  std::uint64_t peak_age = 0;  // microseconds from the peak to document::time; where document::profiled
};

struct document {
  std::string tool_version = {};
  std::uint64_t pid = 0;
  std::string executable = {};
  std::vector<std::string> arguments = {};
  std::string start = {}, time = {}, reason = {};
  std::uint64_t age = 0;  // microseconds between the two
  std::string resource = {};
  std::string checks = {};
  std::uint64_t one_in = 0;
  bool estimated = false;
  bool profiled = false;
  gpa::tools::totals totals = {};
  std::vector<module> modules = {};
  std::vector<frame> frames = {};
  std::vector<call_stack> traces = {};
  std::vector<site> sites = {};
  std::vector<mistake> mistakes = {};
  std::uint64_t mistakes_not_listed = 0;
};

/// What a site is measured by: what it holds, what it held when the resource was at its peak, all it ever got.
enum class measure { live, peak, total };

[[nodiscard]] constexpr std::uint64_t bytes_of(const site& s, measure what) noexcept
{
  return what == measure::live ? s.live_bytes : what == measure::peak ? s.at_peak_bytes : s.total_bytes;
}

/// How many blocks those are.
[[nodiscard]] constexpr std::uint64_t blocks_of(const site& s, measure what) noexcept
{
  return what == measure::live ? s.live_blocks : what == measure::peak ? s.at_peak_blocks : s.total_blocks;
}

/// Calls `f(const call&)` for the calls of a trace, innermost first.
template <class F>
void for_each_call(const document& d, std::size_t trace, F f)
{
  for (const std::size_t index : d.traces[trace])
    for (const call& c : d.frames[index].calls) f(c);
}

/// The last part of a path.
[[nodiscard]] std::string_view file_name(std::string_view path) noexcept;

/// `1 block`, `2 blocks`.
[[nodiscard]] std::string counted(std::uint64_t count, std::string_view what);

/// `697 B`, `12.1 KiB`, `3744 MiB`: as Python's tracemalloc writes sizes, three to five digits.
[[nodiscard]] std::string size_text(double bytes, bool with_sign = false);

/// The call a reader looks for: the innermost that is not a library's and has a line, else the innermost that is not a
/// library's, else the innermost.
[[nodiscard]] const call& first_worth_showing(const document& d, std::size_t trace);

/// Where there is no file: the name of that call's module, or "(no file)".
[[nodiscard]] std::string module_of_first(const document& d, std::size_t trace);

/// The sum of several sites, with an own peak that is no higher than that of all together.
[[nodiscard]] site capped_at_peak(const site& several, const document& d) noexcept;

/// `src/cache.cpp:21`; without a line the function.
[[nodiscard]] std::string place_of(const call& c);

}  // namespace gpa::tools
