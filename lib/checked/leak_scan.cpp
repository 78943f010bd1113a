#include "checked/leak_scan.hpp"

#include "base/attributes.hpp"
#include "blocks/page_map.hpp"
#include "checked/checked_heap.hpp"
#include "os/metadata.hpp"
#include "os/static_storage.hpp"
#include "os/threads.hpp"

#include <algorithm>
#include <new>

namespace gpa::detail {

leak_groups::leak_groups(const hash_set<const std::byte*>* reachable) noexcept
    : reachable_(reachable), first_thread_(first_number_of_this_process())
{
}

void leak_groups::add(const live_block& b) noexcept
{
  if (b.ignored || b.thread < first_thread_) return;
  if (reachable_ != nullptr && reachable_->contains(b.address)) {
    ++reachable_blocks_;
    reachable_bytes_ += b.bytes;
    return;
  }
  ++blocks_;
  bytes_ += b.bytes;
  try {
    leak_group& g = groups_[b.trace];
    if (g.blocks == 0 || b.address < g.first.address) g.first = b;
    ++g.blocks;
    g.bytes += b.bytes;
  } catch (const std::bad_alloc&) {
    // The totals above are right all the same.
  }
}

list_of<leak_group> leak_groups::sorted() const
{
  list_of<leak_group> list;
  list.reserve(groups_.size());
  for (const auto& [trace, group] : groups_) list.push_back(group);
  std::sort(list.begin(), list.end(), [](const leak_group& a, const leak_group& b) {
    return a.bytes != b.bytes ? a.bytes > b.bytes : a.first.address < b.first.address;
  });
  return list;
}

void checked_heap::collect_live(leak_groups& groups) noexcept
{
  const mutex_guard guard(scan_lock_);  // trim() must not take slabs away
  for (slab* s = slabs(); s != nullptr; s = s->next) {
    const std::size_t carved = s->carved.load(std::memory_order_acquire);
    for (std::size_t i = 0; i != carved; ++i) {
      record& r = s->records[i];
      const std::uint64_t word = r.word.load(std::memory_order_acquire);
      const slot_state state = state_of(tag_of(word));
      if (!is_live(state)) continue;
      const live_block b{.address = s->slot(i),
                         .bytes = bytes_of(tag_of(word)),
                         .alignment = alignment_of(tag_of(word)),
                         .trace = r.alloc_trace.load(std::memory_order_relaxed),
                         .thread = r.alloc_thread.load(std::memory_order_relaxed),
                         .ignored = is_ignored(state)};
      // Its stack is this block's only if the block is still the same.
      if (r.word.load(std::memory_order_acquire) == word) groups.add(b);
    }
  }
  large_.collect_live(groups);
}

namespace {

// The live block of `self` that `word` points into, with its size; null if there is none.
const std::byte* block_at(const owner& self, std::uintptr_t word, std::size_t& bytes) noexcept
{
  const judgement j = judge(reinterpret_cast<const void*>(word), 0, 1, &self);
  const bool live = j.place == pointer_place::inside ||
                    (j.place == pointer_place::start && j.kind != mistake::double_free);
  if (!live || j.belongs_to != &self || j.place == pointer_place::fast) return nullptr;
  bytes = j.bytes;
  return j.block;
}

GPA_NO_SANITIZE std::uintptr_t word_at(const std::byte* place) noexcept
{
  return *reinterpret_cast<const volatile std::uintptr_t*>(place);
}

}  // namespace

void find_reachable(const owner& self, hash_set<const std::byte*>& reachable)
{
  struct range {
    const std::byte* begin;
    std::size_t bytes;
  };
  list_of<range> waiting;
  for_each_static_range([&](const std::byte* begin, std::size_t bytes) { waiting.push_back({begin, bytes}); });
  while (!waiting.empty()) {
    const range r = waiting.back();
    waiting.pop_back();
    for (std::size_t i = 0; i + sizeof(std::uintptr_t) <= r.bytes; i += sizeof(std::uintptr_t)) {
      if (is_static_metadata(r.begin + i)) continue;  // our own records: they name every block there is
      std::size_t bytes = 0;
      const std::byte* const block = block_at(self, word_at(r.begin + i), bytes);
      if (block != nullptr && reachable.insert(block).second) waiting.push_back({block, bytes});
    }
  }
}

}  // namespace gpa::detail
