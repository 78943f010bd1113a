// Live blocks shown one by one, while others allocate and free: checked_heap::visit_live().
#pragma once

#include "checked/leak_scan.hpp"

namespace gpa::detail {

/// Who wants to see them.
class live_visitor {
 public:
  virtual void visit(const live_block& b) noexcept = 0;

 protected:
  ~live_visitor() = default;
};

}  // namespace gpa::detail
