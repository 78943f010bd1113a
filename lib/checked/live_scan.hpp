// Live blocks shown one by one, while others allocate and free: checked_heap::visit_live().
#pragma once

#include "checked/leak_scan.hpp"

#include <cstdint>

namespace gpa::detail {

/// Who wants to see them.
class live_visitor {
 public:
  virtual void visit(const live_block& b) noexcept = 0;

 protected:
  ~live_visitor() = default;
};

/// A large block as its record describes it, whose word was read once.
[[nodiscard]] live_block live_block_of(const large_block& b, std::uint64_t word) noexcept;

}  // namespace gpa::detail
