#include "leak_twins.hpp"

#include "trace/depot.hpp"
#include "trace/symbolize.hpp"

#include <algorithm>
#include <cstddef>
#include <span>

namespace gpa::detail {

namespace {

constexpr std::size_t most_groups = 1'000;
constexpr std::size_t most_differences = 3;
constexpr std::uintptr_t farthest = 64 << 10;  // few functions are longer

using stack = std::span<const std::uintptr_t>;

bool may_be_twins(stack a, stack b) noexcept
{
  if (a.size() != b.size()) return false;
  std::size_t differences = 0;
  for (std::size_t i = 0; i != a.size(); ++i) {
    if (a[i] == b[i]) continue;
    const std::uintptr_t distance = a[i] < b[i] ? b[i] - a[i] : a[i] - b[i];
    if (distance > farthest || ++differences > most_differences) return false;
  }
  return true;
}

bool reads_the_same(const frame_list& a, const frame_list& b) noexcept
{
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const frame& f, const frame& g) {
    return f.address == g.address || (f.line != 0 && f.line == g.line && f.column == g.column && f.file == g.file &&
                                      f.function == g.function && f.inlined == g.inlined);
  });
}

void add(block_count& to, const block_count& more) noexcept
{
  to.blocks += more.blocks;
  to.bytes += more.bytes;
}

void fold(leak_group& into, const leak_group& twin) noexcept
{
  if (twin.first.address < into.first.address) into.first = twin.first;
  into.last = std::max(into.last, twin.last);
  add(into.own, twin.own);
  add(into.owned, twin.owned);
}

}  // namespace

void merge_twins(list_of<leak_group>& groups)
{
  const std::size_t end = std::min(groups.size(), most_groups);
  list_of<frame_list> names(end);
  const auto named = [&](std::size_t i) -> const frame_list& {
    if (names[i].empty()) names[i] = symbolize(depot_frames(groups[i].first.trace));
    return names[i];
  };
  list_of<bool> folded(groups.size());
  for (std::size_t i = 0; i != end; ++i) {
    const stack here = depot_frames(groups[i].first.trace);
    if (folded[i] || here.empty()) continue;
    for (std::size_t j = i + 1; j != end; ++j) {
      const bool may = !folded[j] && groups[i].is_owned == groups[j].is_owned &&
                       may_be_twins(here, depot_frames(groups[j].first.trace));
      if (!may || !reads_the_same(named(i), named(j))) continue;
      fold(groups[i], groups[j]);
      folded[j] = true;
    }
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i != groups.size(); ++i)
    if (!folded[i]) groups[kept++] = groups[i];
  if (kept == groups.size()) return;
  groups.resize(kept);
  sort_groups(groups);
}

}  // namespace gpa::detail
