// What a report looks like: compiler-style headline, source line and caret, frames, notes, the next thing to do.
//
//   src/cache.cpp:18:34: error: leak of 720 bytes in 10 blocks [gpa-leak]
//      18 |         void* raw = mr_->allocate(sizeof(Session), alignof(Session));
//         |                                  ^
//       #0 0x55ad2c4adcd5 in Cache::open(int) src/cache.cpp:18:34
//       #1 0x55ad2c4a2b1d in main src/cache.cpp:54:10
//       (+1 library frame)
//
// The location is the first user frame's. Deterministic for the same report: golden files pin it.
#pragma once

#include <gpa/report.hpp>

#include "os/text.hpp"
#include "trace/stack_text.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace gpa::detail {

/// What one suppression left out of a leak report.
struct suppression_use {
  std::string_view pattern;
  std::size_t blocks = 0;
  std::size_t bytes = 0;
};

/// What stands below a list of leaks.
struct leak_summary {
  std::string_view resource;       // name
  std::size_t blocks = 0;          // live ones, ignored ones not counted
  std::size_t bytes = 0;
  std::size_t groups = 0;          // distinct stacks
  std::size_t groups_shown = 0;    // how many were printed; the rest is counted in a line
  std::size_t reachable_blocks = 0;  // at exit: static storage still points at them
  std::size_t reachable_bytes = 0;
  std::size_t suppressed_blocks = 0;  // a suppression matches
  std::size_t suppressed_bytes = 0;
  std::span<const suppression_use> suppressions_used = {};  // to be listed
  std::size_t known_blocks = 0;       // the baseline has them
  std::size_t known_bytes = 0;
  std::size_t peak_bytes = 0;
  bool peak_is_exact = false;      // else it may have been higher between two readings
  std::size_t total_blocks = 0;    // allocations in all
  bool at_exit = false;            // process_resource(): "still live at exit"
  bool upstream_gone = false;      // over a user's upstream everything was returned: later access is undefined
  bool still_usable = false;       // deinit() or destructor: their memory stays until they are freed
  bool destroyed = false;          // destructor: what a late free calls may not be there any more
};

/// The whole text of one report, ending in a newline. Allocates names through libdw with malloc; everything else is
/// metadata memory. Never throws: what cannot be named is given as module+offset.
void append_report(text& out, const gpa::report& r, const report_style& style = {}) noexcept;
void append_report(text& out, const gpa::report& r, stack_teller tell, const report_style& style = {}) noexcept;

/// The closing lines of a leak report, ending in a newline.
void append_leak_summary(text& out, const leak_summary& s, const report_style& style = {}) noexcept;

}  // namespace gpa::detail
