// How a call stack is told: where it happened, the source line and its caret, the frames a reader wants to see.
#pragma once

#include <gpa/stack_trace.hpp>

#include "os/text.hpp"
#include "trace/color.hpp"
#include "trace/frame.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gpa::detail {

/// How a report is dressed. The plain one is that of gpa::to_string().
struct report_style {
  bool color = false;
  bool source = true;       // the source line and its caret
  bool all_frames = false;  // those of libraries, too
  bool lines_hint = true;   // why there are no source lines
};

/// A stack with its names.
struct told_stack {
  frame_list frames = {};
  std::size_t addresses = 0;  // how many were captured
  std::uint64_t thread = 0;   // the system's number; 0 = unknown
  std::string_view thread_name = {};
};

/// Who names a stack: the symboliser, or a test. May throw std::bad_alloc.
using stack_teller = told_stack (*)(const stack_trace& stack);

/// The symboliser's. Throws std::bad_alloc.
[[nodiscard]] told_stack name_stack(const stack_trace& stack);

/// Not thread-safe: its maker owns it, and the text.
class stack_writer {
 public:
  stack_writer(text& out, const report_style& style);

  /// "src/cache.cpp:18:34: ", or as much of it as is known.
  void append_location(const told_stack& stack);
  /// The excerpt, and a line for each frame; those of libraries are only counted.
  void append_stack(const told_stack& stack);
  /// ` by thread 4711 "worker"`
  void append_thread(const told_stack& stack);

 private:
  void append_place(const frame& f);
  void append_offset(const frame& f);
  void append_frame(std::size_t number, const frame& f);

  text& out_;
  const report_style style_;
  painter paint_;
  metadata_string directory_;
};

}  // namespace gpa::detail
