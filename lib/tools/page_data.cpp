#include "tools/page_data.hpp"

#include "tools/json_writer.hpp"
#include "tools/sources.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>
#include <unordered_map>

namespace gpa::tools {

namespace {

// Texts with numbers, in the order they came.
class text_table {
 public:
  std::size_t number_of(const std::string& text)
  {
    const auto [place, is_new] = numbers_.try_emplace(text, texts_.size());
    if (is_new) texts_.push_back(&place->first);
    return place->second;
  }

  void write(json_writer& json, const char* key) const
  {
    json.key(key).begin_list();
    for (const std::string* const text : texts_) json.value(*text);
    json.end_list();
  }

 private:
  std::unordered_map<std::string, std::size_t> numbers_ = {};
  std::vector<const std::string*> texts_ = {};
};

struct numbered_call {
  std::size_t function = 0;
  std::size_t file = none;
  const call* what = nullptr;
};

// One row of the page's table: a site of one report or of both.
struct row_of_page {
  std::size_t node = 0;
  std::size_t tag = 0;
  site now = {};
  site before = {};
};

class builder {
 public:
  builder(const document& d, const document* before, measure what) : d_(d), before_(before), what_(what) {}

  std::string build()
  {
    add(d_, &row_of_page::now);
    if (before_ != nullptr) add(*before_, &row_of_page::before);
    number_mistakes();
    std::string out;
    json_writer json(out);
    json.begin_object();
    write_head(json);
    functions_.write(json, "functions");
    files_.write(json, "files");
    tags_.write(json, "tags");
    write_calls(json);
    write_nodes(json);
    write_sites(json);
    write_mistakes(json);
    write_sources(json);
    json.end_object();
    return out;
  }

 private:
  using calls_of_frame = std::vector<std::size_t>;

  std::size_t number_of(const call& c)
  {
    const std::size_t function = functions_.number_of(c.function.empty() ? "??" : c.function);
    const std::size_t file = c.file.empty() ? none : files_.number_of(c.file);
    const auto [place, is_new] = call_numbers_.try_emplace({function, file, c.line}, calls_.size());
    if (is_new) calls_.push_back({function, file, &c});
    return place->second;
  }

  std::size_t child(std::size_t parent, std::size_t called)
  {
    // Both stay below 2^32: there are fewer than bytes in the report.
    const std::uint64_t key = static_cast<std::uint64_t>(parent + 1) << 32 | called;
    const auto [place, is_new] = children_.try_emplace(key, nodes_.size());
    if (is_new) nodes_.emplace_back(parent, called);
    return place->second;
  }

  void add(const document& d, site row_of_page::*side)
  {
    std::vector<calls_of_frame> calls(d.frames.size());
    for (std::size_t i = 0; i != d.frames.size(); ++i)
      for (const call& c : d.frames[i].calls) calls[i].push_back(number_of(c));
    std::vector<std::size_t> leaf_of_trace(d.traces.size(), none);
    for (const site& s : d.sites) {
      std::size_t& node = leaf_of_trace[s.trace];
      if (node == none) {
        const call_stack& stack = d.traces[s.trace];
        for (auto f = stack.rbegin(); f != stack.rend(); ++f)
          for (auto c = calls[*f].rbegin(); c != calls[*f].rend(); ++c) node = child(node, *c);
      }
      const std::size_t tag = tags_.number_of(s.tag);
      const auto [place, is_new] = row_numbers_.try_emplace({node, tag, s.size_class}, rows_.size());
      if (is_new) rows_.push_back({.node = node, .tag = tag});
      (rows_[place->second].*side).add(s);
      rows_[place->second].now.size_class = s.size_class;
    }
  }

  void number_mistakes()
  {
    for (const mistake& m : d_.mistakes) {
      auto& stacks = mistake_stacks_.emplace_back();
      for (const auto& [role, trace] : m.traces)
        for_each_call(d_, trace, [&, &list = stacks.emplace_back()](const call& c) { list.push_back(number_of(c)); });
    }
  }

  static void write_document(json_writer& json, const document& d)
  {
    const totals& t = d.totals;
    json.begin_object().member("pid", d.pid).member("executable", d.executable).member("time", d.time);
    json.member("reason", d.reason).member("resource", d.resource).key("arguments").begin_list();
    for (const std::string& argument : d.arguments) json.value(argument);
    json.end_list();
    json.member("live_bytes", t.live_bytes).member("live_blocks", t.live_blocks);
    json.member("peak_bytes", t.peak_bytes).member("peak_blocks", t.peak_blocks);
    json.member("total_bytes", t.total_bytes).member("total_blocks", t.total_blocks).end_object();
  }

  void write_head(json_writer& json) const
  {
    json.member("version", d_.tool_version).member("measure", static_cast<int>(what_));
    json.member("estimated", d_.estimated).member("one_in", d_.one_in);
    json.member("profiled", d_.profiled && (before_ == nullptr || before_->profiled));
    json.key("now");
    write_document(json, d_);
    if (before_ == nullptr) return;
    json.key("before");
    write_document(json, *before_);
  }

  template <class F>
  void write_column(json_writer& json, const char* name, std::size_t count, F value_of) const
  {
    json.key(name).begin_list();
    for (std::size_t i = 0; i != count; ++i) json.value(value_of(i));
    json.end_list();
  }

  static std::int64_t or_minus_one(std::size_t index) { return index == none ? -1 : static_cast<std::int64_t>(index); }

  void write_calls(json_writer& json) const
  {
    const std::size_t count = calls_.size();
    json.key("calls").begin_object();
    write_column(json, "function", count, [&](std::size_t i) { return std::uint64_t{calls_[i].function}; });
    write_column(json, "file", count, [&](std::size_t i) { return or_minus_one(calls_[i].file); });
    write_column(json, "line", count, [&](std::size_t i) { return calls_[i].what->line; });
    write_column(json, "column", count, [&](std::size_t i) { return calls_[i].what->column; });
    write_column(json, "flags", count,
                 [&](std::size_t i) { return (calls_[i].what->inlined ? 1 : 0) + (calls_[i].what->library ? 2 : 0); });
    json.end_object();
  }

  void write_nodes(json_writer& json) const
  {
    json.key("nodes").begin_object();
    write_column(json, "parent", nodes_.size(), [&](std::size_t i) { return or_minus_one(nodes_[i].first); });
    write_column(json, "call", nodes_.size(), [&](std::size_t i) { return std::uint64_t{nodes_[i].second}; });
    json.end_object();
  }

  void write_sites(json_writer& json) const
  {
    const std::size_t count = rows_.size();
    json.key("sites").begin_object();
    write_column(json, "node", count, [&](std::size_t i) { return std::uint64_t{rows_[i].node}; });
    write_column(json, "tag", count, [&](std::size_t i) { return std::uint64_t{rows_[i].tag}; });
    write_column(json, "size", count, [&](std::size_t i) { return rows_[i].now.size_class; });
    write_side(json, "", &row_of_page::now);
    if (before_ != nullptr) write_side(json, "_before", &row_of_page::before);
    json.end_object();
  }

  void write_side(json_writer& json, const std::string& suffix, site row_of_page::*side) const
  {
    const auto column = [&](const char* name, std::uint64_t site::*number) {
      write_column(json, (name + suffix).c_str(), rows_.size(), [&](std::size_t i) { return rows_[i].*side.*number; });
    };
    column("live", &site::live_bytes);
    column("blocks", &site::live_blocks);
    if (!d_.profiled || (before_ != nullptr && !before_->profiled)) return;
    column("peak", &site::at_peak_bytes);
    column("peak_blocks", &site::at_peak_blocks);
    write_column(json, ("own_peak" + suffix).c_str(), rows_.size(), [&](std::size_t i) {
      return capped_at_peak(rows_[i].*side, suffix.empty() ? d_ : *before_).peak_bytes;
    });
    column("total", &site::total_bytes);
    column("total_blocks", &site::total_blocks);
    column("temporary", &site::temporary);
    column("lifetime", &site::lifetime_sum);
  }

  void write_mistakes(json_writer& json) const
  {
    json.key("mistakes").begin_list();
    for (std::size_t i = 0; i != d_.mistakes.size(); ++i) {
      const mistake& m = d_.mistakes[i];
      json.begin_object().member("rule", m.rule).member("kind", m.kind).member("message", m.message);
      json.key("stacks").begin_list();
      for (std::size_t k = 0; k != m.traces.size(); ++k) {
        json.begin_object().member("role", m.traces[k].first).key("calls").begin_list();
        for (const std::size_t number : mistake_stacks_[i][k]) json.value(std::uint64_t{number});
        json.end_list().end_object();
      }
      json.end_list().end_object();
    }
    json.end_list();
  }

  // Of the mistakes first, then of the largest sites.
  void write_sources(json_writer& json) const
  {
    source_lines sources;
    const auto ask = [&](std::size_t number) {
      const numbered_call& c = calls_[number];
      if (!c.what->library && c.file != none && c.what->line != 0) sources.ask(c.file, c.what->file, c.what->line);
    };
    for (const auto& stacks : mistake_stacks_)
      for (const auto& stack : stacks) std::for_each(stack.begin(), stack.end(), ask);
    std::vector<std::size_t> order(rows_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto weight = [&](std::size_t i) {
      return std::max(bytes_of(rows_[i].now, what_), bytes_of(rows_[i].before, what_));
    };
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return weight(a) != weight(b) ? weight(a) > weight(b) : a < b; });
    for (const std::size_t i : order) {
      if (sources.is_full()) break;
      for (std::size_t n = rows_[i].node; n != none; n = nodes_[n].first) ask(nodes_[n].second);
    }
    json.key("sources");
    sources.write(json);
  }

  const document& d_;
  const document* before_;
  measure what_;
  text_table functions_ = {};
  text_table files_ = {};
  text_table tags_ = {};
  std::map<std::tuple<std::size_t, std::size_t, std::uint32_t>, std::size_t> call_numbers_ = {};
  std::vector<numbered_call> calls_ = {};
  std::unordered_map<std::uint64_t, std::size_t> children_ = {};
  std::vector<std::pair<std::size_t, std::size_t>> nodes_ = {};  // parent, call
  std::map<std::tuple<std::size_t, std::size_t, std::uint64_t>, std::size_t> row_numbers_ = {};
  std::vector<row_of_page> rows_ = {};
  std::vector<std::vector<std::vector<std::size_t>>> mistake_stacks_ = {};
};

}  // namespace

std::string page_data(const document& d, const document* before, measure what)
{
  return builder(d, before, what).build();
}

}  // namespace gpa::tools
