// The JSON document of a resource: lib/report_schema.json says what stands in it.
//
// Every stack, every frame and every module once, by number; so it grows with the call sites, not with the blocks.
#pragma once

#include "os/containers.hpp"
#include "profile/site_counts.hpp"

#include <gpa/options.hpp>
#include <gpa/report.hpp>
#include <gpa/statistics.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gpa::detail {

class new_file;

struct listed_mistake {
  gpa::report report;
  std::uint64_t fingerprint = 0;
};

/// Has nothing of the resource but its name, which outlives it: it may end before the document is written.
struct document {
  std::string_view reason;  // why it is written
  std::uint64_t order = 0;  // of the documents of one resource
  std::string_view name;
  gpa::checks checks = {};
  std::size_t stack_frames = 0;
  gpa::statistics totals = {};
  bool peak_is_exact = false;
  std::size_t memory_limit = unlimited;
  bool estimated = false;
  bool profiled = false;
  std::uint64_t peak_age = 0;  // microseconds since the sites together were at their peak; if profiled
  list_of<site_counts> sites = {};
  list_of<listed_mistake> mistakes = {};
  std::size_t mistakes_missing = 0;
};

/// Looks up names: milliseconds and more. Throws std::bad_alloc.
void write_document(const document& d, new_file& out);

}  // namespace gpa::detail
