// Sites put together: what one line, file, function, stack, size class or tag holds, in one report or between two.
//
// The model, the order and the line of text are those of Python's tracemalloc:
//
//   src/cache.cpp:21: size=697 B (+697 B), count=20 (+20), average=35 B
//
// Stacks of two reports are matched by the names and lines of their calls, never by addresses: the two may come from
// different runs, and from different builds. Frames without names are matched by module and offset.
//
// Pure.
#pragma once

#include "tools/document.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gpa::tools {

enum class by { line, file, function, stack, size_class, tag };

struct row {
  std::string place = {};  // what the reader sees
  std::uint64_t bytes = 0, blocks = 0;
  std::uint64_t bytes_before = 0, blocks_before = 0;  // compare() alone
  site sum = {};  // of the newer report: all its numbers
  std::size_t sites = 0;  // that it is the sum of
  std::size_t trace = none;  // of its largest site; in the newer report where it is there, else in the older
  bool is_gone = false;      // nothing of it in the newer report: `trace` is the older one's
  std::uint64_t largest = 0;
};

/// Largest first. Rows of nothing are left out.
[[nodiscard]] std::vector<row> rows_of(const document& d, by grouping, measure what);

/// Largest difference first, growing before shrinking; rows where nothing changed are left out.
[[nodiscard]] std::vector<row> compare(const document& before, const document& after, by grouping, measure what);

/// See above; the differences in brackets if asked for.
[[nodiscard]] std::string line_of(const row& r, bool with_difference);

/// A text that two equal stacks share, whichever report they are from.
[[nodiscard]] std::string stack_key(const document& d, std::size_t trace);

/// `line`, `file`, ...: false if it is none of them.
[[nodiscard]] bool parse(std::string_view name, by& out);
[[nodiscard]] bool parse(std::string_view name, measure& out);
[[nodiscard]] const char* name_of(measure what) noexcept;

}  // namespace gpa::tools
