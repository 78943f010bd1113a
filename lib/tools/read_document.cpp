#include "tools/read_document.hpp"

#include "tools/plain_text.hpp"
#include "trace/modules.hpp"

#include <nlohmann/json.hpp>

#include <charconv>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <limits>

namespace gpa::tools {

namespace {

using nlohmann::json;

// A position in the text that tells how far it is.
class told_iterator {
 public:
  using difference_type = std::ptrdiff_t;
  using value_type = char;
  using pointer = const char*;
  using reference = const char&;
  using iterator_category = std::input_iterator_tag;

  told_iterator(const char* at, std::string_view text, const progress* tell) : at_(at), text_(text), tell_(tell) {}

  reference operator*() const { return *at_; }
  told_iterator& operator++()
  {
    ++at_;
    const auto done = static_cast<std::size_t>(at_ - text_.data());
    if (done % (std::size_t{1} << 20) == 0 && *tell_)
      (*tell_)(static_cast<double>(done) / static_cast<double>(text_.size()));
    return *this;
  }
  told_iterator operator++(int)
  {
    const told_iterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const told_iterator& other) const { return at_ == other.at_; }

 private:
  const char* at_;
  std::string_view text_;
  const progress* tell_;
};

// An object of the document, and where it stands, for the error text.
class object {
 public:
  // Far beyond what any memory holds, and so small that differences, too, fit into 64 bits.
  static constexpr std::uint64_t largest_number = std::uint64_t{1} << 62;

  object(const json& value, std::string_view list, std::size_t index = none) : value_(value), list_(list), index_(index)
  {
    if (!value_.is_object()) fail("", "is no object");
  }

  [[nodiscard]] bool has(const char* key) const { return value_.contains(key) && !value_[key].is_null(); }

  [[nodiscard]] std::string text(const char* key) const
  {
    if (!has(key)) return {};
    if (!value_[key].is_string()) fail(key, "is no string");
    return without_controls(value_[key].get_ref<const std::string&>());
  }

  // An amount. Estimates may be written as fractions.
  [[nodiscard]] std::uint64_t number(const char* key) const
  {
    if (!has(key)) return 0;
    const json& v = value_[key];
    if (v.is_number_unsigned()) return whole(key, largest_number);
    if (!v.is_number_float() || !(v.get<double>() >= 0)) fail(key, "is no number from 0 up");
    if (v.get<double>() > static_cast<double>(largest_number)) fail(key, "is too large");
    return static_cast<std::uint64_t>(std::llround(v.get<double>()));
  }

  // What counts or tells which: there is no half of it.
  [[nodiscard]] std::uint64_t whole(const char* key, std::uint64_t most) const
  {
    if (!has(key)) return 0;
    if (!value_[key].is_number_unsigned()) fail(key, "is no whole number from 0 up");
    const auto n = value_[key].get<std::uint64_t>();
    if (n > most) fail(key, "is too large");
    return n;
  }

  [[nodiscard]] std::uint32_t small_number(const char* key) const
  {
    return static_cast<std::uint32_t>(whole(key, std::numeric_limits<std::uint32_t>::max()));
  }

  // What a caller asked for, however wrong it was. Nobody adds it up.
  [[nodiscard]] std::uint64_t as_given(const char* key) const
  {
    return whole(key, std::numeric_limits<std::uint64_t>::max());
  }

  [[nodiscard]] bool flag(const char* key) const
  {
    if (!has(key)) return false;
    if (!value_[key].is_boolean()) fail(key, "is neither true nor false");
    return value_[key].get<bool>();
  }

  // "0x7f31c2a00240", or a number.
  [[nodiscard]] std::uint64_t address(const char* key) const
  {
    if (!has(key) || !value_[key].is_string()) return as_given(key);
    const auto& text = value_[key].get_ref<const std::string&>();
    std::uint64_t parsed = 0;
    const char* const end = text.data() + text.size();
    if (!text.starts_with("0x") || std::from_chars(text.data() + 2, end, parsed, 16).ptr != end)
      fail(key, "is no hexadecimal number");
    return parsed;
  }

  // An index into a list of `count`; `none` where there is none.
  [[nodiscard]] std::size_t index(const char* key, std::size_t count, std::string_view what) const
  {
    if (!has(key)) return none;
    const std::uint64_t n = as_given(key);
    if (n >= count)
      fail(key, "is " + std::to_string(n) + ", but there are " + std::to_string(count) + " " + std::string(what));
    return static_cast<std::size_t>(n);
  }

  [[nodiscard]] const json& list(const char* key) const
  {
    static const json empty = json::array();
    if (!has(key)) return empty;
    if (!value_[key].is_array()) fail(key, "is no list");
    return value_[key];
  }

  [[nodiscard]] object inner(const char* key) const
  {
    static const json empty = json::object();
    return {has(key) ? value_[key] : empty, key};
  }

  [[nodiscard]] const json& value() const { return value_; }

  [[noreturn]] void fail(std::string_view key, const std::string& what) const
  {
    std::string where(list_);
    if (index_ != none) where += "[" + std::to_string(index_) + "]";
    if (!where.empty() && !key.empty()) where += ".";
    where += key;
    throw refusal("damaged: " + (where.empty() ? std::string("the document") : where) + " " + what);
  }

 private:
  const json& value_;
  std::string_view list_;
  std::size_t index_;
};

template <class F>
void for_each(const object& parent, const char* key, F f)
{
  std::size_t index = 0;
  for (const json& element : parent.list(key)) {
    f(object(element, key, index));
    ++index;
  }
}

frame read_frame(const object& o, std::size_t modules)
{
  frame f{.address = o.address("pc"), .relative = o.address("rel"), .module = o.index("module", modules, "modules")};
  for_each(o, "calls", [&](const object& c) {
    f.calls.push_back({.function = c.text("function"),
                       .file = c.text("file"),
                       .line = c.small_number("line"),
                       .column = c.small_number("column"),
                       .inlined = c.flag("inlined"),
                       .library = c.flag("library")});
  });
  return f;
}

void read_traces(document& d, const object& root)
{
  std::size_t index = 0;
  for (const json& list : root.list("traces")) {
    const auto damaged = [&] {
      return refusal("damaged: traces[" + std::to_string(index) + "] is no list of indices of the " +
                     std::to_string(d.frames.size()) + " frames");
    };
    if (!list.is_array()) throw damaged();
    call_stack& t = d.traces.emplace_back();
    for (const json& i : list) {
      if (!i.is_number_unsigned() || i.get<std::uint64_t>() >= d.frames.size()) throw damaged();
      t.push_back(i.get<std::size_t>());
    }
    ++index;
  }
}

site read_site(const object& o, std::size_t traces)
{
  return {.trace = o.index("trace", traces, "traces"),
          .tag = o.text("tag"),
          .size_class = o.number("size_class"),
          .live_bytes = o.number("live_bytes"),
          .live_blocks = o.number("live_blocks"),
          .peak_bytes = o.number("peak_bytes"),
          .peak_blocks = o.number("peak_blocks"),
          .at_peak_bytes = o.number("at_peak_bytes"),
          .at_peak_blocks = o.number("at_peak_blocks"),
          .total_bytes = o.number("total_bytes"),
          .total_blocks = o.number("total_blocks"),
          .temporary = o.number("temporary"),
          .lifetime_sum = o.number("lifetime_sum")};
}

mistake read_mistake(const object& o, std::size_t traces)
{
  mistake m{.rule = o.text("rule"),
            .kind = o.text("kind"),
            .message = o.text("message"),
            .reason = o.text("reason"),
            .address = o.text("address"),
            .fingerprint = o.text("fingerprint"),
            .bytes = o.as_given("bytes"),
            .alignment = o.as_given("alignment"),
            .blocks = o.has("blocks") ? o.as_given("blocks") : 1,
            .total_bytes = o.as_given(o.has("total_bytes") ? "total_bytes" : "bytes")};
  const object roles = o.inner("traces");
  for (const char* role : {"here", "freed", "allocated"})
    if (const std::size_t index = roles.index(role, traces, "traces"); index != none)
      m.traces.emplace_back(role, index);
  const object threads = o.inner("threads");
  for (const char* role : {"here", "freed", "allocated"})
    if (const std::uint64_t number = threads.as_given(role); number != 0) m.threads.emplace_back(role, number);
  return m;
}

// The trace of sites without one: made when it is first needed.
std::size_t no_stack(document& d)
{
  d.frames.push_back({.named = false, .calls = {{.function = no_call_stack}}});
  d.traces.push_back({d.frames.size() - 1});
  return d.traces.size() - 1;
}

void give_every_site_a_stack(document& d)
{
  std::size_t stackless = none;
  const auto complete = [&](std::size_t& trace) {
    if (trace != none && !d.traces[trace].empty()) return;
    if (stackless == none) stackless = no_stack(d);
    trace = stackless;
  };
  for (site& s : d.sites) complete(s.trace);
  for (mistake& m : d.mistakes)
    std::erase_if(m.traces, [&](const auto& role) { return d.traces[role.second].empty(); });
}

json parse(std::string_view text, const progress& tell)
{
  // The parser would take it for the end of the text, and pass over what follows.
  if (const std::size_t at = text.find('\0'); at != std::string_view::npos)
    throw refusal("not a report of gpa: byte " + std::to_string(at + 1) + " is a NUL");
  try {
    const char* const end = text.data() + text.size();
    return json::parse(told_iterator(text.data(), text, &tell), told_iterator(end, text, &tell));
  } catch (const json::parse_error& e) {
    // It fails behind the last byte in a string or a number that is cut, and at it in a word.
    if (e.byte > text.size() || std::string_view(e.what()).find("unexpected end of input") != std::string_view::npos)
      throw refusal("truncated: it ends after " + counted(text.size(), "byte") + ", in the middle of the document");
    throw refusal("not a report of gpa: no JSON from byte " + std::to_string(e.byte) + " on");
  } catch (const json::out_of_range&) {
    throw refusal("not a report of gpa: it has a number that no computer's type holds");
  }
}

}  // namespace

document read_document(std::string_view text, const progress& tell)
{
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) throw refusal("truncated: it is empty");
  const json parsed = parse(text, tell);
  if (!parsed.is_object() || !parsed.contains("gpa_report"))
    throw refusal("not a report of gpa: it has no key \"gpa_report\"");
  const object root(parsed, "");
  const std::uint64_t version = root.as_given("gpa_report");
  if (version > document_version)
    throw refusal("a report of version " + std::to_string(version) + ", and this gpa-report reads version " +
                  std::to_string(document_version) + ": take the gpa-report of the gpa that wrote it");
  if (version == 0) root.fail("gpa_report", "is no version");
  for (const char* const key : {"sites", "tool", "process", "resource", "estimated", "profiled", "totals", "modules",
                                "frames", "traces", "mistakes"})
    if (!root.has(key)) root.fail(key, "is missing");

  document d;
  d.tool_version = root.inner("tool").text("version");
  const object process = root.inner("process");
  d.pid = process.whole("pid", object::largest_number);
  d.executable = process.text("executable");
  for (const json& argument : process.list("arguments")) {
    if (!argument.is_string()) process.fail("arguments", "has an element that is no string");
    d.arguments.push_back(without_controls(argument.get_ref<const std::string&>()));
  }
  d.start = process.text("start");
  d.time = process.text("time");
  d.reason = process.text("reason");
  d.age = process.number("age");
  const object resource = root.inner("resource");
  d.resource = resource.text("name");
  d.checks = resource.text("checks");
  d.one_in = resource.whole("one_in", object::largest_number);
  d.estimated = root.flag("estimated");
  d.profiled = root.flag("profiled");
  const object totals = root.inner("totals");
  d.totals = {.live_bytes = totals.number("live_bytes"),
              .live_blocks = totals.number("live_blocks"),
              .peak_bytes = totals.number("peak_bytes"),
              .peak_blocks = totals.number("peak_blocks"),
              .peak_is_exact = !totals.has("peak_is_exact") || totals.flag("peak_is_exact"),
              .total_bytes = totals.number("total_bytes"),
              .total_blocks = totals.number("total_blocks"),
              .peak_age = totals.number("peak_age")};
  for_each(root, "modules", [&](const object& o) {
    d.modules.push_back({.path = o.text("path"), .build_id = o.text("build_id"), .base = o.address("base")});
  });
  for_each(root, "frames", [&](const object& o) { d.frames.push_back(read_frame(o, d.modules.size())); });
  read_traces(d, root);
  for_each(root, "sites", [&](const object& o) { d.sites.push_back(read_site(o, d.traces.size())); });
  for_each(root, "mistakes", [&](const object& o) { d.mistakes.push_back(read_mistake(o, d.traces.size())); });
  d.mistakes_not_listed = root.number("mistakes_not_listed");
  give_every_site_a_stack(d);
  return d;
}

bool is_library(const document& d, const module& m)
{
  return m.path != d.executable && detail::is_library_module(m.path);
}

void name_unknown_frames(document& d)
{
  for (frame& f : d.frames) {
    if (!f.calls.empty()) continue;
    f.named = false;
    char text[32];
    if (f.module == none) {
      std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(f.address));
      f.calls.push_back({.function = text});
    } else {
      std::snprintf(text, sizeof text, "+0x%llx", static_cast<unsigned long long>(f.relative));
      const module& m = d.modules[f.module];
      f.calls.push_back({.function = std::string(file_name(m.path)) + text, .library = is_library(d, m)});
    }
  }
}

}  // namespace gpa::tools
