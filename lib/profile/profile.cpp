#include "profile/profile.hpp"

#include "os/pages.hpp"

#include <algorithm>
#include <ctime>
#include <new>

namespace gpa::detail {

namespace {

constexpr std::size_t most_sites = std::size_t{1} << 20;
constexpr std::size_t index_slots = 2 * most_sites;  // half full at most: a search is short
constexpr std::size_t most_threads = std::size_t{1} << 16;
constexpr std::size_t apart = 8;  // a cache line a thread

constexpr std::size_t sites_bytes = most_sites * sizeof(site_history);
constexpr std::size_t index_bytes = index_slots * sizeof(std::uint32_t);
constexpr std::size_t last_bytes = most_threads * apart * sizeof(void*);

constexpr unsigned time_bits = 44;
constexpr std::uint64_t time_mask = (std::uint64_t{1} << time_bits) - 1;
static_assert(most_sites <= std::uint64_t{1} << (64 - time_bits));

constexpr std::uint32_t the_rest = 1;

std::uint64_t microseconds() noexcept
{
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const auto seconds = static_cast<std::uint64_t>(now.tv_sec);
  return (seconds * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000) & time_mask;
}

std::size_t hash_of(std::uint32_t trace, std::uint32_t rounded) noexcept
{
  const std::uint64_t both = (std::uint64_t{trace} << 32 | rounded) * 0x9E3779B97F4A7C15U;
  return (both ^ both >> 29) * 0xBF58476D1CE4E5B9U >> 32;
}

constexpr std::int64_t no_peak = -1;

// Whether it was lower.
bool raise(std::atomic<std::int64_t>& peak, std::int64_t now) noexcept
{
  std::int64_t known = peak.load(std::memory_order_relaxed);
  while (known < now)
    if (peak.compare_exchange_weak(known, now, std::memory_order_relaxed)) return true;
  return false;
}

}  // namespace

profile::profile()
{
  auto* const memory = static_cast<std::byte*>(map_pages(sites_bytes + index_bytes + last_bytes));
  if (memory == nullptr) throw std::bad_alloc();
  sites_ = reinterpret_cast<site_history*>(memory);  // zero pages are empty sites
  index_ = reinterpret_cast<std::atomic<std::uint32_t>*>(memory + sites_bytes);
  last_ = reinterpret_cast<std::atomic<const void*>*>(memory + sites_bytes + index_bytes);
}

profile::~profile() { unmap_pages(sites_, sites_bytes + index_bytes + last_bytes); }

bool profile::is(std::uint32_t site, std::uint32_t trace, std::uint32_t rounded) const noexcept
{
  return sites_[site].trace == trace && sites_[site].rounded == rounded;
}

std::uint32_t profile::site_of(std::uint32_t trace, std::uint32_t rounded) noexcept
{
  const std::size_t start = hash_of(trace, rounded);
  std::size_t i = start % index_slots;
  for (std::uint32_t known; (known = index_[i].load(std::memory_order_acquire)) != 0; i = (i + 1) % index_slots)
    if (is(known, trace, rounded)) return known;
  const mutex_guard guard(lock_);
  for (std::uint32_t known; (known = index_[i].load(std::memory_order_relaxed)) != 0; i = (i + 1) % index_slots)
    if (is(known, trace, rounded)) return known;
  const std::uint32_t fresh = count_.load(std::memory_order_relaxed);
  if (fresh == most_sites) return the_rest;
  sites_[fresh].trace = trace;
  sites_[fresh].rounded = rounded;
  count_.store(fresh + 1, std::memory_order_release);
  index_[i].store(fresh, std::memory_order_release);
  return fresh;
}

// Before a site changes.
void profile::remember_peak(site_history& s) const noexcept
{
  const std::int64_t peak = peak_bytes_.load(std::memory_order_relaxed);
  if (s.seen.load(std::memory_order_relaxed) == peak) return;
  s.bytes_then.store(s.live_bytes.load(std::memory_order_relaxed), std::memory_order_relaxed);
  s.blocks_then.store(s.live_blocks.load(std::memory_order_relaxed), std::memory_order_relaxed);
  s.seen.store(peak, std::memory_order_relaxed);
}

void profile::grow(site_history& s, std::int64_t bytes, std::int64_t blocks, std::uint64_t now) noexcept
{
  remember_peak(s);
  const std::int64_t site_blocks = s.live_blocks.fetch_add(blocks, std::memory_order_relaxed) + blocks;
  if (raise(s.peak_bytes, s.live_bytes.fetch_add(bytes, std::memory_order_relaxed) + bytes))
    s.peak_blocks.store(site_blocks, std::memory_order_relaxed);
  if (blocks != 0) raise(peak_blocks_, live_blocks_.fetch_add(blocks, std::memory_order_relaxed) + blocks);
  if (raise(peak_bytes_, live_bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes))
    peak_time_.store(now, std::memory_order_relaxed);
}

void profile::shrink(site_history& s, std::int64_t bytes, std::int64_t blocks) noexcept
{
  remember_peak(s);
  s.live_bytes.fetch_sub(bytes, std::memory_order_relaxed);
  live_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
  if (blocks == 0) return;
  s.live_blocks.fetch_sub(blocks, std::memory_order_relaxed);
  live_blocks_.fetch_sub(blocks, std::memory_order_relaxed);
}

std::uint64_t profile::allocated(const void* block, std::size_t bytes, std::uint32_t trace,
                                 std::uint32_t thread) noexcept
{
  const std::size_t units = rounded_bytes(bytes) / 16;
  const std::uint32_t number = site_of(trace, static_cast<std::uint32_t>(std::min(units, std::size_t{0xFFFFFFFF})));
  site_history& s = sites_[number];
  const std::uint64_t now = microseconds();
  grow(s, static_cast<std::int64_t>(bytes), 1, now);
  s.total_bytes.fetch_add(bytes, std::memory_order_relaxed);
  s.total_blocks.fetch_add(1, std::memory_order_relaxed);
  last_[thread % most_threads * apart].store(block, std::memory_order_relaxed);
  return std::uint64_t{number} << time_bits | now;
}

void profile::freed(const void* block, std::size_t bytes, std::uint64_t life, std::uint32_t thread) noexcept
{
  if (life == 0) return;
  site_history& s = sites_[life >> time_bits];
  shrink(s, static_cast<std::int64_t>(bytes), 1);
  s.lifetime_sum.fetch_add((microseconds() - life) & time_mask, std::memory_order_relaxed);
  if (last_[thread % most_threads * apart].load(std::memory_order_relaxed) == block)
    s.temporary.fetch_add(1, std::memory_order_relaxed);
}

void profile::resized(std::size_t old_bytes, std::size_t new_bytes, std::uint64_t life) noexcept
{
  if (life == 0) return;
  site_history& s = sites_[life >> time_bits];
  if (new_bytes <= old_bytes) {
    shrink(s, static_cast<std::int64_t>(old_bytes - new_bytes), 0);
    return;
  }
  grow(s, static_cast<std::int64_t>(new_bytes - old_bytes), 0, microseconds());
  s.total_bytes.fetch_add(new_bytes - old_bytes, std::memory_order_relaxed);
}

void profile::forget_live() noexcept
{
  const std::uint32_t end = count_.load(std::memory_order_acquire);
  for (std::uint32_t i = 1; i != end; ++i) {
    remember_peak(sites_[i]);
    sites_[i].live_bytes.store(0, std::memory_order_relaxed);
    sites_[i].live_blocks.store(0, std::memory_order_relaxed);
  }
  live_bytes_.store(0, std::memory_order_relaxed);
  live_blocks_.store(0, std::memory_order_relaxed);
}

void profile::reset_peaks() noexcept
{
  const std::uint32_t end = count_.load(std::memory_order_acquire);
  // In this order: what others allocate from here on raises it.
  const auto restart = [](std::atomic<std::int64_t>& peak, const std::atomic<std::int64_t>& live) {
    peak.store(0, std::memory_order_relaxed);
    raise(peak, live.load(std::memory_order_relaxed));
  };
  for (std::uint32_t i = 1; i != end; ++i) {
    restart(sites_[i].peak_bytes, sites_[i].live_bytes);
    sites_[i].peak_blocks.store(sites_[i].live_blocks.load(std::memory_order_relaxed), std::memory_order_relaxed);
    sites_[i].seen.store(no_peak, std::memory_order_relaxed);  // what it holds now, it held then
  }
  restart(peak_bytes_, live_bytes_);
  restart(peak_blocks_, live_blocks_);
  peak_time_.store(microseconds(), std::memory_order_relaxed);
}

whole_peak profile::peak() const noexcept
{
  const std::uint64_t then = peak_time_.load(std::memory_order_relaxed);
  return {.bytes = peak_bytes_.load(std::memory_order_relaxed),
          .blocks = peak_blocks_.load(std::memory_order_relaxed),
          .age = then == 0 ? 0 : (microseconds() - then) & time_mask};
}

profile::amount profile::at_peak(const site_history& s) const noexcept
{
  const bool changed = s.seen.load(std::memory_order_relaxed) == peak_bytes_.load(std::memory_order_relaxed);
  return {.bytes = (changed ? s.bytes_then : s.live_bytes).load(std::memory_order_relaxed),
          .blocks = (changed ? s.blocks_then : s.live_blocks).load(std::memory_order_relaxed)};
}

std::span<const site_history> profile::sites() const noexcept
{
  return {sites_ + 1, count_.load(std::memory_order_acquire) - std::size_t{1}};
}

}  // namespace gpa::detail
