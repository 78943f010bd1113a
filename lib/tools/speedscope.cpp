// speedscope's file format: frames once, and a list of stacks with weights for each measure, the one asked for in
// front.

#include "tools/exports.hpp"
#include "tools/json_writer.hpp"

#include <map>
#include <tuple>

namespace gpa::tools {

namespace {

class writer {
 public:
  writer(std::string& out, const document& d) : json_(out), d_(d) {}

  void write(measure first)
  {
    json_.begin_object();
    json_.member("$schema", "https://www.speedscope.app/file-format-schema.json");
    json_.member("exporter", "gpa-report " + d_.tool_version);
    json_.member("name", std::string(file_name(d_.executable)) + ", resource " + d_.resource);
    json_.member("activeProfileIndex", 0);
    json_.key("shared").begin_object().key("frames").begin_list();
    for (const std::size_t t : used_traces()) number_frames(t);
    json_.end_list().end_object();
    json_.key("profiles").begin_list();
    write_profile(first);
    for (const measure m : {measure::live, measure::peak, measure::total})
      if (m != first && (m == measure::live || d_.profiled)) write_profile(m);
    json_.end_list().end_object();
  }

 private:
  std::vector<std::size_t> used_traces()
  {
    stacks_.resize(d_.traces.size());
    std::vector<bool> used(d_.traces.size());
    std::vector<std::size_t> order;
    for (const site& s : d_.sites) {
      if (!used[s.trace]) order.push_back(s.trace);
      used[s.trace] = true;
    }
    return order;
  }

  void number_frames(std::size_t trace)
  {
    std::vector<std::uint64_t>& stack = stacks_[trace];
    for_each_call(d_, trace, [&](const call& c) {
      const auto [place, is_new] = frames_.try_emplace({c.function, c.file, c.line}, frames_.size());
      stack.push_back(place->second);
      if (!is_new) return;
      json_.begin_object().member("name", c.function.empty() ? "??" : c.function);
      if (!c.file.empty()) json_.member("file", c.file);
      if (c.line != 0) json_.member("line", c.line);
      if (c.column != 0) json_.member("col", c.column);
      json_.end_object();
    });
  }

  void write_profile(measure what)
  {
    std::uint64_t sum = 0;
    json_.begin_object().member("type", "sampled").member("name", std::string(name_of(what)) + " bytes");
    json_.member("unit", "bytes").member("startValue", 0).key("samples").begin_list();
    for (const site& s : d_.sites) {
      json_.begin_list();
      for (auto id = stacks_[s.trace].rbegin(); id != stacks_[s.trace].rend(); ++id) json_.value(*id);
      json_.end_list();
    }
    json_.end_list().key("weights").begin_list();
    for (const site& s : d_.sites) {
      json_.value(bytes_of(s, what));
      sum = sum_of(sum, bytes_of(s, what));
    }
    json_.end_list().member("endValue", sum).end_object();
  }

  json_writer json_;
  const document& d_;
  std::map<std::tuple<std::string, std::string, std::uint32_t>, std::uint64_t> frames_ = {};
  std::vector<std::vector<std::uint64_t>> stacks_ = {};
};

}  // namespace

std::string to_speedscope(const document& d, measure what)
{
  require(d, what);
  std::string out;
  writer(out, d).write(what);
  out += '\n';
  return out;
}

}  // namespace gpa::tools
