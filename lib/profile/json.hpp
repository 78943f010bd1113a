// Writes JSON as it comes, nothing kept: commas, quotes and escapes are here, the order of things is the caller's.
//
// Strings may hold any bytes: those that are no UTF-8 become U+FFFD, as JSON allows nothing else.
//
// Not thread-safe.
#pragma once

#include "os/text.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gpa::detail {

class new_file;

class json {
 public:
  explicit json(new_file& out) noexcept : out_(out) {}

  json& begin_object() noexcept { return begin('{'); }
  json& end_object() noexcept { return end('}'); }
  json& begin_array() noexcept { return begin('['); }
  json& end_array() noexcept { return end(']'); }
  /// Before each value of an object.
  json& key(std::string_view name) noexcept;
  json& string(std::string_view words) noexcept;
  json& number(std::uint64_t n) noexcept;
  json& boolean(bool b) noexcept { return raw(b ? "true" : "false"); }
  json& null() noexcept { return raw("null"); }
  /// A string, as JSON readers keep 53 bits of a number.
  json& address(std::uintptr_t a) noexcept;
  /// The next value starts a line, for people and line-wise tools.
  json& line() noexcept;

 private:
  json& begin(char c) noexcept;
  json& end(char c) noexcept;
  json& raw(std::string_view words) noexcept;
  void separate() noexcept;

  new_file& out_;
  text escaped_;
  bool first_ = true;  // nothing stands before the next value in its array or object
  bool line_ = false;
};

}  // namespace gpa::detail
