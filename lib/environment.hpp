// What the environment variable GPA_OPTIONS says, and the program's own gpa_default_options() below it: fields of
// gpa::options, and how reports are made.
//
// Read once, by secure_getenv (so a program that runs with more rights than its caller hears nothing), when the first
// resource is made or the first report. A wrong key or value is one warning line on stderr, and the rest holds;
// `strict=1` makes it an error and ends the process with status 2. Nothing is allocated from the user's heap: the text
// is copied into metadata memory, and every view below points there.
//
// Thread-safe.
#pragma once

#include <gpa/options.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace gpa::detail {

class text;

enum class when : std::uint8_t { automatic, always, never };
enum class view : std::uint8_t { user, all };

struct settings {
  // Of gpa::options, by name; empty = what the code says.
  std::optional<gpa::checks> checks;
  std::optional<bool> thread_safe;
  std::optional<std::size_t> memory_limit;
  std::optional<std::size_t> quarantine_bytes;
  std::optional<std::size_t> poison_bytes;
  std::optional<std::size_t> stack_frames;
  std::optional<gpa::after_mistake> after_mistake;
  std::optional<bool> log_operations;
  std::optional<int> leak_exit_status;
  std::optional<bool> profile;
  std::optional<gpa::protect_large> protect_large;

  // Of reports.
  std::size_t max_reports = 20;  // texts of a kind
  when color = when::automatic;
  when annotations = when::automatic;  // lines for GitHub Actions
  detail::view view = detail::view::user;
  bool source = true;    // excerpts
  bool symbolize = true;  // names and lines; else modules and offsets
  std::string_view hide;  // patterns of frames that count as a library's
  std::string_view strip_path_prefix;
  bool free_trace = true;  // call stacks of frees
  bool leaks = true;       // those at deinit() and exit are told
  bool follow_fork = false;  // a child tells what it inherited
  bool contents = true;  // bytes of the program's memory
  bool owned = false;    // leaked blocks that others lead to have reports of their own
  bool stats = false;         // a line of totals at the end of each resource
  bool report_limit = false;  // refusals because of a memory limit
  std::size_t break_at = 0;  // number of an allocation; 0 = none
  std::string_view log_path;
  std::string_view report_path;     // pattern of JSON documents
  bool report_signal = false;
  bool explain_faults = true;
  std::string_view suppressions;    // files
  std::string_view baseline;
  std::string_view write_baseline;
  bool print_suppressions = true;  // those that were used
  std::string_view include;        // the last one

  // What other variables say.
  bool color_unwanted = false;     // NO_COLOR, or TERM=dumb
  bool in_github = false;          // GITHUB_ACTIONS=true
  std::string_view workspace;      // GITHUB_WORKSPACE: what file names are relative to there

  // Of GPA_OPTIONS itself.
  bool help = false;
  bool strict = false;

  /// Whether it names files that say which leaks are not told.
  [[nodiscard]] bool has_leak_filter() const noexcept { return !suppressions.empty() || !baseline.empty(); }
};

/// What the program says by gpa_default_options(), and over it what GPA_OPTIONS says. What is wrong with them is appended
/// to `complaints`, one line each, and with `help=1` the list of keys to `help`. Reads the files they include.
[[nodiscard]] settings settings_from(std::string_view program, std::string_view user, text& complaints,
                                     text& help) noexcept;

/// What GPA_OPTIONS says.
[[nodiscard]] const settings& environment_settings() noexcept;

/// `o` with the fields that GPA_OPTIONS gives, unless `o` is final.
void apply_environment(gpa::options& o) noexcept;

}  // namespace gpa::detail
