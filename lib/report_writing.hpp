// JSON documents that GPA_OPTIONS asks for: of one resource at its end, of all at exit and on a signal.
//
// Thread-safe; no lock is held while names are looked up, and one of the resource alone while the file is moved to its place.
#pragma once

#include <string_view>

namespace gpa::detail {

struct document;

/// Looks up its names and writes it. 0, or an errno. Throws std::bad_alloc.
[[nodiscard]] int write_document(document& d, std::string_view path);

/// Writes those of all resources that are alive, if `report_path` is set.
void write_all_reports(std::string_view reason) noexcept;

}  // namespace gpa::detail
