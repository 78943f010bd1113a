// A call stack as reports carry it: a small handle now, names and lines only when somebody looks.
#pragma once

#include <gpa/export.hpp>
#include <gpa/receiver.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gpa {

/// One line of a call stack, named. A function inlined into another has a frame of its own.
struct stack_frame {
  std::uintptr_t address = 0;   ///< inside the call instruction
  std::string function = {};    ///< readable name; empty when nothing is known
  std::string file = {};        ///< source file, absolute where that can be told; empty without debug information
  std::uint32_t line = 0;       ///< 1-based; 0 = unknown
  std::uint32_t column = 0;     ///< 1-based; 0 = unknown
  std::string module = {};      ///< path of the executable or shared library
  std::uintptr_t offset = 0;    ///< of the address in `module`
  bool inlined = false;         ///< the caller is the next frame, at the same address
  bool library = false;         ///< the standard library's, the C library's or gpa's own: folded away in reports
};

/// A handle to a recorded call stack and the thread it was taken on. Immutable; trivially copyable; valid for the
/// life of the process.
class GPA_EXPORT stack_trace {
 public:
  /// Of nothing.
  constexpr stack_trace() noexcept = default;
  /// For gpa itself: both numbers are its own.
  constexpr stack_trace(std::uint32_t id, std::uint32_t thread) noexcept : id_(id), thread_(thread) {}

  /// Whether no stack was recorded (`stack_frames = 0`, or the depot was full).
  [[nodiscard]] bool empty() const noexcept { return id_ == 0; }

  /// The operating system's number of the thread; 0 if unknown. O(1).
  [[nodiscard]] std::uint64_t thread() const noexcept;

  /// The thread's name when gpa first met it; empty if unknown. O(1).
  [[nodiscard]] std::string_view thread_name() const noexcept;

  /// Return addresses, innermost first. O(1).
  [[nodiscard]] std::span<const std::uintptr_t> addresses() const noexcept;

  /// The named frames, innermost first, inlined functions included. Reads debug information: milliseconds.
  /// Allocates from the global heap; throws std::bad_alloc. Thread-safe.
  [[nodiscard, gnu::always_inline]] inline std::vector<stack_frame> frames() const
  {
    std::vector<stack_frame> all;
    name_frames(detail::receiver_into(all));
    return all;
  }

  /// The depot's number of this stack: equal ids are equal stacks. O(1).
  [[nodiscard]] std::uint32_t id() const noexcept { return id_; }

 private:
  void name_frames(detail::receiver<stack_frame> taker) const;

  std::uint32_t id_ = 0;
  std::uint32_t thread_ = 0;
};

}  // namespace gpa
