// Snapshots: sites to rows, differences, filters.
#include <gpa/snapshot.hpp>

#include "profile/places.hpp"
#include "profile/site_counts.hpp"
#include "profile/tags.hpp"
#include "trace/depot.hpp"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

namespace gpa {

namespace {

std::ptrdiff_t signed_(std::size_t n) noexcept { return static_cast<std::ptrdiff_t>(n); }

// Rows by their key: its words, or the addresses of a stack.
class table {
 public:
  explicit table(by key) : key_(key) {}

  void add(const snapshot& s, bool older)
  {
    for (const site& one : s.sites()) {
      if (one.live_blocks == 0) continue;
      snapshot_row& row = row_of(one);
      const std::ptrdiff_t sign = older ? -1 : 1;
      if (!older) {
        row.size += one.live_bytes;
        row.count += one.live_blocks;
      }
      row.size_difference += sign * signed_(one.live_bytes);
      row.count_difference += sign * signed_(one.live_blocks);
    }
  }

  [[nodiscard]] std::vector<snapshot_row> sorted(bool compared) &&
  {
    for (snapshot_row& row : rows_) row.compared = compared;
    if (!compared)
      for (snapshot_row& row : rows_) row.size_difference = row.count_difference = 0;
    std::sort(rows_.begin(), rows_.end(), [](const snapshot_row& a, const snapshot_row& b) {
      const auto rank = [](const snapshot_row& r) {
        return std::tuple(std::abs(r.size_difference), r.size, std::abs(r.count_difference), r.count);
      };
      return rank(a) != rank(b) ? rank(a) > rank(b) : a.place < b.place;
    });
    return std::move(rows_);
  }

 private:
  snapshot_row& row_of(const site& s)
  {
    std::string place;
    if (key_ != by::stack) place = places_.place_of(s, key_);
    const auto addresses = s.allocated.addresses();
    const std::string_view stack(reinterpret_cast<const char*>(addresses.data()), addresses.size_bytes());
    const auto [found, fresh] = known_.try_emplace(key_ == by::stack ? std::string(stack) : place, rows_.size());
    if (fresh) {
      if (key_ == by::stack) place = places_.place_of(s, by::line);
      rows_.push_back({.key = key_, .place = std::move(place), .example = s.allocated});
    }
    return rows_[found->second];
  }

  by key_;
  detail::places places_;
  std::unordered_map<std::string, std::size_t> known_;
  std::vector<snapshot_row> rows_;
};

std::shared_ptr<const site[]> shared(std::vector<site>&& all)
{
  const auto kept = std::make_shared<const std::vector<site>>(std::move(all));
  return {kept, kept->data()};
}

}  // namespace

std::size_t snapshot::live_bytes() const noexcept
{
  std::size_t sum = 0;
  for (const site& s : sites()) sum += s.live_bytes;
  return sum;
}

std::size_t snapshot::live_blocks() const noexcept
{
  std::size_t sum = 0;
  for (const site& s : sites()) sum += s.live_blocks;
  return sum;
}

void snapshot::count(by key, const snapshot* older, detail::receiver<snapshot_row> taker) const
{
  table t(key);
  t.add(*this, false);
  if (older != nullptr) t.add(*older, true);
  for (snapshot_row& r : std::move(t).sorted(older != nullptr)) taker.take(taker.container, std::move(r));
}

snapshot snapshot::filter(std::initializer_list<snapshot_filter> filters) const
{
  const bool listed = std::any_of(filters.begin(), filters.end(), [](const snapshot_filter& f) { return f.keep; });
  snapshot kept;
  kept.estimated_ = estimated_;
  kept.profiled_ = profiled_;
  std::vector<site> left;
  detail::places names;
  for (const site& s : sites()) {
    bool wanted = !listed;
    bool unwanted = false;
    for (const snapshot_filter& f : filters)
      if (names.file_matches(s, f)) (f.keep ? wanted : unwanted) = true;
    if (wanted && !unwanted) left.push_back(s);
  }
  kept.count_ = left.size();
  kept.sites_ = shared(std::move(left));
  return kept;
}

snapshot_filter include(std::string_view pattern, bool any_frame)
{
  return {.keep = true, .pattern = std::string(pattern), .any_frame = any_frame};
}

snapshot_filter exclude(std::string_view pattern, bool any_frame)
{
  return {.keep = false, .pattern = std::string(pattern), .any_frame = any_frame};
}

namespace detail {

snapshot snapshot_maker::make(const list_of<site_counts>& sites, bool estimated, bool profiled)
{
  snapshot s;
  s.estimated_ = estimated;
  s.profiled_ = profiled;
  std::vector<site> all;
  all.reserve(sites.size());
  for (const site_counts& c : sites)
    all.push_back({.allocated = gpa::stack_trace(c.trace, 0),
                   .tag = tag_name(depot_tag(c.trace)),
                   .size_class = c.size_class,
                   .live_bytes = c.live_bytes,
                   .live_blocks = c.live_blocks,
                   .peak_bytes = c.peak_bytes,
                   .total_bytes = c.total_bytes,
                   .total_blocks = c.total_blocks,
                   .temporary = c.temporary,
                   .lifetime_sum = c.lifetime_sum,
                   .peak_blocks = c.peak_blocks,
                   .at_peak_bytes = c.at_peak_bytes,
                   .at_peak_blocks = c.at_peak_blocks});
  s.count_ = all.size();
  s.sites_ = shared(std::move(all));
  return s;
}

}  // namespace detail

}  // namespace gpa
