// What LeakSanitizer is shown of the user's memory: it looks for pointers in what it knows, and mappings of ours it does
// not; so whatever is held by nothing but a block of ours would be a leak to it.
//
// Whole segments are shown, once, and stay shown when they are unmapped: it looks at no page that cannot be read, nor at
// one that is closed to AddressSanitizer, as what is free is. What is mapped there later by others hides a leak at worst.
//
// Thread-safe. Without LeakSanitizer: one load and one branch.
#pragma once

#include <cstddef>

namespace gpa::detail {

/// `p` was mapped, or reserved, for blocks of the user's. May be given to it twice.
void show_leak_sanitizer(const void* p, std::size_t bytes) noexcept;

}  // namespace gpa::detail
