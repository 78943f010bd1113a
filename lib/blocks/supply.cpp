#include "blocks/supply.hpp"

#include "base/tools.hpp"
#include "blocks/sampled_range.hpp"
#include "os/pages.hpp"
#include "os/threads.hpp"

#include <algorithm>

namespace gpa::detail {

namespace {

constexpr std::size_t largest_segment = std::size_t{64} << 20;

}  // namespace

supply::~supply()
{
  if (segment_ != segment_end_) unmap_pages(segment_, static_cast<std::size_t>(segment_end_ - segment_));
}

std::byte* supply::take(std::size_t bytes, std::size_t alignment) noexcept
{
  std::byte* const p = from_system() ? take_from_system(bytes, alignment) : take_from_upstream(bytes, alignment);
  if (p != nullptr) tools_close(p, bytes);
  return p;
}

std::byte* supply::reserve(std::size_t bytes) noexcept
{
  return sampled_ ? take_sampled_range(bytes, granule_size)
                  : static_cast<std::byte*>(reserve_pages(bytes, granule_size));
}

void supply::give_back(std::byte* p, std::size_t bytes, std::size_t alignment) noexcept
{
  if (sampled_) {
    tools_open(p, bytes);
    give_back_sampled_range(p, bytes);
    return;
  }
  if (from_system()) {
    unmap_pages(p, bytes);
    return;
  }
  tools_open(p, bytes);
  const std::uint32_t self = this_thread_number();
  calls_.fetch_add(1, std::memory_order_relaxed);
  if (inside_.load(std::memory_order_relaxed) == self) {
    upstream_->deallocate(p, bytes, alignment);  // the upstream freed a block of ours from within its own call
    return;
  }
  const mutex_guard guard(lock_);
  inside_.store(self, std::memory_order_relaxed);
  upstream_->deallocate(p, bytes, alignment);
  inside_.store(0, std::memory_order_relaxed);
}

void supply::trim() noexcept
{
  const mutex_guard guard(lock_);
  if (segment_ != segment_end_) discard_pages(segment_, static_cast<std::size_t>(segment_end_ - segment_));
}

std::byte* supply::take_from_system(std::size_t bytes, std::size_t alignment) noexcept
{
  if (sampled_) return take_from_range(bytes, alignment);
  if (alignment > granule_size) return static_cast<std::byte*>(map_pages(bytes, alignment));
  const mutex_guard guard(lock_);
  if (static_cast<std::size_t>(segment_end_ - segment_) < bytes) {
    std::size_t wanted = std::max(next_segment_, bytes);
    const bool whole = wanted % huge_page_size == 0;  // every segment but the first
    void* fresh = map_pages(wanted, whole ? huge_page_size : granule_size);
    if (whole && wanted >= least_huge_ && fresh != nullptr) prefer_huge_pages(fresh, wanted);
    if (fresh == nullptr) {
      wanted = bytes;
      fresh = map_pages(wanted, granule_size);
    }
    if (fresh == nullptr) return nullptr;
    if (segment_ != segment_end_) unmap_pages(segment_, static_cast<std::size_t>(segment_end_ - segment_));
    segment_ = static_cast<std::byte*>(fresh);
    segment_end_ = segment_ + wanted;
    next_segment_ = std::min(next_segment_ * 2, largest_segment);
  }
  std::byte* const p = segment_;
  segment_ += bytes;
  return p;
}

std::byte* supply::take_from_range(std::size_t bytes, std::size_t alignment) noexcept
{
  std::byte* const p = take_sampled_range(bytes, alignment);
  if (p == nullptr || open_pages(p, bytes)) return p;
  give_back_sampled_range(p, bytes);
  return nullptr;
}

std::byte* supply::take_from_upstream(std::size_t bytes, std::size_t alignment) noexcept
{
  const std::uint32_t self = this_thread_number();
  if (inside_.load(std::memory_order_relaxed) == self) return nullptr;
  const mutex_guard guard(lock_);
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
  }
  inside_.store(0, std::memory_order_relaxed);
  return static_cast<std::byte*>(p);
}

}  // namespace gpa::detail
