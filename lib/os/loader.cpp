#include "os/loader.hpp"

#include "base/mutex.hpp"

namespace gpa::detail {

namespace {

constinit mutex looking;

}  // namespace

int for_each_module(int (*visit)(dl_phdr_info* module, std::size_t size, void* data), void* data)
{
  const mutex_guard guard(looking);
  return ::dl_iterate_phdr(visit, data);
}

void loader_lock() noexcept GPA_ACQUIRE(looking) { looking.lock(); }

void loader_unlock() noexcept GPA_RELEASE(looking) { looking.unlock(); }

}  // namespace gpa::detail
