// What is told when a memory limit refuses an allocation: who asked, and who holds the most.
//
//   src/load.cpp:31:20: warning: memory limit of 1048576 bytes reached: 1040112 in use, 16384 more asked for
//   [gpa-memory-limit] src/cache.cpp:18:34: note: 983040 bytes in 15 blocks in use, allocated here
//
// A warning, not an error: the program may well be prepared for it.
#pragma once

#include "os/text.hpp"
#include "trace/stack_text.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace gpa::detail {

struct limit_site {
  stack_trace allocated;
  std::size_t blocks = 0;
  std::size_t bytes = 0;
};

struct limit_report {
  std::string_view resource;
  std::size_t limit = 0;
  std::size_t in_use = 0;
  std::size_t asked = 0;
  stack_trace here;
  std::span<const limit_site> largest;  // most bytes first
  std::size_t further_sites = 0;
  bool sites_known = true;     // not of a resource that checks nothing
  std::uint32_t interval = 1;  // the sites are of one block in so many, and their numbers not scaled
};

/// Ends in a newline. Never throws: what cannot be named is left out.
void append_limit_report(text& out, const limit_report& r, const report_style& style = {}) noexcept;
void append_limit_report(text& out, const limit_report& r, stack_teller tell, const report_style& style = {}) noexcept;

}  // namespace gpa::detail
