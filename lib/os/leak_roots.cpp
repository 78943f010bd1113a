#include "os/leak_roots.hpp"

#include "base/bits.hpp"
#include "base/mutex.hpp"
#include "base/tools.hpp"
#include "os/metadata.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <new>

namespace gpa::detail {

namespace {

struct shown_range {
  std::uintptr_t begin;
  std::uintptr_t end;
};

struct shown_ranges {
  std::array<shown_range, 255> ranges;
  std::size_t count;
  shown_ranges* next;
};

struct known {
  mutex lock;
  shown_ranges* newest GPA_GUARDED_BY(lock) = nullptr;  // kept for good
};
constinit known all;

bool is_shown(const shown_range& r) noexcept GPA_REQUIRES(all.lock)
{
  for (const shown_ranges* some = all.newest; some != nullptr; some = some->next)
    if (std::any_of(some->ranges.begin(), some->ranges.begin() + some->count,
                    [&](const shown_range& other) { return other.begin <= r.begin && r.end <= other.end; }))
      return true;
  return false;
}

void remember(const shown_range& r) noexcept GPA_REQUIRES(all.lock)
{
  if (all.newest == nullptr || all.newest->count == all.newest->ranges.size()) {
    void* const place = metadata_allocate(sizeof(shown_ranges));
    if (place == nullptr) return;
    all.newest = ::new (place) shown_ranges{{}, 0, all.newest};
  }
  all.newest->ranges[all.newest->count++] = r;
}

}  // namespace

void show_leak_sanitizer(const void* p, std::size_t bytes) noexcept
{
  if (p == nullptr || !leaks_are_looked_for()) return;
  const shown_range r{address(p), address(p) + bytes};
  // In the child of a fork the lock may be held for good: then a range may be shown twice, which costs time at the end.
  if (all.lock.try_lock()) {
    const bool shown = is_shown(r);
    if (!shown) remember(r);
    all.lock.unlock();
    if (shown) return;
  }
  tools_add_root(p, bytes);
}

}  // namespace gpa::detail
