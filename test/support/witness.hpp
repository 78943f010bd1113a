// Gathers what resources report, from any thread. Declare it before the resources it listens to.
#pragma once

#include <gpa/resource.hpp>

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

namespace gpa::test {

class witness {
 public:
  witness() = default;
  witness(const witness&) = delete;
  witness& operator=(const witness&) = delete;

  /// `o`, with this as its handler, carrying on after mistakes.
  [[nodiscard]] gpa::options listening(gpa::options o = {.checks = gpa::checks::always()})
  {
    o.after_mistake = gpa::after_mistake::carry_on;
    o.on_report = [this](const gpa::report& r) {
      const std::lock_guard guard(mutex_);
      reports_.push_back(r);
    };
    return o;
  }

  [[nodiscard]] std::size_t count() const
  {
    const std::lock_guard guard(mutex_);
    return reports_.size();
  }
  [[nodiscard]] std::size_t count(gpa::mistake kind) const
  {
    const std::lock_guard guard(mutex_);
    return static_cast<std::size_t>(
        std::count_if(reports_.begin(), reports_.end(), [kind](const gpa::report& r) { return r.kind == kind; }));
  }
  /// What was reported since the last call.
  [[nodiscard]] std::vector<gpa::report> take()
  {
    const std::lock_guard guard(mutex_);
    return std::exchange(reports_, {});
  }

 private:
  mutable std::mutex mutex_;
  std::vector<gpa::report> reports_;
};

}  // namespace gpa::test
