// The bytes of one input, read from the front as small numbers. Past their end every number is 0, and more() says no.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace gpa::fuzz {

class input {
 public:
  explicit input(std::span<const std::uint8_t> bytes) noexcept : rest_(bytes) {}

  [[nodiscard]] bool more() const noexcept { return !rest_.empty(); }

  [[nodiscard]] std::uint8_t byte() noexcept
  {
    if (rest_.empty()) return 0;
    const std::uint8_t first = rest_.front();
    rest_ = rest_.subspan(1);
    return first;
  }
  /// Of two bytes.
  [[nodiscard]] std::size_t word() noexcept
  {
    const std::size_t low = byte();
    return low | std::size_t{byte()} << 8;
  }
  /// Below `count`, from one byte.
  [[nodiscard]] std::size_t below(std::size_t count) noexcept { return byte() % count; }
  /// One of a table.
  template <class Table>
  [[nodiscard]] auto one_of(const Table& table) noexcept
  {
    return table[below(table.size())];
  }
  [[nodiscard]] bool flag() noexcept { return (byte() & 1) != 0; }

 private:
  std::span<const std::uint8_t> rest_;
};

}  // namespace gpa::fuzz
