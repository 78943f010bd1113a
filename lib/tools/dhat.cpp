// DHAT's format, version 2, as Valgrind's dh_view.html and the Firefox Profiler read it.
//
// What gpa does not know is filled in as follows. The blocks of a site's own peak (mbk) are its peak bytes by its
// average size. What each site held when the whole was at its peak ("at t-gmax") is what it holds at the end, and
// t-gmax is put there: the viewer wants both. Lifetimes are those of freed blocks. Without profiling only "total" is
// shown, and it is what is live.

#include "tools/exports.hpp"
#include "tools/json_writer.hpp"

#include <algorithm>
#include <cstdio>
#include <map>
#include <unordered_map>

namespace gpa::tools {

namespace {

constexpr std::uint64_t microseconds_a_second = 1'000'000;

std::string command_of(const document& d)
{
  std::string text;
  for (const std::string& argument : d.arguments) text += (text.empty() ? "" : " ") + argument;
  return text.empty() ? d.executable : text;
}

// `0x4005: function (file:line:column)`: the form the Firefox Profiler parses.
std::string frame_text(std::uint64_t address, const call& c)
{
  char hex[32];
  std::snprintf(hex, sizeof hex, "0x%llX", static_cast<unsigned long long>(address));
  std::string text = std::string(hex) + ": " + (c.function.empty() ? "???" : c.function);
  if (!c.file.empty()) text += " (" + c.file + ":" + std::to_string(c.line) + ":" + std::to_string(c.column) + ")";
  return text;
}

class writer {
 public:
  writer(std::string& out, const document& d) : json_(out), d_(d) {}

  void write()
  {
    const std::int64_t from = seconds_of(d_.start);
    const std::int64_t to = seconds_of(d_.time);
    const std::uint64_t end =
        from < 0 || to <= from ? 1 : static_cast<std::uint64_t>(to - from) * microseconds_a_second;
    json_.begin_object();
    json_.member("dhatFileVersion", 2).member("mode", "gpa").member("verb", d_.profiled ? "Allocated" : "Live");
    json_.member("bklt", d_.profiled).member("bkacc", false);
    json_.member("tu", "µs").member("Mtu", "s").member("tuth", 10);
    json_.member("cmd", command_of(d_)).member("pid", d_.pid).member("tg", end).member("te", end);
    json_.key("pps").begin_list();
    for (const auto& [frames, s] : merged()) write_point(frames, s);
    json_.end_list().key("ftbl").begin_list().value("[root]");
    for (const std::string& name : names_) json_.value(name);
    json_.end_list().end_object();
  }

 private:
  // The viewer wants each stack once.
  std::map<std::vector<std::uint64_t>, site> merged()
  {
    std::map<std::vector<std::uint64_t>, site> points;
    for (const site& s : d_.sites) {
      site& sum = points[frames_of(s.trace)];
      sum.live_bytes += s.live_bytes;
      sum.live_blocks += s.live_blocks;
      sum.peak_bytes += s.peak_bytes;
      sum.total_bytes += s.total_bytes;
      sum.total_blocks += s.total_blocks;
      sum.lifetime_sum += s.lifetime_sum;
    }
    return points;
  }

  // Innermost first, as in the viewer's own files; 0 is the root.
  std::vector<std::uint64_t> frames_of(std::size_t trace)
  {
    std::vector<std::uint64_t> numbers;
    for (const std::size_t index : d_.traces[trace]) {
      const frame& f = d_.frames[index];
      for (const call& c : f.calls) {
        const auto [place, is_new] = numbers_.try_emplace(frame_text(f.address, c), names_.size() + 1);
        if (is_new) names_.push_back(place->first);
        numbers.push_back(place->second);
      }
    }
    return numbers;
  }

  void write_point(const std::vector<std::uint64_t>& frames, const site& s)
  {
    json_.begin_object();
    if (d_.profiled) {
      const double average =
          s.total_blocks == 0 ? 1
                              : std::max(1.0, static_cast<double>(s.total_bytes) / static_cast<double>(s.total_blocks));
      const auto peak_blocks = static_cast<std::uint64_t>(static_cast<double>(s.peak_bytes) / average + 0.5);
      json_.member("tb", s.total_bytes).member("tbk", s.total_blocks).member("tl", s.lifetime_sum);
      json_.member("mb", s.peak_bytes).member("mbk", std::max(peak_blocks, s.live_blocks));
      json_.member("gb", s.live_bytes).member("gbk", s.live_blocks);
      json_.member("eb", s.live_bytes).member("ebk", s.live_blocks);
    } else {
      json_.member("tb", s.live_bytes).member("tbk", s.live_blocks);
    }
    json_.key("fs").begin_list();
    for (const std::uint64_t number : frames) json_.value(number);
    json_.end_list().end_object();
  }

  json_writer json_;
  const document& d_;
  std::unordered_map<std::string, std::uint64_t> numbers_ = {};
  std::vector<std::string> names_ = {};
};

}  // namespace

std::string to_dhat(const document& d)
{
  std::string out;
  writer(out, d).write();
  out += '\n';
  return out;
}

}  // namespace gpa::tools
