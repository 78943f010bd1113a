// What heaps know of the resource they work for: its name for reports, its rules, and whom to tell of a mistake.
//
// Regions point at their owner, so that a free into the wrong resource can name both. An owner outlives its regions.
#pragma once

#include <gpa/report.hpp>

#include <string_view>

namespace gpa::detail {

class owner {
 public:
  /// In reports. Valid for the life of the process.
  [[nodiscard]] std::string_view name() const noexcept { return name_; }

  /// Tells the user, with no lock of ours held; counts, prints or hands to the handler, then may abort.
  virtual void tell(gpa::report r) noexcept = 0;

  /// Called now and then on slow paths, no lock held: a moment to look at the totals.
  virtual void heartbeat() noexcept = 0;

  owner(const owner&) = delete;
  owner& operator=(const owner&) = delete;

 protected:
  owner() noexcept = default;
  ~owner() = default;
  std::string_view name_ = "resource";
};

}  // namespace gpa::detail
