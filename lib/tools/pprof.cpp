// pprof's profile.proto: every measure at once, as columns of each sample.
//
//   sample_type   inuse_objects, inuse_space; with profiling also alloc_objects, alloc_space, peak_objects, peak_space:
//                 the last two are what was in use at the peak of the whole
//   sample        one a site; labels: tag (text), bytes (the size class)
//   location      one a frame, with the address in the process, and a line a call, innermost first
//   mapping       one a module, with its build id: what a server needs to name frames that have no names yet
//   drop_frames   library functions that stacks end in: readers leave them out, so that a user's line is what allocates

#include "tools/exports.hpp"
#include "tools/gzip.hpp"
#include "tools/protobuf.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <unordered_map>

namespace gpa::tools {

namespace {

// Field numbers of profile.proto, by message.
namespace profile {
enum : unsigned {
  sample_type = 1,
  sample,
  mapping,
  location,
  function,
  string_table,
  drop_frames,
  time_nanos = 9,
  duration_nanos,
  comment = 13,
  default_sample_type
};
}
namespace value_type {
enum : unsigned { type = 1, unit };
}
namespace sample {
enum : unsigned { location_id = 1, value, label };
}
namespace label {
enum : unsigned { key = 1, str, num, num_unit };
}
namespace mapping {
enum : unsigned {
  id = 1,
  memory_start,
  memory_limit,
  file_offset,
  filename,
  build_id,
  has_functions,
  has_filenames,
  has_line_numbers,
  has_inline_frames
};
}
namespace location {
enum : unsigned { id = 1, mapping_id, address, line };
}
namespace line {
enum : unsigned { function_id = 1, line, column };
}
namespace function {
enum : unsigned { id = 1, name, filename = 4 };
}

// As pprof looks at names: without parameters.
std::string without_parameters(const std::string& name)
{
  std::size_t at = 0;
  while ((at = name.find('(', at)) != std::string::npos) {
    constexpr std::string_view unnamed = "(anonymous namespace)";
    constexpr std::string_view call = "operator()";
    if (name.compare(at, unnamed.size(), unnamed) == 0) {
      at += unnamed.size();
    } else if (at + 2 >= call.size() && name.compare(at + 2 - call.size(), call.size(), call) == 0) {
      at += 2;
    } else {
      break;
    }
  }
  return name.substr(0, at);
}

std::string quoted_for_pattern(const std::string& text)
{
  std::string quoted;
  for (const char c : text) {
    if (std::string_view("\\.+*?()|[]{}^$").find(c) != std::string_view::npos) quoted += '\\';
    quoted += c;
  }
  return quoted;
}

// A pattern of the library functions that lie between a user's call and the allocation. Readers cut a stack at the
// outermost function that matches, so none may have a call of a user's inside of it, in any stack, nor be all there is.
std::string dropped_frames(const document& d)
{
  std::set<std::string> inside;
  std::set<std::string> outside;
  for (const site& s : d.sites) {
    std::vector<std::string> innermost;
    bool met_user = false;
    for_each_call(d, s.trace, [&](const call& c) {
      if (!c.library) {
        met_user = true;
      } else {
        std::string name = without_parameters(c.function);
        if (met_user) {
          outside.insert(std::move(name));
        } else {
          innermost.push_back(std::move(name));
        }
      }
    });
    (met_user ? inside : outside).insert(innermost.begin(), innermost.end());
  }
  constexpr std::size_t longest = std::size_t{1} << 16;  // a pattern of thousands of names would cost readers more
  std::string pattern;
  for (const std::string& name : inside) {
    if (name.empty() || outside.contains(name) || pattern.size() + name.size() > longest) continue;
    if (!pattern.empty()) pattern += '|';
    pattern += quoted_for_pattern(name);
  }
  return pattern;
}

class writer {
 public:
  explicit writer(const document& d) : d_(d) { number_of({}); }

  std::string write()
  {
    add_type("inuse_objects", "count");
    add_type("inuse_space", "bytes");
    if (d_.profiled) {
      add_type("alloc_objects", "count");
      add_type("alloc_space", "bytes");
      add_type("peak_objects", "count");
      add_type("peak_space", "bytes");
    }
    for (const site& s : d_.sites) add_sample(s);
    add_mappings();
    for (std::size_t i = 0; i != d_.frames.size(); ++i) add_location(i);
    const std::int64_t from = seconds_of(d_.start);
    const std::int64_t to = seconds_of(d_.time);
    constexpr std::int64_t nanoseconds = 1'000'000'000;
    constexpr std::int64_t latest = std::numeric_limits<std::int64_t>::max() / nanoseconds;  // in the year 2262
    if (to >= 0 && to <= latest) out_.number(profile::time_nanos, static_cast<std::uint64_t>(to * nanoseconds));
    if (from >= 0 && to > from && to <= latest)
      out_.number(profile::duration_nanos, static_cast<std::uint64_t>((to - from) * nanoseconds));
    const std::uint64_t inuse_space = number_of("inuse_space");
    if (d_.estimated) out_.number(profile::comment, number_of("estimated from one in " + std::to_string(d_.one_in)));
    out_.number(profile::drop_frames, number_of(dropped_frames(d_)));
    out_.number(profile::default_sample_type, inuse_space);
    for (const std::string& s : strings_) out_.bytes(profile::string_table, s);
    return gzipped(out_.text());
  }

 private:
  std::uint64_t number_of(const std::string& text)
  {
    const auto [place, is_new] = numbers_.try_emplace(text, strings_.size());
    if (is_new) strings_.push_back(text);
    return place->second;
  }

  void add_type(const char* type, const char* unit)
  {
    protobuf message;
    message.number(value_type::type, number_of(type)).number(value_type::unit, number_of(unit));
    out_.message(profile::sample_type, message);
  }

  void add_sample(const site& s)
  {
    std::vector<std::uint64_t> ids;
    for (const std::size_t index : d_.traces[s.trace]) ids.push_back(index + 1);
    std::vector<std::uint64_t> values = {s.live_blocks, s.live_bytes};
    if (d_.profiled) values.insert(values.end(), {s.total_blocks, s.total_bytes, s.at_peak_blocks, s.at_peak_bytes});
    protobuf message;
    message.packed(sample::location_id, ids).packed(sample::value, values);
    if (!s.tag.empty()) {
      protobuf tag;
      tag.number(label::key, number_of("tag")).number(label::str, number_of(s.tag));
      message.message(sample::label, tag);
    }
    protobuf size;
    size.number(label::key, number_of("bytes")).number(label::num, s.size_class);
    size.number(label::num_unit, number_of("bytes"));
    message.message(sample::label, size);
    out_.message(profile::sample, message);
  }

  void add_mappings()
  {
    std::vector<std::uint64_t> ends(d_.modules.size());
    std::vector<bool> unnamed(d_.modules.size());
    for (const frame& f : d_.frames) {
      if (f.module == none) continue;
      ends[f.module] = std::max(ends[f.module], f.address + 1);
      if (!f.named) unnamed[f.module] = true;
    }
    // How long a module is, no report says. pprof takes mappings of different length for different ones when it merges
    // profiles; rounded up this far, those of one build are of one length in all of them.
    constexpr std::uint64_t coarse = std::uint64_t{16} << 20;
    for (std::size_t i = 0; i != d_.modules.size(); ++i) {
      const module& m = d_.modules[i];
      protobuf message;
      message.number(mapping::id, i + 1).number(mapping::memory_start, m.base);
      message.number(mapping::memory_limit,
                     m.base + (std::max(ends[i], m.base + 1) - m.base + coarse - 1) / coarse * coarse);
      message.number(mapping::filename, number_of(m.path)).number(mapping::build_id, number_of(m.build_id));
      if (!unnamed[i]) {
        for (const unsigned flag :
             {mapping::has_functions, mapping::has_filenames, mapping::has_line_numbers, mapping::has_inline_frames})
          message.number(flag, 1);
      }
      out_.message(profile::mapping, message);
    }
  }

  void add_location(std::size_t index)
  {
    const frame& f = d_.frames[index];
    protobuf message;
    message.number(location::id, index + 1).number(location::address, f.address);
    if (f.module != none) message.number(location::mapping_id, f.module + 1);
    // Without a name there is no line: whoever has the module's file can still look it up.
    if (f.named || f.module == none) {
      for (const call& c : f.calls) {
        protobuf one;
        one.number(line::function_id, function_of(c)).number(line::line, c.line).number(line::column, c.column);
        message.message(location::line, one);
      }
    }
    out_.message(profile::location, message);
  }

  std::uint64_t function_of(const call& c)
  {
    const auto [place, is_new] = functions_.try_emplace({c.function, c.file}, functions_.size() + 1);
    if (is_new) {
      // No system_name: where it is the name, pprof takes that for a mangled one, and cuts what it takes for noise.
      protobuf message;
      message.number(function::id, place->second).number(function::name, number_of(c.function));
      message.number(function::filename, number_of(c.file));
      out_.message(profile::function, message);
    }
    return place->second;
  }

  const document& d_;
  protobuf out_ = {};
  std::unordered_map<std::string, std::uint64_t> numbers_ = {};
  std::vector<std::string> strings_ = {};
  std::map<std::pair<std::string, std::string>, std::uint64_t> functions_ = {};
};

}  // namespace

std::string to_pprof(const document& d)
{
  return writer(d).write();
}

}  // namespace gpa::tools
