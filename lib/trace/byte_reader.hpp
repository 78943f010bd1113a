// Reads DWARF's numbers one after the other, and never past the end it was given.
//
// A read that does not fit answers 0 and marks the reader; whoever reads checks failed() once, at the end.
//
// Not thread-safe: its maker owns it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

namespace gpa::detail {

// How a pointer is written (DW_EH_PE_*): the low four bits say in what form, the next three relative to what.
namespace pointer_form {
inline constexpr std::uint8_t absolute = 0x00;
inline constexpr std::uint8_t relative_to_itself = 0x10;
inline constexpr std::uint8_t relative_to_table = 0x30;
inline constexpr std::uint8_t omitted = 0xFF;
inline constexpr std::uint8_t table_of_signed_words = 0x3B;
}  // namespace pointer_form

class byte_reader {
 public:
  explicit byte_reader(std::span<const std::byte> bytes) noexcept : at_(bytes.data()), end_(bytes.data() + bytes.size())
  {}

  [[nodiscard]] bool failed() const noexcept { return failed_; }
  [[nodiscard]] bool at_end() const noexcept { return at_ == end_; }
  [[nodiscard]] std::size_t left() const noexcept { return static_cast<std::size_t>(end_ - at_); }
  [[nodiscard]] std::span<const std::byte> rest() const noexcept { return {at_, left()}; }

  template <class Word>
  [[nodiscard]] Word read() noexcept
  {
    static_assert(std::is_integral_v<Word>);
    Word word = 0;
    if (!has(sizeof word)) return 0;
    std::memcpy(&word, at_, sizeof word);
    at_ += sizeof word;
    return word;
  }

  [[nodiscard]] std::uint64_t read_uleb() noexcept { return read_leb().value; }
  [[nodiscard]] std::int64_t read_sleb() noexcept
  {
    const leb n = read_leb();
    const bool negative = n.bits < 64 && (n.last & 0x40) != 0;
    return static_cast<std::int64_t>(negative ? n.value | ~std::uint64_t{0} << n.bits : n.value);
  }

  /// A pointer in the form `form`; `table` is what data-relative ones count from. Indirect ones fail.
  [[nodiscard]] std::uintptr_t read_pointer(std::uint8_t form, std::uintptr_t table) noexcept
  {
    const auto itself = reinterpret_cast<std::uintptr_t>(at_);
    const std::uintptr_t value = read_form(form & 0x0F);
    switch (form & 0xF0) {
      case pointer_form::absolute: return value;
      case pointer_form::relative_to_itself: return itself + value;
      case pointer_form::relative_to_table: return table + value;
      default: failed_ = true; return 0;
    }
  }

  void skip(std::uint64_t bytes) noexcept
  {
    if (has(bytes)) at_ += bytes;
  }

  /// The next `bytes` bytes, which are then behind.
  [[nodiscard]] byte_reader take(std::uint64_t bytes) noexcept
  {
    if (!has(bytes)) return byte_reader({});
    const byte_reader part({at_, static_cast<std::size_t>(bytes)});
    at_ += bytes;
    return part;
  }

  void fail() noexcept { failed_ = true; }

 private:
  struct leb {
    std::uint64_t value;
    unsigned bits;
    std::uint8_t last;
  };

  leb read_leb() noexcept
  {
    leb n{0, 0, 0};
    do {
      n.last = read<std::uint8_t>();
      if (n.bits < 64) n.value |= std::uint64_t{n.last & 0x7Fu} << n.bits;
      n.bits += 7;
    } while ((n.last & 0x80) != 0);  // a failed read answers 0, which ends it
    return n;
  }

  std::uintptr_t read_form(unsigned form) noexcept
  {
    switch (form) {
      case 0x0: return read<std::uint64_t>();
      case 0x1: return read_uleb();
      case 0x2: return read<std::uint16_t>();
      case 0x3: return read<std::uint32_t>();
      case 0x4: return read<std::uint64_t>();
      case 0x9: return static_cast<std::uintptr_t>(read_sleb());
      case 0xA: return static_cast<std::uintptr_t>(std::int64_t{read<std::int16_t>()});
      case 0xB: return static_cast<std::uintptr_t>(std::int64_t{read<std::int32_t>()});
      case 0xC: return static_cast<std::uintptr_t>(read<std::int64_t>());
      default: failed_ = true; return 0;
    }
  }

  bool has(std::uint64_t bytes) noexcept
  {
    if (bytes <= left()) return true;
    failed_ = true;
    at_ = end_;
    return false;
  }

  const std::byte* at_;
  const std::byte* end_;
  bool failed_ = false;
};

}  // namespace gpa::detail
