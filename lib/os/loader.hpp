// The door to the dynamic loader's list of modules: dl_iterate_phdr(), so that a fork cannot come in its way.
//
// glibc holds a lock of its own meanwhile, which a fork leaves locked in the child for ever if another thread has it just
// then (2.36). So we hold one of ours around it, and forks wait for that.
//
// Thread-safe.
#pragma once

#include <cstddef>

#include <link.h>

namespace gpa::detail {

/// As dl_iterate_phdr().
int for_each_module(int (*visit)(dl_phdr_info* module, std::size_t size, void* data), void* data);

/// For fork.
void loader_lock() noexcept;
void loader_unlock() noexcept;

}  // namespace gpa::detail
