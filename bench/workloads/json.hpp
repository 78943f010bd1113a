// A JSON-like tree of pmr containers, the parser that builds it, and a document to feed it: what the workload "json"
// does, and what bench/traces/record.cpp records.
#pragma once

#include <cstddef>
#include <memory_resource>
#include <string>
#include <string_view>
#include <vector>

namespace gpa::bench {

/// A value with its name in the object around it, if there is one. Numbers and literals are kept as they were written.
struct json {
  using allocator_type = std::pmr::polymorphic_allocator<>;

  explicit json(const allocator_type& a) : name(a), text(a), children(a) {}
  json(json&&) noexcept = default;
  json(json&& o, const allocator_type& a)
      : name(std::move(o.name), a), text(std::move(o.text), a), children(std::move(o.children), a)
  {}
  json& operator=(json&&) = delete;

  std::pmr::string name;
  std::pmr::string text;
  std::pmr::vector<json> children;
};

/// Objects, arrays, strings without escapes, and everything else as a word. Throws std::runtime_error where the
/// document is none.
[[nodiscard]] json parse_json(std::string_view document, std::pmr::memory_resource* r);

/// An array of so many records, the same each time: names, numbers, lists of tags, texts of 10 to 90 characters.
[[nodiscard]] std::string json_document(std::size_t records);

}  // namespace gpa::bench
