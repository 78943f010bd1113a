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
  const std::size_t end = std::min({(d.last / row + 1) * row, m.offset + m.bytes.size(), size});
  m.count = end - m.offset;
  m.changed = d.changed << (d.first - m.offset);
  for (std::size_t i = 0; i != m.count; ++i) m.bytes[i] = byte_at(slot + m.offset + i);
  tools_open(m.bytes.data(), m.count);  // what the user never wrote is told all the same
  if (m.count != m.bytes.size()) m.changed &= (std::uint64_t{1} << m.count) - 1;
  return m;
}

}  // namespace gpa::detail
