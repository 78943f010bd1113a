// The default resource of the process: swapping it for a scope, the immortal one, and the pages below both.
#pragma once

#include <gpa/export.hpp>
#include <gpa/options.hpp>

#include <memory_resource>

namespace gpa {

class resource;

/// Makes `r` std::pmr's default resource while it lives, then puts the one before back.
///
/// Process-wide, as std::pmr::set_default_resource is. Guards end in reverse order; one that ends while a newer
/// choice is in effect says so in one line on stderr and leaves that choice alone. Not thread-safe: guards of one
/// process belong to one thread.
class GPA_EXPORT default_resource_guard {
 public:
  /// `r` null means new_delete_resource(), as in std. Never throws. O(1).
  [[nodiscard]] explicit default_resource_guard(std::pmr::memory_resource* r) noexcept;
  ~default_resource_guard();

  default_resource_guard(const default_resource_guard&) = delete;
  default_resource_guard& operator=(const default_resource_guard&) = delete;

 private:
  std::pmr::memory_resource* chosen_;
  std::pmr::memory_resource* before_;
  default_resource_guard* outer_;
};

/// A resource that is never destroyed: safe in static constructors and destructors, and the one to make the default
/// of a whole program. Blocks still live after the last static destructor are reported as "still live at exit";
/// those that static storage still points at are counted, not listed.
///
/// Checked as by_build() of the file that calls it first. Never null. Never throws: where there is no memory for it, the
/// first call ends in std::terminate(). O(1) after that. Thread-safe.
GPA_EXPORT gpa::resource* process_resource(build b = build_of_this_file) noexcept;

/// Whole pages straight from the operating system: the default upstream. Immortal and stateless; allocate() throws
/// std::bad_alloc. Memory is zeroed, aligned to 64 KiB at least, and takes multiples of 64 KiB. A system call each. Never
/// null, never throws. O(1). Thread-safe.
GPA_EXPORT std::pmr::memory_resource* page_resource() noexcept;

}  // namespace gpa
