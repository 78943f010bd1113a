// The wire format of protocol buffers, as far as profile.proto needs it: varints, and bytes with a length.
//
// Needs no library, since a message is a row of {field number << 3 | type, value}. Fields of value 0 are left out, as
// proto3 does. Not thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace gpa::tools {

class protobuf {
 public:
  protobuf& number(unsigned field, std::uint64_t value)
  {
    if (value == 0) return *this;
    varint(field << 3);
    varint(value);
    return *this;
  }

  protobuf& bytes(unsigned field, std::string_view value)
  {
    varint(field << 3 | 2);
    varint(value.size());
    out_ += value;
    return *this;
  }

  protobuf& packed(unsigned field, std::span<const std::uint64_t> values)
  {
    protobuf list;
    for (const std::uint64_t v : values) list.varint(v);
    return bytes(field, list.text());
  }

  protobuf& message(unsigned field, const protobuf& inner) { return bytes(field, inner.text()); }

  [[nodiscard]] const std::string& text() const noexcept { return out_; }

 private:
  void varint(std::uint64_t value)
  {
    for (; value >= 0x80; value >>= 7) out_ += static_cast<char>(static_cast<unsigned char>(value) | 0x80U);
    out_ += static_cast<char>(value);
  }

  std::string out_ = {};
};

}  // namespace gpa::tools
