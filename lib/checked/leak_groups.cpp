#include "checked/leak_groups.hpp"

#include <algorithm>
#include <new>

namespace gpa::detail {

namespace {

std::uint64_t key_of(const live_block& b, bool is_owned) noexcept
{
  return std::uint64_t{b.trace} << 1 | (is_owned ? 1U : 0U);
}

}  // namespace

void leak_groups::add(const live_block& b, bool is_owned) noexcept
{
  leaked_.add(b.bytes);
  if (is_owned && !owned_too_) return;
  try {
    leak_group& g = groups_[key_of(b, is_owned)];
    if (g.own.blocks == 0 || b.address < g.first.address) g.first = b;
    if (b.address > g.last) g.last = b.address;
    g.own.add(b.bytes);
    g.is_owned = is_owned;
  } catch (const std::bad_alloc&) {
    // The totals are right all the same.
  }
}

void leak_groups::add_owner(const live_block& b) noexcept
{
  add(b, false);
}
void leak_groups::add_owned(const live_block& b) noexcept
{
  add(b, true);
}

void leak_groups::add_to_owner(const live_block& owner, const block_count& owned) noexcept
{
  const auto found = groups_.find(key_of(owner, false));
  if (found == groups_.end()) return;
  found->second.owned.blocks += owned.blocks;
  found->second.owned.bytes += owned.bytes;
}

list_of<leak_group> leak_groups::sorted() const
{
  list_of<leak_group> list;
  list.reserve(groups_.size());
  for (const auto& [key, group] : groups_) list.push_back(group);
  sort_groups(list);
  return list;
}

void sort_groups(list_of<leak_group>& list) noexcept
{
  const auto holds = [](const leak_group& g) { return g.own.bytes + g.owned.bytes; };
  std::sort(list.begin(), list.end(), [&](const leak_group& a, const leak_group& b) {
    if (a.is_owned != b.is_owned) return b.is_owned;
    return holds(a) != holds(b) ? holds(a) > holds(b) : a.first.address < b.first.address;
  });
}

}  // namespace gpa::detail
