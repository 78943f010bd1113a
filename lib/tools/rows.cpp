#include "tools/rows.hpp"

#include <algorithm>
#include <array>
#include <unordered_map>

namespace gpa::tools {

namespace {

constexpr std::array measure_names = {"live", "peak", "total"};
constexpr std::array<std::string_view, 6> by_names = {"line", "file", "function", "stack", "size_class", "tag"};

// Sums stop where a signed number does, so there is always one.
std::int64_t difference(std::uint64_t after, std::uint64_t before)
{
  return static_cast<std::int64_t>(after) - static_cast<std::int64_t>(before);
}

// Rows, found by what they are grouped by. Asks for the key of a stack once a stack.
class table {
 public:
  explicit table(by grouping) : grouping_(grouping) {}

  enum class age { newer, older };

  void add(const document& d, measure what, age when)
  {
    std::vector<std::size_t> row_of_trace(d.traces.size(), none);
    for (const site& s : d.sites) {
      const std::uint64_t bytes = bytes_of(s, what);
      const std::uint64_t blocks = blocks_of(s, what);
      std::size_t index = none;
      if (grouping_ == by::size_class) {
        index = find(std::to_string(s.size_class), "up to " + counted(s.size_class, "byte"));
      } else if (grouping_ == by::tag) {
        index = find(s.tag, s.tag.empty() ? "(no tag)" : s.tag);
      } else {
        std::size_t& known = row_of_trace[s.trace];
        if (known == none) known = find_trace(d, s.trace);
        index = known;
      }
      row& r = rows_[index];
      if (when == age::newer) {
        r.sum.add(s);
        ++r.sites;
      }
      if (bytes == 0 && blocks == 0) continue;
      std::uint64_t& sum_of_bytes = when == age::newer ? r.bytes : r.bytes_before;
      std::uint64_t& sum_of_blocks = when == age::newer ? r.blocks : r.blocks_before;
      sum_of_bytes = sum_of(sum_of_bytes, bytes);
      sum_of_blocks = sum_of(sum_of_blocks, blocks);
      const bool replaces_gone = when == age::newer && r.is_gone;
      if (r.trace == none || replaces_gone || (bytes > r.largest && r.is_gone == (when == age::older))) {
        r.trace = s.trace;
        r.largest = bytes;
        r.is_gone = when == age::older;
      }
    }
  }

  [[nodiscard]] std::vector<row> take() { return std::move(rows_); }

 private:
  std::size_t find_trace(const document& d, std::size_t trace)
  {
    const call& c = first_worth_showing(d, trace);
    switch (grouping_) {
      case by::file: {
        const std::string file = c.file.empty() ? module_of_first(d, trace) : c.file;
        return find(file, file);
      }
      case by::function: return find(c.function, c.function.empty() ? "??" : c.function);
      case by::stack: return find(stack_key(d, trace), place_of(c));
      default: return find(place_of(c), place_of(c));
    }
  }

  std::size_t find(std::string key, std::string place)
  {
    const auto [position, is_new] = index_.try_emplace(std::move(key), rows_.size());
    if (is_new) rows_.push_back({.place = std::move(place)});
    return position->second;
  }

  by grouping_;
  std::unordered_map<std::string, std::size_t> index_ = {};
  std::vector<row> rows_ = {};
};

template <class Name, std::size_t N>
std::size_t position_of(std::string_view name, const std::array<Name, N>& names)
{
  return static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
}

}  // namespace

std::vector<row> rows_of(const document& d, by grouping, measure what)
{
  table t(grouping);
  t.add(d, what, table::age::newer);
  std::vector<row> rows = t.take();
  std::erase_if(rows, [](const row& r) { return r.bytes == 0 && r.blocks == 0; });
  std::stable_sort(rows.begin(), rows.end(), [](const row& a, const row& b) {
    return a.bytes != b.bytes ? a.bytes > b.bytes : a.blocks > b.blocks;
  });
  return rows;
}

std::vector<row> compare(const document& before, const document& after, by grouping, measure what)
{
  table t(grouping);
  t.add(before, what, table::age::older);
  t.add(after, what, table::age::newer);
  std::vector<row> rows = t.take();
  std::erase_if(rows, [](const row& r) { return r.bytes == r.bytes_before && r.blocks == r.blocks_before; });
  std::stable_sort(rows.begin(), rows.end(), [](const row& a, const row& b) {
    const std::int64_t da = difference(a.bytes, a.bytes_before);
    const std::int64_t db = difference(b.bytes, b.bytes_before);
    if (std::abs(da) != std::abs(db)) return std::abs(da) > std::abs(db);
    return da != db ? da > db : a.blocks > b.blocks;
  });
  return rows;
}

std::string line_of(const row& r, bool with_difference)
{
  std::string text = r.place + ": size=" + size_text(static_cast<double>(r.bytes));
  if (with_difference) text += " (" + size_text(static_cast<double>(difference(r.bytes, r.bytes_before)), true) + ")";
  text += ", count=" + std::to_string(r.blocks);
  if (with_difference) {
    const std::int64_t blocks = difference(r.blocks, r.blocks_before);
    text += " (" + std::string(blocks < 0 ? "" : "+") + std::to_string(blocks) + ")";
  }
  if (r.blocks != 0) text += ", average=" + size_text(static_cast<double>(r.bytes) / static_cast<double>(r.blocks));
  return text;
}

std::string stack_key(const document& d, std::size_t trace)
{
  std::string key;
  for_each_call(d, trace, [&](const call& c) {
    key += c.function;
    key += '\1';
    key += c.file;
    key += '\1';
    key += std::to_string(c.line);
    key += '\2';
  });
  return key;
}

bool parse(std::string_view name, by& out)
{
  const std::size_t position = position_of(name, by_names);
  out = static_cast<by>(position);
  return position != by_names.size();
}

bool parse(std::string_view name, measure& out)
{
  const std::size_t position = position_of(name, measure_names);
  out = static_cast<measure>(position);
  return position != measure_names.size();
}

const char* name_of(measure what) noexcept
{
  return measure_names[static_cast<std::size_t>(what)];
}

}  // namespace gpa::tools
