// This thread's cache of a resource for one careful call: its own, made at first use; or, where the thread's C++
// destructors have run already, one borrowed from the resource and given back at the end.
#pragma once

#include "core.hpp"

namespace gpa::detail {

class cache_lease {
 public:
  explicit cache_lease(core& c) noexcept;
  ~cache_lease();
  cache_lease(const cache_lease&) = delete;
  cache_lease& operator=(const cache_lease&) = delete;

  /// Null when memory for a cache is refused.
  [[nodiscard]] cache_header* cache() const noexcept { return cache_; }
  [[nodiscard]] bool is_borrowed() const noexcept { return borrowed_; }
  [[nodiscard]] checked_cache& checked() const noexcept
  {
    return *static_cast<checked_cache*>(cache_->checked ? cache_ : cache_->partner);
  }

 private:
  core& core_;
  cache_header* cache_ = nullptr;
  bool borrowed_ = false;
};

}  // namespace gpa::detail
