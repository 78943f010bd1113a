// For people: the totals, the rows with their stacks, the mistakes.

#include "tools/exports.hpp"
#include "tools/plain_text.hpp"
#include "tools/read_document.hpp"

#include <algorithm>
#include <array>
#include <ctime>

namespace gpa::tools {

namespace {

std::string share_text(std::uint64_t part, std::uint64_t whole)
{
  if (whole == 0) return "-";
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%.1f %%", 100 * static_cast<double>(part) / static_cast<double>(whole));
  return text.data();
}

std::uint64_t total_of(const document& d, measure what)
{
  std::uint64_t sum = 0;
  for (const site& s : d.sites) sum = sum_of(sum, bytes_of(s, what));
  return sum;
}

std::string head_of(const document& d)
{
  const std::string program = d.arguments.empty() ? d.executable : d.arguments.front();
  const std::string when = d.reason == "request"  ? "by request"
                           : d.reason == "signal" ? "on SIGUSR2"
                                                  : "at " + d.reason;
  return "resource \"" + d.resource + "\" of " + std::string(file_name(program)) + " (pid " + std::to_string(d.pid) +
         "), " + d.time + ", " + when;
}

std::string totals_of(const document& d)
{
  const totals& t = d.totals;
  const auto amount = [](std::uint64_t bytes, std::uint64_t blocks) {
    return size_text(static_cast<double>(bytes)) + " in " + counted(blocks, "block");
  };
  return "live " + amount(t.live_bytes, t.live_blocks) + ", peak " + (t.peak_is_exact ? "" : "at least ") +
         amount(t.peak_bytes, t.peak_blocks) + ", total " + amount(t.total_bytes, t.total_blocks);
}

// Why there is nothing to show although there is something.
std::string unchecked_note(const document& d)
{
  return d.checks == "never" ? "its blocks were not checked (checks::never()): only totals are known\n" : "";
}

std::string estimate_note(const document& d)
{
  if (!d.estimated) return {};
  return "estimated from one in " + std::to_string(d.one_in) + " allocations; what is live, and in total, is counted, its peak at least that\n";
}

void append_call(std::string& out, std::size_t number, const call& c)
{
  out += "    #";
  out += std::to_string(number);
  out += ' ';
  out += c.function.empty() ? "??" : c.function;
  if (!c.file.empty()) {
    out += ' ';
    out += place_of(c);
    if (c.column != 0) out.append(1, ':').append(std::to_string(c.column));
  }
  if (c.inlined) out += " (inlined)";
  out += '\n';
}

// The user's frames; those of libraries are counted, unless there are no others.
void append_stack(std::string& out, const document& d, std::size_t trace)
{
  std::size_t users = 0;
  std::size_t libraries = 0;
  for_each_call(d, trace, [&](const call& c) {
    if (c.library) {
      ++libraries;
    } else {
      append_call(out, users++, c);
    }
  });
  if (users == 0) {
    for_each_call(d, trace, [&](const call& c) { append_call(out, users++, c); });
  } else if (libraries != 0) {
    out += "    (+" + counted(libraries, "library frame") + ")\n";
  }
}

// Peaks of several sites need not have been at the same time.
std::string profile_note(const site& s, bool several)
{
  std::string text = std::string("    own peak ") + (several ? "at most " : "") + size_text(static_cast<double>(s.peak_bytes)) + ", total " +
                     size_text(static_cast<double>(s.total_bytes)) + " in " + counted(s.total_blocks, "block");
  if (s.temporary != 0) text += ", " + std::to_string(s.temporary) + " of them temporary";
  if (s.total_blocks > s.live_blocks) {
    std::array<char, 64> lived{};
    const double average = static_cast<double>(s.lifetime_sum) / static_cast<double>(s.total_blocks - s.live_blocks);
    std::snprintf(lived.data(), lived.size(), average < 1e4 ? ", lived %.0f us" : ", lived %.1f ms",
                  average < 1e4 ? average : average / 1e3);
    text += lived.data();
  }
  return text + "\n";
}

// At most that many bytes, and no part of a character.
std::string_view end_of(std::string_view text, std::size_t most)
{
  text.remove_prefix(text.size() - std::min(most, text.size()));
  while (!text.empty() && character_length(text) == 0) text.remove_prefix(1);
  return text;
}

void append_left_out(std::string& out, std::size_t shown, std::size_t all)
{
  if (shown < all) out += "\n(and " + std::to_string(all - shown) + " more; --limit=0 shows all)\n";
}

std::size_t shown_of(const text_request& request, std::size_t count)
{
  return request.limit == 0 ? count : std::min(request.limit, count);
}

// As the library's own text has it.
std::string_view words_for(std::string_view role, const mistake& m)
{
  return role == "freed" && m.rule == "gpa-double-free" ? "first freed" : role;
}

void append_mistake(std::string& out, const document& d, const mistake& m)
{
  const std::string_view headline = m.role_of_headline();
  const std::uint64_t thread = m.thread_of("here");
  const auto by_thread = [&](std::string_view role) {
    const std::uint64_t number = m.thread_of(role);
    return number != 0 && number != thread ? " by thread " + std::to_string(number) : std::string();
  };
  out += "\n";
  if (const std::size_t about = m.trace_of(headline); about != none) {
    const call& c = first_worth_showing(d, about);
    out += place_of(c) + (c.line != 0 && c.column != 0 ? ":" + std::to_string(c.column) : "") + ": ";
  }
  out += "error: " + m.message + " [" + m.rule + "]\n";
  if (const std::size_t about = m.trace_of(headline); about != none) append_stack(out, d, about);
  if (!m.reason.empty() && m.message.find(m.reason) == std::string::npos) out += "    " + m.reason + "\n";
  for (const auto& [role, trace] : m.traces) {
    if (role == headline) continue;
    out += "  " + std::string(words_for(role, m)) + by_thread(role) + "\n";
    append_stack(out, d, trace);
  }
}

void append_mistakes(std::string& out, const document& d, const text_request& request)
{
  const std::uint64_t all = d.mistakes.size() + d.mistakes_not_listed;
  if (all == 0) return;
  out.append(1, '\n').append(counted(all, "mistake")).append(1, '\n');
  const std::size_t shown = shown_of(request, d.mistakes.size());
  for (std::size_t i = 0; i != shown; ++i) append_mistake(out, d, d.mistakes[i]);
  append_left_out(out, shown, d.mistakes.size());
  if (d.mistakes_not_listed != 0)
    out += "\n(the last " + std::to_string(d.mistakes_not_listed) + " are not in the report, which lists no more)\n";
}

}  // namespace

void require(const document& d, measure what)
{
  if (what == measure::live || d.profiled) return;
  throw refusal(std::string("it has no ") + name_of(what) + " of each site: " +
                (d.checks == "never" ? "its blocks were not checked (checks::never())"
                                     : "profiling was off in the process that wrote it (options::profile)"));
}

std::int64_t seconds_of(const std::string& time)
{
  std::tm parts{};
  const char* const end = strptime(time.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  return end == nullptr ? -1 : static_cast<std::int64_t>(timegm(&parts));
}

std::string to_text(const document& d, const text_request& request)
{
  require(d, request.what);
  const std::vector<row> rows = rows_of(d, request.grouping, request.what);
  const std::uint64_t whole = total_of(d, request.what);
  const std::size_t shown = shown_of(request, rows.size());
  std::string out = head_of(d) + "\n" + totals_of(d) + "\n" + estimate_note(d) + unchecked_note(d);
  out.append(1, '\n').append(name_of(request.what)).append(" bytes, largest first\n");
  if (rows.empty()) out += "nothing\n";
  for (std::size_t i = 0; i != shown; ++i) {
    const row& r = rows[i];
    if (request.grouping == by::stack) out += '\n';
    out += line_of(r, false) + ", " + share_text(r.bytes, whole) + "\n";
    if (request.grouping != by::stack) continue;
    append_stack(out, d, r.trace);
    if (d.profiled) out += profile_note(capped_at_peak(r.sum, d), r.sites > 1);
  }
  append_left_out(out, shown, rows.size());
  append_mistakes(out, d, request);
  return out;
}

std::string to_text(const document& before, const document& after, const text_request& request)
{
  require(before, request.what);
  require(after, request.what);
  const std::vector<row> rows = compare(before, after, request.grouping, request.what);
  const std::size_t shown = shown_of(request, rows.size());
  std::string out = "before: " + head_of(before) + "\n        " + totals_of(before) + "\n";
  out += "after:  " + head_of(after) + "\n        " + totals_of(after) + "\n" + estimate_note(after);
  for (const auto& [d, which] : {std::pair{&before, "before: "}, std::pair{&after, "after:  "}})
    if (const std::string note = unchecked_note(*d); !note.empty()) out += which + note;
  out.append(1, '\n').append(name_of(request.what)).append(" bytes, largest difference first\n");
  if (rows.empty()) out += "no difference\n";
  for (std::size_t i = 0; i != shown; ++i) {
    if (request.grouping == by::stack) out += '\n';
    out += line_of(rows[i], true) + "\n";
    if (request.grouping == by::stack) append_stack(out, rows[i].is_gone ? before : after, rows[i].trace);
  }
  append_left_out(out, shown, rows.size());
  return out;
}

std::string to_table(const document& d, const text_request& request, std::size_t width)
{
  require(d, request.what);
  const std::vector<row> rows = rows_of(d, request.grouping, request.what);
  const std::uint64_t whole = total_of(d, request.what);
  std::string out = head_of(d) + "\n" + totals_of(d) + "\n" + estimate_note(d) + unchecked_note(d) + "\n";
  const auto line = [&](const std::string& bytes, const std::string& share, const std::string& blocks,
                        const std::string& average, const std::string& place) {
    std::array<char, 128> numbers{};
    std::snprintf(numbers.data(), numbers.size(), "%10s %8s %10s %10s  ", bytes.c_str(), share.c_str(), blocks.c_str(),
                  average.c_str());
    const std::string text = numbers.data() + place;
    // The end of a path says more than its beginning.
    const std::size_t used = std::string_view(numbers.data()).size();
    const std::size_t room = width > used + 4 ? width - used : 4;
    out += place.size() <= room ? text : numbers.data() + ("..." + std::string(end_of(place, room - 3)));
    out += '\n';
  };
  line(name_of(request.what), "share", "blocks", "average", "place");
  for (std::size_t i = 0; i != shown_of(request, rows.size()); ++i) {
    const row& r = rows[i];
    line(size_text(static_cast<double>(r.bytes)), share_text(r.bytes, whole),
         r.blocks == 0 ? "-" : std::to_string(r.blocks),
         r.blocks == 0 ? "-" : size_text(static_cast<double>(r.bytes) / static_cast<double>(r.blocks)), r.place);
  }
  return out;
}

}  // namespace gpa::tools
