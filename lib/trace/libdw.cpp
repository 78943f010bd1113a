#include "trace/libdw.hpp"

#include "base/short_sleep.hpp"
#include "base/tools.hpp"

#if GPA_HAVE_LIBDW

#include "os/loader.hpp"
#include "os/metadata.hpp"
#include "trace/code_image.hpp"
#include "trace/frame.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

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
      for (; others == forking; others = loading.load()) short_sleep(100'000);
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

// Base addresses, 0 for none, of libdw and of what it needs and the program had not.
constinit std::array<std::atomic<std::uintptr_t>, 16> came_with_it{};

using bases = metadata_vector<std::uintptr_t>;

bases loaded_now()
{
  bases all;
  all.reserve(256);  // more are of no program that unloads plugins; and nothing is thrown through the loader's frames
  for_each_module(
      [](dl_phdr_info* info, std::size_t, void* to) {
        auto& list = *static_cast<bases*>(to);
        if (list.size() == list.capacity()) return 1;
        list.push_back(info->dlpi_addr);
        return 0;
      },
      &all);
  return all;
}

void note_what_came(const bases& before)
{
  std::size_t count = 0;
  for (const std::uintptr_t base : loaded_now())
    if (count != came_with_it.size() && std::find(before.begin(), before.end(), base) == before.end())
      came_with_it[count++].store(base, std::memory_order_relaxed);
}

void* load_library() noexcept
{
  constexpr const char* name = "libdw.so.1";
  try {
    const bases before = loaded_now();
    void* const library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) note_what_came(before);
    return library;
  } catch (const std::bad_alloc&) {
    return ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
  }
}

bool load(libdw_functions& table) noexcept
{
  if (is_static_program()) return false;  // it would come with a C library of its own, that nobody has started
  const loading_scope scope;
  void* const library = load_library();
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

bool came_with_libdw(std::uintptr_t base) noexcept
{
  return base != 0 &&
         std::any_of(came_with_it.begin(), came_with_it.end(), [base](const std::atomic<std::uintptr_t>& one) {
           return one.load(std::memory_order_relaxed) == base;
         });
}

std::string_view why_no_libdw() noexcept
{
  if (loaded.load(std::memory_order_acquire) != &missing) return {};
  return is_static_program() ? "a static program cannot load libdw" : "libdw.so.1 could not be loaded (Debian: libdw1)";
}

// Another fork is not under way: the caller holds a lock. Only who forks while it loads waits in vain.
void libdw_before_fork() noexcept
{
  int nobody = 0;
  for (int i = 0; i != 100'000 && !loading.compare_exchange_strong(nobody, forking); ++i, nobody = 0)
    short_sleep(100'000);
}

void libdw_after_fork() noexcept
{
  int by_us = forking;
  loading.compare_exchange_strong(by_us, 0);
}

// Others who were loading are not there.
// LeakSanitizer (of LLVM 14) believes that a thread-local variable of a library which begins 16 bytes into a page has
// the header of an old glibc in front of it, follows what it reads there, and ends the process. ASan's malloc, which
// the loader has them from, gives such a block now and then, and the first time to each thread: so blocks are taken
// until the next ones lie elsewhere. What is freed is not used again for long.
void make_room_for_libdw() noexcept
{
  if (!leaks_are_looked_for()) return;
  constexpr std::size_t bytes = 16, page = 4096, near = 512;
  for (std::size_t tries = 0; tries != page / bytes; ++tries) {
    void* volatile taken = std::malloc(bytes);
    const std::uintptr_t place = reinterpret_cast<std::uintptr_t>(taken);
    std::free(taken);
    if ((place + near) % page > 2 * near) return;
  }
}

void libdw_in_child() noexcept
{
  loading.store(0);
}

}  // namespace gpa::detail

#else

bool gpa::detail::came_with_libdw(std::uintptr_t) noexcept
{
  return false;
}
std::string_view gpa::detail::why_no_libdw() noexcept
{
  return "this gpa was built without libdw";
}
void gpa::detail::libdw_before_fork() noexcept {}
void gpa::detail::libdw_after_fork() noexcept {}
void gpa::detail::libdw_in_child() noexcept {}
void gpa::detail::make_room_for_libdw() noexcept {}

#endif
