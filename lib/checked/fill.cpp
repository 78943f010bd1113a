#include "checked/fill.hpp"

#include <algorithm>

namespace gpa::detail {

namespace {

// What must stand behind a live block: redzone up to `redzone_end`, then poison from `poison_begin` on.
struct behind {
  std::size_t redzone_end;
  std::size_t poison_begin;

  static behind of(std::size_t bytes, std::size_t size, poison_rule rule) noexcept
  {
    const std::size_t end = std::min(bytes + redzone_bytes, size);
    return {end, rule.sparse(size) ? std::max(end, size - poison_line) : end};
  }
};

template <class Expected>
GPA_NO_SANITIZE void add_damage(damage& found, const std::byte* slot, std::size_t begin, std::size_t end,
                                Expected expected) noexcept
{
  const auto* const seen = reinterpret_cast<const volatile std::uint8_t*>(slot);
  for (std::size_t i = begin; i < end; ++i) {  // a damaged record may say that the block is larger than its slot
    if (expected(i, seen[i])) continue;
    if (found.count == 0) found.first = i;
    found.last = i;
    ++found.count;
    if (i - found.first < 64) found.changed |= std::uint64_t{1} << (i - found.first);
  }
}

template <class Expected>
damage find_damage(const std::byte* slot, std::size_t begin, std::size_t end, Expected expected) noexcept
{
  damage found;
  add_damage(found, slot, begin, end, expected);
  return found;
}

}  // namespace

bool slack_intact(const std::byte* slot, std::size_t bytes, std::size_t size, poison_rule rule) noexcept
{
  return all_poison(slot + behind::of(bytes, size, rule).poison_begin, slot + size);
}

void add_damage_of_poison(damage& found, const std::byte* slot, std::size_t begin, std::size_t end) noexcept
{
  add_damage(found, slot, begin, end, [](std::size_t, std::uint8_t seen) { return seen == poison_byte; });
}

damage find_damage_of_poison(const std::byte* slot, std::size_t size, std::size_t bytes, poison_rule rule) noexcept
{
  if (!rule.sparse(size))
    return find_damage(slot, 0, size, [](std::size_t, std::uint8_t seen) { return seen == poison_byte; });
  return find_damage(slot, 0, size, [lines = poison_lines::of(slot, size, bytes)](std::size_t i, std::uint8_t seen) {
    return seen == poison_byte || !lines.cover(i);
  });
}

damage find_damage_behind(const std::byte* slot, std::size_t bytes, std::size_t size, poison_rule rule) noexcept
{
  const behind b = behind::of(bytes, size, rule);
  damage found = find_damage(slot, bytes, size, [b](std::size_t i, std::uint8_t seen) {
    return i < b.redzone_end ? seen == redzone_byte : seen == poison_byte || i < b.poison_begin;
  });
  const bool has_gap = b.redzone_end != b.poison_begin;
  const bool reaches_gap = has_gap && found.first < b.redzone_end && found.last + 1 >= b.redzone_end;
  found.to_the_end = found.count != 0 && (found.last + 1 == size || reaches_gap);
  return found;
}

GPA_NO_SANITIZE void write_behind(std::byte* slot, std::size_t bytes, std::size_t size, poison_rule rule) noexcept
{
  const behind b = behind::of(bytes, size, rule);
  auto* const place = reinterpret_cast<volatile std::uint8_t*>(slot);
  for (std::size_t i = bytes; i != b.redzone_end; ++i) place[i] = redzone_byte;
  write_poison_unwatched(slot + b.poison_begin, size - b.poison_begin);
}

}  // namespace gpa::detail
