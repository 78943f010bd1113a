// For fork: no default_resource_guard begins or ends while it is held.
#pragma once

namespace gpa::detail {

void default_resource_lock() noexcept;
void default_resource_unlock() noexcept;

}  // namespace gpa::detail
