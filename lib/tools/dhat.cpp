// DHAT's format, version 2, as Valgrind's dh_view.html and the Firefox Profiler read it.
//
// "At t-gmax" is what each site held when the whole was at its peak, "max" what it held at its own. The latter of
// several sites with one stack is a sum of peaks, which need not have been at the same time, or that of the whole where
// that is less. Lifetimes are those of
// freed blocks. Without profiling only "total" is shown, and it is what is live.

#include "tools/exports.hpp"
#include "tools/json_writer.hpp"

#include <algorithm>
#include <cstdio>
#include <map>
#include <unordered_map>

namespace gpa::tools {

namespace {

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
    const std::uint64_t end = std::max(d_.age, d_.totals.peak_age);
    json_.begin_object();
    json_.member("dhatFileVersion", 2).member("mode", "gpa").member("verb", d_.profiled ? "Allocated" : "Live");
    json_.member("bklt", d_.profiled).member("bkacc", false);
    json_.member("tu", "µs").member("Mtu", "s").member("tuth", 10);
    json_.member("cmd", command_of(d_)).member("pid", d_.pid);
    json_.member("tg", end - d_.totals.peak_age).member("te", end);
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
    for (const site& s : d_.sites) points[frames_of(s.trace)].add(s);
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

  void write_point(const std::vector<std::uint64_t>& frames, const site& merged)
  {
    const site s = capped_at_peak(merged, d_);
    json_.begin_object();
    if (d_.profiled) {
      json_.member("tb", s.total_bytes).member("tbk", s.total_blocks).member("tl", s.lifetime_sum);
      json_.member("mb", s.peak_bytes).member("mbk", s.peak_blocks);
      json_.member("gb", s.at_peak_bytes).member("gbk", s.at_peak_blocks);
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
