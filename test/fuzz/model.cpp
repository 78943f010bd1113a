#include "fuzz/model.hpp"

#include <algorithm>
#include <iterator>

namespace gpa::fuzz {

namespace {

constexpr std::size_t most_ghosts = 64;
constexpr std::size_t granule = 65536;

// At least what a free moves the quarantine's clock by.
std::uint64_t step(const block& b, std::size_t quarantine) noexcept
{
  if (b.home != home::slab) return std::max(3 * granule, (b.bytes / granule + 2) * granule);
  const std::size_t slot = (b.bytes + 17) / b.alignment * b.alignment + 2 * b.alignment + b.bytes / 4 + 32;
  return std::max<std::uint64_t>(slot, quarantine / 15'000 + 1);
}

}  // namespace

void model::add(const block& b)
{
  listener_.require(b.p != nullptr, "a null pointer");
  listener_.require(reinterpret_cast<std::uintptr_t>(b.p) % b.alignment == 0, "misaligned");
  const std::size_t bytes = std::max<std::size_t>(b.bytes, 1);
  const auto next = places_.lower_bound(b.p);
  listener_.require(next == places_.end() || b.p + bytes <= next->first, "overlaps the next live block");
  listener_.require(next == places_.begin() || std::prev(next)->first + std::prev(next)->second <= b.p,
                    "overlaps the live block before");
  places_.emplace_hint(next, b.p, bytes);
  live.push_back(b);
  live.back().home = block::home_of(b.bytes, b.alignment);
  live_bytes_ += b.bytes;
  peak_ = std::max(peak_, live_bytes_);
  ++total_blocks_;
  forget_ghosts_under(b);
}

void model::forget_ghosts_under(const block& b)
{
  std::erase_if(ghosts, [&](const ghost& g) {
    const bool over =
        g.was.p < b.p + std::max<std::size_t>(b.bytes, 1) && b.p < g.was.p + std::max<std::size_t>(g.was.bytes, 1);
    if (!over) return false;
    listener_.require(!is_sure(g), "an address in quarantine was handed out");
    listener_.require(!g.write_due, "a block written after its free was handed out, and nothing told");
    return true;
  });
}

void model::bury(std::size_t index)
{
  std::swap(live[index], live.back());
  const block b = live.back();
  live.pop_back();
  places_.erase(b.p);
  live_bytes_ -= b.bytes;
  if (b.checked) {
    if (ghosts.size() == most_ghosts) {
      const auto oldest = std::find_if(ghosts.begin(), ghosts.end(), [](const ghost& g) { return !g.write_due; });
      if (oldest != ghosts.end()) ghosts.erase(oldest);
    }
    ghosts.push_back({.was = b, .clock = b.home == home::range ? large_clock_ : clock_, .frees = frees_});
  }
  clock_ += step(b, quarantine_);
  if (b.home != home::slab) large_clock_ += step(b, quarantine_);
  ++frees_;
}

void model::resize(block& b, std::size_t bytes)
{
  live_bytes_ += bytes - b.bytes;
  peak_ = std::max(peak_, live_bytes_);
  b.shrunk = b.shrunk || bytes < b.bytes;
  b.bytes = bytes;
  const auto place = places_.find(b.p);
  place->second = std::max<std::size_t>(bytes, 1);
  const auto next = std::next(place);
  listener_.require(next == places_.end() || b.p + bytes <= next->first, "grown into the next live block");
  forget_ghosts_under(b);
}

void model::set_limit(std::size_t bytes) noexcept
{
  limit_ = bytes;
  if (bytes == unlimited) was_unlimited_ = true;
}

void model::trim() noexcept
{
  for (ghost& g : ghosts) g.trimmed = true;
}

void model::release() noexcept
{
  live.clear();
  ghosts.clear();
  places_.clear();
  live_bytes_ = 0;
}

void model::all_was_looked_at() const
{
  for (const ghost& g : ghosts) listener_.require(!g.write_due, "a write after free was not found");
  for (const block& b : live) listener_.require(!b.damage_due, "an overflow was not found");
}

listener::leaks model::leaks() const noexcept
{
  listener::leaks sum;
  for (const block& b : live) {
    if (b.ignored) continue;
    ++sum.blocks;
    sum.bytes += b.bytes;
  }
  return sum;
}

bool model::explains(const gpa::report& r) noexcept
{
  if (r.kind != mistake::write_after_free || r.resource != "fuzzed") return false;
  const auto found =
      std::find_if(ghosts.begin(), ghosts.end(), [&r](const ghost& g) { return g.write_due && g.was.p == r.address; });
  if (found == ghosts.end()) return false;
  found->write_due = false;
  return r.bytes == found->was.bytes && r.alignment == found->was.alignment && r.damaged >= 1;
}

void model::compare(const gpa::resource& r) const
{
  const statistics s = r.stats();
  listener_.require(s.live_blocks == live.size(), "live_blocks");
  listener_.require(s.live_bytes == live_bytes_, "live_bytes");
  listener_.require(s.total_blocks == total_blocks_, "total_blocks");
  listener_.require(s.held_bytes >= live_bytes_, "held_bytes");
  listener_.require(s.mistakes == mistakes_, "mistakes");
  listener_.require(peak_is_exact() ? s.peak_bytes == peak_ : s.peak_bytes <= peak_ && s.peak_bytes >= live_bytes_,
                    "peak_bytes");
  listener_.require(r.memory_limit() == limit_, "memory_limit");
}

bool model::peak_is_exact() const noexcept
{
  return !options().thread_safe || (options().profile && checks_all()) ||
         (options().memory_limit != unlimited && !was_unlimited_);
}

void model::compare_contents(const block& b, std::size_t bytes) const
{
  listener_.require(std::all_of(b.p, b.p + bytes, [&b](std::byte seen) { return seen == b.content; }),
                    "the contents of a live block have changed");
}

bool model::is_sure(const ghost& g) const noexcept
{
  if (quarantine_ == unlimited) return true;
  if (g.trimmed || g.was.home == home::either) return false;
  if (g.was.home == home::slab) return clock_ - g.clock <= quarantine_ && frees_ - g.frees < 15'000;
  // Protected ones keep their addresses, 65 536 of them; others are in quarantine by multiples of 64 KiB.
  if (!(over_upstream() && checks_all()) && options().protect_large == protect_large::always) return true;
  return large_clock_ - g.clock <= quarantine_;
}

bool model::is_writable(const ghost& g) const noexcept
{
  if (g.was.bytes == 0 || g.trimmed || g.was.home == home::either || !is_sure(g)) return false;
  if (g.was.home == home::slab) return true;
  if (!checks_all()) return false;  // what was picked is inaccessible, and never an upstream's
  if (over_upstream()) return true;
  return options().protect_large == protect_large::never && quarantine_ <= std::size_t{64} << 20 &&
         g.was.alignment <= granule && g.was.bytes < 2 * granule;
}

}  // namespace gpa::fuzz
