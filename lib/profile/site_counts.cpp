#include "profile/site_counts.hpp"

#include "profile/profile.hpp"

#include <algorithm>
#include <new>

namespace gpa::detail {

namespace {

constexpr std::size_t unit = 16;  // what rounded_bytes() is a multiple of

// No block is larger than 2^47 bytes; past 64 GiB size classes are one.
std::uint64_t key_of(std::uint32_t trace, std::size_t bytes) noexcept
{
  return std::uint64_t{trace} << 32 | std::min(rounded_bytes(bytes) / unit, std::size_t{0xFFFFFFFF});
}

std::size_t count(std::int64_t n) noexcept { return n > 0 ? static_cast<std::size_t>(n) : 0; }

}  // namespace

void live_counter::add(std::uint32_t trace, std::size_t bytes) noexcept
{
  const std::uint64_t key = key_of(trace, bytes);
  try {
    if (last_ == nullptr || key != last_key_) last_ = &sums_[key];
    last_key_ = key;
    last_->bytes += bytes;
    ++last_->blocks;
  } catch (const std::bad_alloc&) {
    last_ = nullptr;
    refused_ = true;
  }
}

list_of<site_counts> live_counter::sites() const
{
  if (refused_) throw std::bad_alloc();
  list_of<site_counts> list;
  list.reserve(sums_.size());
  for (const auto& [key, s] : sums_)
    list.push_back({.trace = static_cast<std::uint32_t>(key >> 32),
                    .size_class = static_cast<std::size_t>(key & 0xFFFFFFFF) * unit,
                    .live_bytes = s.bytes,
                    .live_blocks = s.blocks});
  return list;
}

list_of<site_counts> sites_of(const profile& p)
{
  list_of<site_counts> list;
  const auto sites = p.sites();
  list.reserve(sites.size());
  for (const site_history& h : sites) {
    const profile::amount then = p.at_peak(h);
    const site_counts s{.trace = h.trace,
                        .size_class = std::size_t{h.rounded} * unit,
                        .live_bytes = count(h.live_bytes.load(std::memory_order_relaxed)),
                        .live_blocks = count(h.live_blocks.load(std::memory_order_relaxed)),
                        .peak_bytes = count(h.peak_bytes.load(std::memory_order_relaxed)),
                        .peak_blocks = count(h.peak_blocks.load(std::memory_order_relaxed)),
                        .at_peak_bytes = count(then.bytes),
                        .at_peak_blocks = count(then.blocks),
                        .total_bytes = h.total_bytes.load(std::memory_order_relaxed),
                        .total_blocks = h.total_blocks.load(std::memory_order_relaxed),
                        .temporary = h.temporary.load(std::memory_order_relaxed),
                        .lifetime_sum = h.lifetime_sum.load(std::memory_order_relaxed)};
    if (s.total_blocks != 0) list.push_back(s);
  }
  return list;
}

void scale(list_of<site_counts>& sites, std::uint32_t n) noexcept
{
  for (site_counts& s : sites) {
    for (std::size_t* const number :
         {&s.live_bytes, &s.live_blocks, &s.peak_bytes, &s.peak_blocks, &s.at_peak_bytes, &s.at_peak_blocks,
          &s.total_bytes, &s.total_blocks, &s.temporary})
      *number *= n;
    s.lifetime_sum *= n;
  }
}

}  // namespace gpa::detail
