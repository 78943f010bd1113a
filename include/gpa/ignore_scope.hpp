// gpa::ignore_scope: what is allocated while it lives is meant to stay.
#pragma once

#include <gpa/export.hpp>

namespace gpa {

/// While it lives, blocks that this thread allocates from any gpa::resource are meant to stay, as after
/// resource::ignore(): no leak report lists them, and they may still be freed. For caches, registries, and libraries
/// that never give back. Scopes nest.
///
/// Ends on the thread that began it. Blocks that are not checked (`checks::never()`, or not sampled) are counted as
/// ever. While one lives, the thread's calls take a longer path: some tens of nanoseconds each.
/// Never throws. O(1).
class GPA_EXPORT ignore_scope {
 public:
  [[nodiscard]] ignore_scope() noexcept;
  ~ignore_scope();

  ignore_scope(const ignore_scope&) = delete;
  ignore_scope& operator=(const ignore_scope&) = delete;
};

}  // namespace gpa
