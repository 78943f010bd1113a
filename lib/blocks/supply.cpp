#include "blocks/supply.hpp"

#include "base/bits.hpp"
#include "base/tools.hpp"
#include "os/leak_roots.hpp"
#include "os/pages.hpp"
#include "os/threads.hpp"

#include <algorithm>
#include <new>
#include <utility>

namespace gpa::detail {

supply::~supply() { end(); }

supply::taken supply::take_told(std::size_t bytes, std::size_t alignment) noexcept
{
  const taken t = from_system() ? take_from_system(bytes, alignment)
                                : taken{.p = take_from_upstream(bytes, alignment), .may_be_resident = true};
  if (t.p != nullptr) tools_close(t.p, bytes);
  return t;
}

std::byte* supply::reserve(std::size_t bytes) noexcept
{
  if (sampled_) return take_sampled_range(bytes, granule_size);
  void* const p = reserve_pages(bytes, granule_size);
  show_leak_sanitizer(p, bytes);
  return static_cast<std::byte*>(p);
}

void supply::give_back(std::byte* p, std::size_t bytes, std::size_t alignment, given_back as) noexcept
{
  if (sampled_) {
    tools_open(p, bytes);
    give_back_sampled_range(p, bytes, as);
    return;
  }
  if (from_system()) return give_back_to_system(p, bytes);
  tools_open(p, bytes);
  const std::uint32_t self = this_thread_serial();
  calls_.fetch_add(1, std::memory_order_relaxed);
  if (inside_.load(std::memory_order_relaxed) == self) {
    upstream_->deallocate(p, bytes, alignment);  // the upstream freed a block of ours from within its own call
    return;
  }
  const mutex_guard guard(calling_);
  inside_.store(self, std::memory_order_relaxed);
  upstream_->deallocate(p, bytes, alignment);
  inside_.store(0, std::memory_order_relaxed);
}

void supply::hand_on(std::byte* p, std::size_t bytes, std::size_t alignment, bool huge) noexcept
{
  // The first segment takes another way there: it may come back in parts.
  if (!from_system() || sampled_ || bytes == stock_segment || alignment > granule_size || !has_place_for(stock_, bytes))
    return give_back(p, bytes, alignment);
  tools_close(p, bytes);
  if (huge) avoid_huge_pages(p, bytes);  // the next may touch a page of it
  put_into(stock_, p, bytes);
}

// Whoever else was calling the upstream is not in the child.
void supply::become_child(std::uint32_t survivor) noexcept
{
  if (inside_.load(std::memory_order_relaxed) == survivor) {
    inside_.store(this_thread_serial(), std::memory_order_relaxed);
  } else {
    ::new (&calling_) mutex;
    inside_.store(0, std::memory_order_relaxed);
  }
}

void supply::trim() noexcept
{
  const mutex_guard guard(lock_);
  if (segment_ != segment_end_) discard_pages(segment_, static_cast<std::size_t>(segment_end_ - segment_));
}

// Neighbours that are given back together may lie on both sides of the first segment's borders.
void supply::give_back_to_system(std::byte* p, std::size_t bytes) noexcept
{
  std::byte* begin = p + bytes;
  std::byte* end = begin;
  {
    const mutex_guard guard(lock_);
    if (first_ != nullptr) {
      const std::uintptr_t from = std::max(address(p), address(first_));
      const std::uintptr_t to = std::min(address(p + bytes), address(first_ + stock_segment));
      if (from < to) {
        begin = p + (from - address(p));
        end = p + (to - address(p));
        give_back_to_first(begin, to - from);
      }
    }
  }
  if (begin != p) unmap_pages(p, static_cast<std::size_t>(begin - p));
  if (end != p + bytes) unmap_pages(end, static_cast<std::size_t>(p + bytes - end));
}

supply::taken supply::take_from_system(std::size_t bytes, std::size_t alignment) noexcept
{
  if (sampled_) return {.p = take_from_range(bytes, alignment)};
  if (alignment > granule_size) {
    void* const p = map_pages(bytes, alignment);
    show_leak_sanitizer(p, bytes);
    return {.p = static_cast<std::byte*>(p)};
  }
  const mutex_guard guard(lock_);
  if (static_cast<std::size_t>(segment_end_ - segment_) < bytes && new_segment(bytes) == nullptr) return {};
  std::byte* const p = segment_;
  segment_ += bytes;
  return {.p = p, .may_be_resident = is_from_stock_, .huge = is_huge_};
}

// From the stock, if it has one; of the smallest size the first alone, which is the one that goes back in parts, and of the
// others none of which a rest would stay, with pages that nobody counts.
std::byte* supply::new_segment(std::size_t bytes) noexcept
{
  std::size_t wanted = std::max(next_segment_, bytes);
  const bool first = wanted == stock_segment && first_ == nullptr;
  const bool whole = wanted % huge_page_size == 0;
  std::byte* fresh = first || (wanted != stock_segment && wanted == bytes) ? take_from(stock_, wanted) : nullptr;
  const bool used = fresh != nullptr;
  if (fresh == nullptr) fresh = static_cast<std::byte*>(map_pages(wanted, whole ? huge_page_size : granule_size));
  const bool huge = whole && wanted >= least_huge_ && fresh != nullptr;
  if (huge) prefer_huge_pages(fresh, wanted);
  if (fresh == nullptr) {
    wanted = bytes;
    fresh = static_cast<std::byte*>(map_pages(wanted, granule_size));
  }
  if (fresh == nullptr && bytes <= 16 * stock_segment) {  // as much as may wait there
    empty_stocks();
    fresh = static_cast<std::byte*>(map_pages(wanted, granule_size));
  }
  if (fresh == nullptr) return nullptr;
  show_leak_sanitizer(fresh, wanted);
  give_up_rest();
  segment_ = fresh;
  segment_end_ = segment_ + wanted;
  is_from_stock_ = used;
  is_huge_ = huge;
  next_segment_ = std::min(next_segment_ * 2, largest_segment);
  if (first && wanted == stock_segment) {
    first_ = segment_;
    free_of_first_.reset();
  }
  return segment_;
}

void supply::give_up_rest() noexcept
{
  if (segment_ == segment_end_) return;
  const auto rest = static_cast<std::size_t>(segment_end_ - segment_);
  if (is_in_first(segment_)) {
    give_back_to_first(segment_, rest);
  } else {
    unmap_pages(segment_, rest);
  }
  segment_ = segment_end_ = nullptr;
}

bool supply::is_in_first(const std::byte* p) const noexcept
{
  return first_ != nullptr && static_cast<std::size_t>(p - first_) < stock_segment;
}

void supply::give_back_to_first(std::byte* p, std::size_t bytes) noexcept
{
  tools_close(p, bytes);
  const auto begin = static_cast<std::size_t>(p - first_) / granule_size;
  for (std::size_t i = begin; i != begin + bytes / granule_size; ++i) free_of_first_.set(i);
  if (free_of_first_.all()) {
    put_into(stock_, std::exchange(first_, nullptr));
  } else if (ended_) {
    drop_of_first(p, bytes);
  }
}

// Nobody's any more, while its neighbours are somebody's: who touches it is wrong.
void supply::drop_of_first(std::byte* p, std::size_t bytes) noexcept
{
  if (stock_ == stock::open || !close_pages(p, bytes)) discard_pages(p, bytes);
}

void supply::start_over() noexcept
{
  const mutex_guard guard(lock_);
  give_up_rest();
  next_segment_ = stock_segment;
}

void supply::end() noexcept
{
  const mutex_guard guard(lock_);
  give_up_rest();
  ended_ = true;
  for (std::size_t i = 0; first_ != nullptr && i != free_of_first_.size(); ++i)
    if (free_of_first_.test(i)) drop_of_first(first_ + i * granule_size, granule_size);
}

std::byte* supply::take_from_range(std::size_t bytes, std::size_t alignment) noexcept
{
  std::byte* const p = take_sampled_range(bytes, alignment);
  if (p == nullptr || open_pages(p, bytes)) return p;
  give_back_sampled_range(p, bytes, given_back::untouched);
  return nullptr;
}

std::byte* supply::take_from_upstream(std::size_t bytes, std::size_t alignment) noexcept
{
  const std::uint32_t self = this_thread_serial();
  if (inside_.load(std::memory_order_relaxed) == self) return nullptr;
  const mutex_guard guard(calling_);
  inside_.store(self, std::memory_order_relaxed);
  void* p = nullptr;
  calls_.fetch_add(1, std::memory_order_relaxed);
  try {
    p = upstream_->allocate(bytes, alignment);
  } catch (...) {
    p = nullptr;
  }
  // allocate() promises the compiler an aligned pointer that is not null; whether the upstream kept that is the question.
  asm("" : "+r"(p));
  if ((reinterpret_cast<std::uintptr_t>(p) & (alignment - 1)) != 0) {
    calls_.fetch_add(1, std::memory_order_relaxed);
    upstream_->deallocate(p, bytes, alignment);
    p = nullptr;
    if (!std::exchange(met_misaligned_, true)) misaligned_.store(alignment, std::memory_order_relaxed);
  }
  inside_.store(0, std::memory_order_relaxed);
  return static_cast<std::byte*>(p);
}

}  // namespace gpa::detail
