#include "checked/large_poison.hpp"

#include "base/bits.hpp"

#include <algorithm>

namespace gpa::detail {

namespace {

// What is looked at: the block and its redzone, a multiple of 16. What lies behind that may never have been touched.
std::size_t extent(std::size_t bytes, std::size_t range) noexcept
{
  return std::min(round_up(bytes, redzone_bytes) + redzone_bytes, range);
}

// Ascending, none over another, until `at` says no.
template <class At>
bool each_line(std::size_t size, At at) noexcept
{
  if (!at(std::size_t{0}) || !at(poison_line)) return false;
  const std::size_t last = size - poison_line;  // the block's last 32 bytes at least
  for (std::size_t page = 1;; ++page) {
    const std::size_t line = page * page_size + page * poison_line % page_size;
    if (line + poison_line > last) break;
    if (!at(line)) return false;
  }
  return at(last);
}

}  // namespace

void large_poison::write(std::byte* base, std::size_t bytes, std::size_t range) const noexcept
{
  const std::size_t size = extent(bytes, range);
  if (bytes <= whole_) return fill_with_poison(base, size);
  each_line(size, [base](std::size_t line) {
    fill_with_poison(base + line, poison_line);
    return true;
  });
}

bool large_poison::stands(const std::byte* base, std::size_t bytes, std::size_t range) const noexcept
{
  const std::size_t size = extent(bytes, range);
  if (bytes <= whole_) return is_poison(base, size);
  return each_line(size, [base](std::size_t line) { return is_poison(base + line, poison_line); });
}

damage large_poison::find_damage(const std::byte* base, std::size_t bytes, std::size_t range) const noexcept
{
  const std::size_t size = extent(bytes, range);
  damage found;
  if (bytes <= whole_) {
    add_damage_of_poison(found, base, 0, size);
  } else {
    each_line(size, [base, &found](std::size_t line) {
      add_damage_of_poison(found, base, line, line + poison_line);
      return true;
    });
  }
  return found;
}

}  // namespace gpa::detail
