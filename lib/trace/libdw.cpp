#include "trace/libdw.hpp"

#if GPA_HAVE_LIBDW

#include "os/metadata.hpp"
#include "trace/code_image.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <memory>

namespace gpa::detail {

namespace {

constexpr libdw_functions missing{};
std::atomic<const libdw_functions*> loaded{nullptr};

constexpr int forking = -1;
std::atomic<int> loading{0};  // threads that do, or `forking`

class loading_scope {
 public:
  loading_scope() noexcept
  {
    for (int others = 0; !loading.compare_exchange_weak(others, others + 1);)
      for (; others == forking; others = loading.load()) ::usleep(100);
  }
  ~loading_scope()
  {
    // In the child of a fork that was made while we loaded, nobody is counted any more.
    for (int n = loading.load(); n > 0 && !loading.compare_exchange_weak(n, n - 1);) {
    }
  }
  loading_scope(const loading_scope&) = delete;
  loading_scope& operator=(const loading_scope&) = delete;
};

bool load(libdw_functions& table) noexcept
{
  if (is_static_program()) return false;  // it would come with a C library of its own, that nobody has started
  const loading_scope scope;
  void* const library = ::dlopen("libdw.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return false;
  bool complete = true;
#define GPA_LIBDW_LOAD(name)                                                    \
  table.name = reinterpret_cast<decltype(table.name)>(::dlsym(library, #name)); \
  complete = complete && table.name != nullptr;
  GPA_LIBDW_FUNCTIONS(GPA_LIBDW_LOAD)
#undef GPA_LIBDW_LOAD
  return complete;
}

}  // namespace

// No function-local static: its guard would make one reporter wait for another, or for itself when loading a library
// runs code that reports. Two that meet here load twice, which the dynamic loader counts, and one table wins.
const libdw_functions* libdw() noexcept
{
  const libdw_functions* table = loaded.load(std::memory_order_acquire);
  if (table == nullptr) {
    table = &missing;
    if (void* const place = metadata_allocate(sizeof(libdw_functions)); place != nullptr) {
      libdw_functions* const fresh = std::construct_at(static_cast<libdw_functions*>(place));
      if (load(*fresh)) {
        table = fresh;
      } else {
        metadata_free(place, sizeof(libdw_functions));
      }
    }
    const libdw_functions* expected = nullptr;
    if (!loaded.compare_exchange_strong(expected, table, std::memory_order_acq_rel)) {
      if (table != &missing) metadata_free(const_cast<libdw_functions*>(table), sizeof(libdw_functions));
      table = expected;
    }
  }
  return table == &missing ? nullptr : table;
}

// Another fork is not under way: the caller holds a lock. Only who forks while it loads waits in vain.
void libdw_before_fork() noexcept
{
  int nobody = 0;
  for (int i = 0; i != 100'000 && !loading.compare_exchange_strong(nobody, forking); ++i, nobody = 0) ::usleep(100);
}

void libdw_after_fork() noexcept
{
  int by_us = forking;
  loading.compare_exchange_strong(by_us, 0);
}

// Others who were loading are not there.
void libdw_in_child() noexcept { loading.store(0); }

}  // namespace gpa::detail

#else

void gpa::detail::libdw_before_fork() noexcept {}
void gpa::detail::libdw_after_fork() noexcept {}
void gpa::detail::libdw_in_child() noexcept {}

#endif
