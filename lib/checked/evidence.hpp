// What a report shows of damaged memory: the row of 16 bytes in which it begins, the one before, and what follows, as
// far as the report has room and the slot goes.
#pragma once

#include <gpa/report.hpp>

#include "base/tools.hpp"
#include "checked/fill.hpp"
#include "checked/peek.hpp"

#include <algorithm>
#include <cstddef>

namespace gpa::detail {

[[nodiscard]] inline memory_excerpt excerpt_around(const std::byte* slot, std::size_t size, const damage& d) noexcept
{
  constexpr std::size_t row = 16;
  memory_excerpt m;
  const std::size_t first_row = d.first / row * row;
  m.offset = first_row < row ? first_row : first_row - row;
  // What changed can be read; the pages before and behind it the user may have closed.
  const std::uintptr_t page = reinterpret_cast<std::uintptr_t>(slot + d.first) / page_size;
  const auto is_closed = [&](std::size_t offset) {
    return reinterpret_cast<std::uintptr_t>(slot + offset) / page_size != page && !is_readable(slot + offset, 1);
  };
  if (is_closed(m.offset)) m.offset = first_row;
  std::size_t end = std::min({(d.last / row + 1) * row, m.offset + m.bytes.size(), size});
  if (is_closed(end - 1)) end = (page + 1) * page_size - reinterpret_cast<std::uintptr_t>(slot);
  m.count = end - m.offset;
  m.changed = d.changed << (d.first - m.offset);
  for (std::size_t i = 0; i != m.count; ++i) m.bytes[i] = byte_at(slot + m.offset + i);
  tools_open(m.bytes.data(), m.count);  // what the user never wrote is told all the same
  if (m.count != m.bytes.size()) m.changed &= (std::uint64_t{1} << m.count) - 1;
  return m;
}

}  // namespace gpa::detail
