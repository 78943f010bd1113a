#include "environment.hpp"

#include "environment_values.hpp"
#include "option_syntax.hpp"
#include "os/files.hpp"
#include "os/text.hpp"
#include "os/threads.hpp"
#include "trace/format.hpp"
#include "trace/interned.hpp"
#include "trace/naming.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

// The program's, if it has one.
extern "C" __attribute__((weak)) const char* gpa_default_options();

namespace gpa::detail {

namespace {

struct key {
  std::string_view name;
  std::string_view allowed;
  std::string_view fallback;
  std::string_view what;
  bool (*read)(std::string_view value, settings& s) noexcept;
};

// In the order of gpa::options; then what concerns reports; then GPA_OPTIONS itself.
constexpr std::array keys{
    key{"checks", "always|never|by_build|one_in(n)", "by_build", "which allocations are checked",
        read<&settings::checks>},
    key{"thread_safe", "0|1", "1", "0: one thread at a time, calls of others are told", read<&settings::thread_safe>},
    key{"memory_limit", "bytes[k|M|G]|unlimited", "unlimited", "what users of one resource may hold at once",
        read<&settings::memory_limit>},
    key{"quarantine_bytes", "bytes[k|M|G]|unlimited|default", "default",
        "freed and kept from reuse; default: half the L2 cache, at most 256k", read_quarantine},
    key{"poison_bytes", "bytes[k|M|G]|unlimited", "512",
        "blocks up to this (512 at least) are poisoned whole when freed, larger ones in places",
        read<&settings::poison_bytes>},
    key{"stack_frames", "0..64", "32", "kept of each call stack", read_number<&settings::stack_frames, 64>},
    key{"after_mistake", "abort|carry_on", "abort", "once a mistake was told", read<&settings::after_mistake>},
    key{"log_operations", "0|1", "0", "one line an operation", read<&settings::log_operations>},
    key{"leak_exit_status", "0..255", "0", "of a process that leaked and would return 0",
        read_number<&settings::leak_exit_status, 255>},
    key{"profile", "0|1", "0", "history of call sites: peaks, totals, lifetimes", read<&settings::profile>},
    key{"protect_large", "auto|always|never", "auto", "whether an access to a freed block above 32k faults",
        read<&settings::protect_large>},
    key{"max_reports", "number|unlimited", "20", "reports of a kind to show; the others are counted",
        read<&settings::max_reports>},
    key{"color", "auto|always|never", "auto", "auto: on a terminal, without NO_COLOR", read<&settings::color>},
    key{"annotations", "auto|always|never", "auto", "lines for GitHub; auto: with GITHUB_ACTIONS=true",
        read<&settings::annotations>},
    key{"view", "user|all", "user", "frames shown: your own, or the libraries' too", read<&settings::view>},
    key{"source", "0|1", "1", "the source line below a headline", read<&settings::source>},
    key{"symbolize", "0|1", "1", "functions and lines; 0: modules and offsets only", read<&settings::symbolize>},
    key{"hide", "pattern,...", "none", "frames that count as a library's; patterns as in suppressions",
        read<&settings::hide>},
    key{"strip_path_prefix", "path", "none", "paths that begin so are shown without it",
        read<&settings::strip_path_prefix>},
    key{"free_trace", "0|1", "1", "call stacks of frees, not only of allocations", read<&settings::free_trace>},
    key{"leaks", "0|1", "1", "leak reports at deinit() and exit", read<&settings::leaks>},
    key{"follow_fork", "0|1", "0", "a child reports the leaks it inherited, too", read<&settings::follow_fork>},
    key{"contents", "0|1", "1", "bytes of leaked and of damaged memory", read<&settings::contents>},
    key{"owned", "0|1", "0", "also reports of leaked blocks that others own", read<&settings::owned>},
    key{"stats", "0|1", "0", "a line of totals at the end of each resource", read<&settings::stats>},
    key{"report_limit", "0|1", "0", "who holds the memory when memory_limit refuses more",
        read<&settings::report_limit>},
    key{"log_path", "file", "stderr", "reports are appended there; %p: process id, %e: program, %n: resource",
        read_file<&settings::log_path>},
    key{"break_at", "number", "0", "calls gpa_on_mistake() at the allocation of that number",
        read_number<&settings::break_at, std::numeric_limits<std::uint64_t>::max()>},
    key{"suppressions", "file", "none", "leak:pattern lines: such leaks are not reported",
        read_file<&settings::suppressions>},
    key{"baseline", "file", "none", "leaks that are known: only new ones are reported", read_file<&settings::baseline>},
    key{"write_baseline", "file", "none", "leaks are appended there, for a later baseline",
        read_file<&settings::write_baseline>},
    key{"print_suppressions", "0|1", "1", "which of them were used, below the report",
        read<&settings::print_suppressions>},
    key{"include", "file", "none", "more of these settings, a line each or several; # begins a comment",
        read<&settings::include>},
    key{"report_path", "file", "none", "JSON report at deinit() and exit; %p: process id, %e: program, %n: resource",
        read_file<&settings::report_path>},
    key{"report_signal", "0|1", "0", "SIGUSR2 writes report_path of every resource", read<&settings::report_signal>},
    key{"explain_faults", "0|1", "1", "SIGSEGV says on stderr if a freed block was used",
        read<&settings::explain_faults>},
    key{"help", "0|1", "0", "this list", read<&settings::help>},
    key{"strict", "0|1", "0", "a wrong key or value ends the process (status 2)", read<&settings::strict>},
};

const key* find_key(std::string_view name) noexcept
{
  const auto* const found = std::find_if(keys.begin(), keys.end(), [&](const key& k) { return k.name == name; });
  return found == keys.end() ? nullptr : found;
}

// The key that was meant: it begins so, or at most half of what was written is wrong.
const key* nearest_key(std::string_view name) noexcept
{
  const auto distance = [name](const key& k) {
    return name.size() > 3 && k.name.starts_with(name) ? 0 : spelling_distance(name, k.name);
  };
  const auto* const nearest = std::ranges::min_element(keys, {}, distance);
  return distance(*nearest) * 2 <= name.size() ? nearest : nullptr;
}

void append_help(text& out, const std::array<std::string_view, keys.size()>& now)
{
  const auto append_row = [&out](std::string_view name, std::string_view allowed, std::string_view fallback,
                                 std::string_view given, std::string_view what) {
    absl::Format(&out, "  %-18s %-33s %-10s %-12s %s\n", name, allowed, fallback, given, what);
  };
  out.append("gpa: GPA_OPTIONS is key=value:key=value; it wins over what the program says\n");
  append_row("key", "values", "default", "now", "what");
  for (std::size_t i = 0; i != keys.size(); ++i)
    append_row(keys[i].name, keys[i].allowed, keys[i].fallback, now[i], keys[i].what);
}

const char* severity(const settings& s) noexcept
{
  return s.strict ? "error" : "warning";
}

// `source`: where the words come from.
void complain_of_key(text& out, const settings& s, std::string_view source, std::string_view name)
{
  absl::Format(&out, "gpa: %s: %s has no key ", severity(s), source);
  out.append_quoted(name);
  out.append("; ");
  if (const key* const meant = nearest_key(name); meant != nullptr) {
    absl::Format(&out, "did you mean \"%s\"?\n", meant->name);
  } else {
    out.append("GPA_OPTIONS=help=1 lists them\n");
  }
}

void complain_of_value(text& out, const settings& s, std::string_view source, const key& k, const setting& wrong)
{
  absl::Format(&out, "gpa: %s: %s: ", severity(s), source);
  switch (wrong.flaw) {
    case setting_flaw::none: absl::Format(&out, "%s=%s is not understood", k.name, wrong.value); break;
    case setting_flaw::no_value: absl::Format(&out, "%s has no value", k.name); break;
    case setting_flaw::open_quote: absl::Format(&out, "the quote in %s=%s is not closed", k.name, wrong.value); break;
  }
  absl::Format(&out, "; allowed: %s\n", k.allowed);
}

// Empty where it is not set. Good until the program changes its environment.
std::string_view variable_now(const char* name) noexcept
{
  const char* const value = ::secure_getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

std::string_view variable(const char* name) noexcept
{
  return interned_name(variable_now(name));
}

std::string_view words_of_program() noexcept
{
  const char* const words = gpa_default_options != nullptr ? gpa_default_options() : nullptr;
  return words == nullptr ? std::string_view() : interned_name(words);
}

settings read_environment() noexcept
{
  text complaints;
  text help;
  const std::string_view program = words_of_program();
  const std::string_view user = variable("GPA_OPTIONS");
  settings s;
  if (!program.empty() || !user.empty()) s = settings_from(program, user, complaints, help);
  s.color_unwanted = !variable_now("NO_COLOR").empty() || variable_now("TERM") == "dumb";
  s.in_github = variable_now("GITHUB_ACTIONS") == "true";
  if (s.in_github) s.workspace = variable("GITHUB_WORKSPACE");
  set_naming({.symbols = s.symbolize, .hidden = s.hide, .stripped = s.strip_path_prefix});
  report_inherited_blocks(s.follow_fork);
  if (!help.empty()) help.write_to_stderr();
  if (complaints.empty()) return s;
  complaints.write_to_stderr();
  if (s.strict) ::_exit(2);  // before the program began to rely on anything: no handlers, no destructors
  return s;
}

// What was read so far, the later over the earlier.
class reading {
 public:
  explicit reading(bool strict, text& complaints) noexcept : complaints_(complaints)
  {
    s_.strict = strict;
    for (std::size_t i = 0; i != keys.size(); ++i) now_[i] = keys[i].fallback;
  }

  void take(std::string_view source, std::string_view words) noexcept
  {
    source_ = source;
    take(words);
  }
  void append_help_to(text& help) const
  {
    if (s_.help) append_help(help, now_);
  }
  [[nodiscard]] const settings& result() const noexcept { return s_; }

 private:
  void take(std::string_view words) noexcept
  {
    for (setting each; take_setting(words, each);) {
      const key* const k = find_key(each.key);
      if (k == nullptr) {
        complain_of_key(complaints_, s_, source_, each.key);
      } else if (each.flaw != setting_flaw::none || !k->read(each.value, s_)) {
        complain_of_value(complaints_, s_, source_, *k, each);
      } else {
        now_[static_cast<std::size_t>(k - keys.data())] = each.value;
        if (k->name == "include") include(each.value);
      }
    }
  }
  // Line by line, where it is named: what follows wins over it.
  void include(std::string_view path) noexcept
  {
    text words;
    text c_path;
    c_path.append(path);
    c_path.append(1, '\0');
    if (inside_) {
      absl::Format(&complaints_, "gpa: %s: %s: include=%s stands in an included file\n", severity(s_), source_, path);
    } else if (!append_file(words, c_path.view().data())) {
      absl::Format(&complaints_, "gpa: %s: %s: include=%s cannot be read (%s)\n", severity(s_), source_, path,
                   ::strerrordesc_np(errno));
    } else {
      inside_ = true;
      const std::string_view outer = std::exchange(source_, path);
      for (std::string_view rest = interned_name(words.view()); !rest.empty();) {
        const std::size_t end = std::min(rest.find('\n'), rest.size());
        const std::string_view line = rest.substr(0, end);
        const std::size_t first = line.find_first_not_of(" \t");
        if (first != line.npos && line[first] != '#') take(line);
        rest.remove_prefix(std::min(end + 1, rest.size()));
      }
      source_ = outer;
      inside_ = false;
    }
  }

  text& complaints_;
  std::string_view source_;
  settings s_;
  std::array<std::string_view, keys.size()> now_{};
  bool inside_ = false;
};

}  // namespace

settings settings_from(std::string_view program, std::string_view user, text& complaints, text& help) noexcept
{
  // Twice, because `strict`, wherever it stands, decides how everything else is told of.
  constexpr std::string_view of_program = "gpa_default_options()";
  constexpr std::string_view of_user = "GPA_OPTIONS";
  text unheard;
  reading first(false, unheard);
  first.take(of_program, program);
  first.take(of_user, user);
  reading r(first.result().strict, complaints);
  r.take(of_program, program);
  r.take(of_user, user);
  r.append_help_to(help);
  return r.result();
}

const settings& environment_settings() noexcept
{
  static const settings s = read_environment();  // trivially destructible: good until the last instruction
  return s;
}

void apply_environment(gpa::options& o) noexcept
{
  if (o.environment == environment::ignored) return;
  const settings& s = environment_settings();
  const auto set = [](auto& field, const auto& given) {
    if (given.has_value()) field = *given;
  };
  set(o.checks, s.checks);
  set(o.thread_safe, s.thread_safe);
  set(o.memory_limit, s.memory_limit);
  set(o.quarantine_bytes, s.quarantine_bytes);
  set(o.poison_bytes, s.poison_bytes);
  set(o.stack_frames, s.stack_frames);
  set(o.after_mistake, s.after_mistake);
  set(o.log_operations, s.log_operations);
  set(o.leak_exit_status, s.leak_exit_status);
  set(o.profile, s.profile);
  set(o.protect_large, s.protect_large);
}

}  // namespace gpa::detail
