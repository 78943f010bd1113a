#include "trace/memory_text.hpp"

#include "trace/format.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <span>

namespace gpa::detail {

namespace {

constexpr std::size_t row_bytes = 16;

constexpr bool is_printable(std::uint8_t byte) noexcept
{
  return byte >= 0x20 && byte < 0x7F;
}

bool is_changed(const memory_excerpt& m, std::size_t i) noexcept
{
  return (m.changed >> i & 1) != 0;
}

void append_characters(text& out, std::span<const std::uint8_t> bytes)
{
  out.append("|");
  for (const std::uint8_t byte : bytes) out.append(1, is_printable(byte) ? static_cast<char>(byte) : '.');
  out.append("|");
}

// What stands in front of a byte: the block's end, where that is.
char in_front(const memory_excerpt& m, std::size_t i, std::size_t end) noexcept
{
  return m.offset + i == end ? '|' : ' ';
}

// Of an offset with its sign; as wide as the last row's, so that all stand in columns.
int offset_width(const memory_excerpt& m) noexcept
{
  int width = 2;
  for (std::size_t rest = m.offset + (m.count - 1) / row_bytes * row_bytes; rest >= 10; rest /= 10) ++width;
  return std::max(width, 5);
}

void append_row(text& out, const memory_excerpt& m, std::size_t begin, std::size_t count, std::size_t end,
                const painter& paint)
{
  absl::Format(&out, "    %+*d ", offset_width(m), m.offset + begin);
  for (std::size_t i = begin; i != begin + count; ++i) {
    out.append(1, in_front(m, i, end));
    if (is_changed(m, i)) paint.begin(color::error);
    absl::Format(&out, "%02x", m.bytes[i]);
    if (is_changed(m, i)) paint.end();
  }
  out.append((row_bytes - count) * 3 + 2, ' ');
  append_characters(out, std::span(m.bytes).subspan(begin, count));
  out.append("\n");
}

void append_marks(text& out, const memory_excerpt& m, std::size_t begin, std::size_t count, const painter& paint)
{
  const std::uint64_t in_row = m.changed >> begin & ((std::uint64_t{1} << count) - 1);
  if (in_row == 0) return;
  out.append(4 + static_cast<std::size_t>(offset_width(m)) + 1, ' ');
  paint.begin(color::caret);
  const auto last = static_cast<std::size_t>(std::bit_width(in_row)) - 1;
  for (std::size_t i = 0; i <= last; ++i) {
    const bool changed = (in_row >> i & 1) != 0;
    const bool joined = changed && i != 0 && (in_row >> (i - 1) & 1) != 0;
    out.append(joined ? "^" : " ");
    out.append(changed ? "^^" : "  ");
  }
  paint.end();
  out.append("\n");
}

// Letters, and zeros behind them.
std::size_t letters_of(std::span<const std::uint8_t> bytes) noexcept
{
  std::size_t letters = 0;
  while (letters != bytes.size() && is_printable(bytes[letters])) ++letters;
  const auto rest = bytes.subspan(letters);
  const bool is_text = letters >= 2 || letters == bytes.size();  // one letter and zeros are a number
  return is_text && std::all_of(rest.begin(), rest.end(), [](std::uint8_t b) { return b == 0; }) ? letters : 0;
}

template <class Value>
Value value_of(std::span<const std::uint8_t> bytes) noexcept
{
  Value v;
  std::memcpy(&v, bytes.data(), sizeof v);
  return v;
}

std::int64_t integer_of(std::span<const std::uint8_t> bytes) noexcept
{
  switch (bytes.size()) {
    case 1: return value_of<std::int8_t>(bytes);
    case 2: return value_of<std::int16_t>(bytes);
    case 4: return value_of<std::int32_t>(bytes);
    default: return value_of<std::int64_t>(bytes);
  }
}

// Of the size people use: other bytes make numbers near the ends of the range, or none.
bool is_usual(double d) noexcept
{
  return std::isfinite(d) && std::fabs(d) >= 1e-9 && std::fabs(d) <= 1e15;
}

}  // namespace

void append_preview(text& out, const memory_excerpt& m)
{
  for (std::size_t i = 0; i != m.count; ++i) absl::Format(&out, "%02x ", m.bytes[i]);
  out.append(" ");
  append_characters(out, std::span(m.bytes).first(m.count));
}

void append_dump(text& out, const memory_excerpt& m, std::size_t end, const painter& paint)
{
  for (std::size_t begin = 0; begin < m.count; begin += row_bytes) {
    const std::size_t count = std::min(row_bytes, m.count - begin);
    append_row(out, m, begin, count, end, paint);
    append_marks(out, m, begin, count, paint);
  }
}

void append_meanings(text& out, const memory_excerpt& m, std::size_t damaged)
{
  if (m.changed == 0) return;
  const auto first = static_cast<std::size_t>(std::countr_zero(m.changed));
  const auto last = static_cast<std::size_t>(std::bit_width(m.changed)) - 1;
  const auto changed = static_cast<std::size_t>(std::popcount(m.changed));
  if (changed * 2 < last - first + 1) return;  // a byte in between may have been given the value that stood there
  const bool is_whole = changed == damaged;
  const auto bytes = std::span(m.bytes).subspan(first, last - first + 1);
  const char* separator = "";
  const auto next = [&separator] {
    const char* const s = separator;
    separator = ", ";
    return s;
  };
  const std::size_t letters = letters_of(bytes);
  if (letters != 0)
    absl::Format(&out, "%stext \"%s%s\"", next(),
                 std::string_view(reinterpret_cast<const char*>(bytes.data()), letters), is_whole ? "" : "...");
  const bool has_width = std::has_single_bit(bytes.size()) && bytes.size() <= sizeof(std::int64_t);
  if (!is_whole || !has_width || letters >= 3) return;
  if (bytes.size() == sizeof(double) && is_usual(value_of<double>(bytes))) {
    absl::Format(&out, "%sdouble %g", next(), value_of<double>(bytes));
  } else if (const std::int64_t i = integer_of(bytes); i >= std::int64_t{1} << 32 && i < std::int64_t{1} << 47) {
    absl::Format(&out, "%spointer 0x%x", next(), i);
  } else if (i > -(std::int64_t{1} << 53) && i < std::int64_t{1} << 53) {
    absl::Format(&out, "%sinteger %d", next(), i);
  }
}

}  // namespace gpa::detail
