// gpa::tag_scope: names what a thread is busy with, so that a snapshot can say who holds the memory.
#pragma once

#include <gpa/export.hpp>

#include <cstdint>
#include <string_view>

namespace gpa {

/// While it lives, blocks that this thread allocates from any gpa::resource carry its name: a phase of the program, a
/// subsystem, a request. The innermost scope counts. Snapshots and the sites of JSON reports tell blocks apart by it
/// (`gpa::by::tag`), reports of mistakes do not; blocks that are not checked (`checks::never()`, or not sampled) carry none.
///
/// Names are compared as text and copied, at most 63 bytes of each. 1 023 different ones are told apart in a process;
/// any further one is called "other tags". Control characters become '?'. Names are for a handful of subsystems, not for
/// data.
///
/// Ends on the thread that began it. While one lives, the thread's calls take a longer path: some 40 ns more for an
/// allocation and its free. Never throws. O(names that the process has used): the constructor looks for its own.
class GPA_EXPORT tag_scope {
 public:
  [[nodiscard]] explicit tag_scope(std::string_view name) noexcept;
  ~tag_scope();

  tag_scope(const tag_scope&) = delete;
  tag_scope& operator=(const tag_scope&) = delete;

 private:
  std::uint16_t outer_;
};

}  // namespace gpa
