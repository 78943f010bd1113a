// gpa-report: shows the reports of gpa::resource, and turns them into what other programs read.

#include "tools/command_line.hpp"
#include "tools/exports.hpp"
#include "tools/input.hpp"
#include "tools/plain_text.hpp"
#include "tools/read_document.hpp"
#include "tools/watch.hpp"

#include <unistd.h>

#include <exception>
#include <new>

namespace {

using namespace gpa::tools;

// A report made at the end of a resource has nothing live: then what it held at most says more.
measure fitting(const command& c, const document& d)
{
  if (c.measure_is_given || d.totals.live_blocks != 0 || !d.profiled) return c.request.what;
  return measure::peak;
}

document load_for(command& c, const std::string& path)
{
  document d = load(path, c.symbols, notes::to_stderr);
  if (path == c.files.back()) c.request.what = fitting(c, d);
  try {
    require(d, c.request.what);
  } catch (const refusal& r) {
    throw refusal(path + ": " + r.what());
  }
  return d;
}

void tell_useless_files(const std::vector<const document*>& reports, const symbol_files& where)
{
  for (const std::string& note : useless_files(reports, where)) tell("note: " + note);
}

// Rather than write over what was to be read.
void keep_inputs(const command& c)
{
  if (c.output.empty()) return;
  for (const std::vector<std::string>* const paths : {&c.files, &c.symbols.binaries})
    for (const std::string& path : *paths)
      if (is_same_file(path, c.output))
        throw refusal("-o " + c.output + " is " + path + " itself, and would overwrite it");
}

std::string converted(const command& c, const document& d)
{
  if (c.to == "html") return to_html(d, nullptr, c.request.what);
  if (c.to == "dhat") return to_dhat(d);
  if (c.to == "pprof") return to_pprof(d);
  if (c.to == "folded") return to_folded(d, c.request.what);
  if (c.to == "speedscope") return to_speedscope(d, c.request.what);
  if (c.to == "sarif") return to_sarif(d);
  return to_text(d, c.request);
}

int run(command& c)
{
  if (c.action == action::say) {
    store({}, c.words);
    return 0;
  }
  if (c.action == action::watch) return watch(c);
  if (c.to == "pprof" && c.output.empty() && ::isatty(STDOUT_FILENO) != 0)
    throw refusal("pprof's format is not for terminals: -o FILE");
  const document d = load_for(c, c.files.front());
  std::string out;
  if (c.action != action::diff) tell_useless_files({&d}, c.symbols);
  if (c.action == action::diff) {
    const document after = load_for(c, c.files.back());
    tell_useless_files({&d, &after}, c.symbols);
    out = c.to == "html" ? to_html(after, &d, c.request.what) : to_text(d, after, c.request);
  } else if (c.action == action::top) {
    out = to_table(d, c.request, terminal_width());
  } else {
    out = converted(c, d);
  }
  store(c.output, out);
  return 0;
}

}  // namespace

int main(int count, char** arguments)
{
  const auto fails = [](const char* why, int status) {
    tell(why);
    return status;
  };
  command c;
  try {
    c = parse_command_line(count, arguments);
    keep_inputs(c);
  } catch (const std::exception& e) {
    return fails(e.what(), 2);
  }
  try {
    return run(c);
  } catch (const std::bad_alloc&) {
    return fails("there is not enough memory to write that", 1);
  } catch (const std::exception& e) {
    return fails(e.what(), 1);
  }
}
