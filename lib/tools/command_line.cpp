#include "tools/command_line.hpp"

#include "tools/read_document.hpp"

#include <gpa/version.hpp>

#include <absl/flags/flag.h>
#include <absl/flags/parse.h>
#include <absl/flags/reflection.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

// Names as users write them, but for the dashes that C++ does not allow.
ABSL_FLAG(std::string, to, "text", "");
ABSL_FLAG(std::string, o, "", "");
ABSL_FLAG(std::string, what, "", "");
ABSL_FLAG(std::string, by, "", "");
ABSL_FLAG(std::uint64_t, limit, 10, "");
ABSL_FLAG(std::vector<std::string>, binary, {}, "");
ABSL_FLAG(std::vector<std::string>, debug_dir, {}, "");
ABSL_FLAG(std::string, file, "", "");
ABSL_FLAG(std::string, resource, "", "");
ABSL_FLAG(double, interval, 2, "");
ABSL_FLAG(std::uint64_t, times, 0, "");

namespace gpa::tools {

namespace {

constexpr const char* help = R"(usage: gpa-report FILE [OPTION]...
       gpa-report diff BEFORE AFTER [OPTION]...
       gpa-report top FILE [OPTION]...
       gpa-report watch PID [OPTION]...

Shows what gpa::resource::write_report() wrote, and turns it into what other programs read.

  FILE    the totals, the largest sites with their call stacks, and the mistakes
  diff    what changed from one report to another
  top     the largest sites, one a line
  watch   the same of a running program, again and again: sends it SIGUSR2 and reads what it writes

  --to=FORMAT       text (default), html, dhat, pprof (gzip), folded, speedscope, sarif; of a diff: text, html
  -o FILE           write there instead of to standard output
  --what=MEASURE    live, peak, total: bytes by which sites are measured; default live, or peak where nothing is live
  --by=GROUP        line, file, function, stack, size_class, tag: one row each; default stack, of diff, top and watch line
  --limit=N         rows of text, and mistakes; 0 = all; default 10, of top and watch 20
  --binary=FILE     where symbols are, for reports of stripped programs; believed if its build id is the report's.
                    More than one: with commas
  --debug-dir=DIR   a folder of such files, by name or as .build-id/ab/cdef.debug
  --file=FILE       watch: what the program writes; default: report_path of its GPA_OPTIONS
  --resource=NAME   watch: which one, where the file's name has %n
  --interval=S      watch: seconds between two looks, default 2
  --times=N         watch: how many looks; default: until interrupted
  --help, --version

Exit status: 0 done, 1 the input cannot be read or has not what is asked for, or the output cannot be written,
2 wrong usage.
)";

const absl::CommandLineFlag& flag_of(const std::string& name, const std::string& as_given)
{
  const absl::CommandLineFlag* const flag = absl::FindCommandLineFlag(name);
  // Abseil has some of its own.
  if (flag == nullptr || flag->Filename().find("command_line.cpp") == std::string::npos)
    throw refusal("no option " + as_given + "; see --help");
  return *flag;
}

void check_number(const absl::CommandLineFlag& flag, const std::string& as_given, const std::string& value)
{
  const bool is_whole = flag.IsOfType<std::uint64_t>();
  if (!is_whole && !flag.IsOfType<double>()) return;
  std::uint64_t whole = 0;
  double number = 0;
  const char* const end = value.data() + value.size();
  const auto [rest, error] =
      is_whole ? std::from_chars(value.data(), end, whole) : std::from_chars(value.data(), end, number);
  if (value.empty() || error != std::errc{} || rest != end || number < 0 || !std::isfinite(number))
    throw refusal(as_given + " takes a number, not \"" + value + "\"");
}

// Be it with its default.
std::vector<std::string> given;

bool was_given(std::string_view name) { return std::find(given.begin(), given.end(), name) != given.end(); }

// `--debug-dir` as Abseil knows it, and what is wrong in one line of ours: Abseil's own errors are paragraphs. Returns
// what is to be said instead of doing anything.
std::string prepare(std::vector<std::string>& arguments)
{
  for (std::size_t i = 1; i < arguments.size() && arguments[i] != "--"; ++i) {
    std::string& a = arguments[i];
    if (a.size() < 2 || a[0] != '-') continue;
    const std::size_t name_at = a[1] == '-' ? 2 : 1;
    const std::size_t end = std::min(a.find('='), a.size());
    const std::string as_given = a.substr(0, end);
    std::replace(a.begin() + static_cast<std::ptrdiff_t>(name_at), a.begin() + static_cast<std::ptrdiff_t>(end), '-',
                 '_');
    const std::string name = a.substr(name_at, end - name_at);
    if (name == "help" || name == "h") return help;
    if (name == "version") return "gpa-report " GPA_VERSION "\n";
    const absl::CommandLineFlag& flag = flag_of(name, as_given);
    given.push_back(name);
    if (end != a.size()) {
      check_number(flag, as_given, a.substr(end + 1));
    } else if (++i != arguments.size()) {
      check_number(flag, as_given, arguments[i]);
    } else {
      throw refusal(as_given + " needs a value; see --help");
    }
  }
  return {};
}

void take_files(command& c, const std::vector<std::string>& words)
{
  constexpr std::array<std::pair<const char*, action>, 3> verbs = {
      std::pair{"diff", action::diff}, std::pair{"top", action::top}, std::pair{"watch", action::watch}};
  auto rest = words.begin();
  if (rest == words.end()) throw refusal("no file; see --help");
  for (const auto& [name, verb] : verbs) {
    if (*rest != name) continue;
    c.action = verb;
    ++rest;
    break;
  }
  c.files.assign(rest, words.end());
  const std::size_t wanted = c.action == action::diff ? 2 : 1;
  if (c.files.size() != wanted)
    throw refusal(c.action == action::watch ? "watch takes one process id; see --help"
                                            : "takes " + counted(wanted, "file") + ", and " +
                                                  std::to_string(c.files.size()) + " are given; see --help");
  if (c.action == action::watch) c.pid = c.files.front();
}

// Rather than let somebody believe that they had a say.
void refuse_what_does_nothing(const command& c)
{
  const auto refuse = [](const char* name, const std::string& where) {
    if (was_given(name)) throw refusal(std::string("--") + name + " has no say in " + where + "; see --help");
  };
  if (c.action != action::watch)
    for (const char* const name : {"file", "resource", "interval", "times"}) refuse(name, "what is no watch");
  if (c.to == "text") return;
  for (const char* const name : {"by", "limit"}) refuse(name, c.to);
  if (c.to == "dhat" || c.to == "pprof" || c.to == "sarif") refuse("what", c.to + ", which has all that it can hold");
}

}  // namespace

command parse_command_line(int count, char** arguments)
{
  std::vector<std::string> texts(arguments, arguments + count);
  if (std::string words = prepare(texts); !words.empty()) return {.action = action::say, .words = std::move(words)};
  std::vector<char*> prepared;
  for (std::string& t : texts) prepared.push_back(t.data());
  std::vector<std::string> words;
  for (const char* const w : absl::ParseCommandLine(count, prepared.data())) words.emplace_back(w);
  words.erase(words.begin());

  command c;
  take_files(c, words);
  c.to = absl::GetFlag(FLAGS_to);
  c.output = absl::GetFlag(FLAGS_o);
  constexpr std::array formats = {"text", "html", "dhat", "pprof", "folded", "speedscope", "sarif"};
  if (std::find(formats.begin(), formats.end(), c.to) == formats.end())
    throw refusal("no format \"" + c.to + "\": text, html, dhat, pprof, folded, speedscope, sarif");
  if (c.action == action::diff && c.to != "text" && c.to != "html")
    throw refusal("a diff is written as text or html; pprof has a -diff_base of its own");
  if ((c.action == action::top || c.action == action::watch) && c.to != "text")
    throw refusal("top and watch write text");
  refuse_what_does_nothing(c);
  const std::string what = absl::GetFlag(FLAGS_what);
  c.measure_is_given = !what.empty();
  if (c.measure_is_given && !parse(what, c.request.what))
    throw refusal("no measure \"" + what + "\": live, peak, total");
  c.request.grouping = c.action == action::convert ? by::stack : by::line;
  const std::string grouping = absl::GetFlag(FLAGS_by);
  if (!grouping.empty() && !parse(grouping, c.request.grouping))
    throw refusal("no group \"" + grouping + "\": line, file, function, stack, size_class, tag");
  const bool short_rows = c.action == action::top || c.action == action::watch;
  c.request.limit = short_rows && !was_given("limit") ? 20 : absl::GetFlag(FLAGS_limit);
  c.symbols = {.binaries = absl::GetFlag(FLAGS_binary), .directories = absl::GetFlag(FLAGS_debug_dir)};
  c.watched_file = absl::GetFlag(FLAGS_file);
  c.resource = absl::GetFlag(FLAGS_resource);
  c.interval = absl::GetFlag(FLAGS_interval);
  c.times = absl::GetFlag(FLAGS_times);
  return c;
}

}  // namespace gpa::tools
