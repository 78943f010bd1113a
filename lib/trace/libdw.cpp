#include "trace/libdw.hpp"

#if GPA_HAVE_LIBDW

#include "os/metadata.hpp"

#include <dlfcn.h>

#include <atomic>
#include <memory>

namespace gpa::detail {

namespace {

constexpr libdw_functions missing{};
std::atomic<const libdw_functions*> loaded{nullptr};

bool load(libdw_functions& table) noexcept
{
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

}  // namespace gpa::detail

#endif
