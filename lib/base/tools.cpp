#include "base/tools.hpp"

#include "base/attributes.hpp"

#if GPA_HAVE_VALGRIND
#include <valgrind/memcheck.h>
#endif

extern "C" {
__attribute__((weak)) void __lsan_register_root_region(const void* p, std::size_t bytes);
__attribute__((weak)) void __lsan_unregister_root_region(const void* p, std::size_t bytes);
__attribute__((weak)) void __asan_poison_memory_region(const volatile void* p, std::size_t bytes);
__attribute__((weak)) void __asan_unpoison_memory_region(const volatile void* p, std::size_t bytes);
}

namespace gpa::detail {

constinit std::atomic<tools_answer> tools_known{tools_answer::not_asked};

namespace {

bool asan_present() noexcept
{
  return __asan_poison_memory_region != nullptr && __asan_unpoison_memory_region != nullptr;
}

bool valgrind_present() noexcept
{
#if GPA_HAVE_VALGRIND
  // Memcheck answers this request; other tools, such as callgrind, which counts our instructions, do not.
  char known = 0;
  return RUNNING_ON_VALGRIND != 0 && VALGRIND_MAKE_MEM_DEFINED(&known, sizeof known) != 0;
#else
  return false;
#endif
}

}  // namespace

namespace tools_slow {

GPA_COLD bool ask() noexcept
{
  tools_answer answer = tools_known.load(std::memory_order_relaxed);
  if (answer == tools_answer::not_asked) {
    answer = asan_present() || valgrind_present() ? tools_answer::present : tools_answer::absent;
    tools_known.store(answer, std::memory_order_relaxed);  // every thread finds the same answer
  }
  return answer == tools_answer::present;
}

// Valgrind's requests are an idiom of a few instructions: no need to ask again whether it is there.

GPA_COLD void close(const void* p, std::size_t bytes) noexcept
{
  if (asan_present()) __asan_poison_memory_region(p, bytes);
#if GPA_HAVE_VALGRIND
  static_cast<void>(VALGRIND_MAKE_MEM_NOACCESS(p, bytes));
#endif
}

GPA_COLD void open(const void* p, std::size_t bytes) noexcept
{
  if (asan_present()) __asan_unpoison_memory_region(p, bytes);
#if GPA_HAVE_VALGRIND
  static_cast<void>(VALGRIND_MAKE_MEM_DEFINED(p, bytes));
#endif
}

GPA_COLD void create_pool([[maybe_unused]] const void* pool) noexcept
{
#if GPA_HAVE_VALGRIND
  VALGRIND_CREATE_MEMPOOL(pool, 0, 0);
#endif
}

GPA_COLD void destroy_pool([[maybe_unused]] const void* pool) noexcept
{
#if GPA_HAVE_VALGRIND
  VALGRIND_DESTROY_MEMPOOL(pool);
#endif
}

GPA_COLD void pool_allocate([[maybe_unused]] const void* pool, const void* p, std::size_t bytes) noexcept
{
  if (asan_present()) __asan_unpoison_memory_region(p, bytes);
#if GPA_HAVE_VALGRIND
  VALGRIND_MEMPOOL_ALLOC(pool, p, bytes);
#endif
}

GPA_COLD void pool_free([[maybe_unused]] const void* pool, [[maybe_unused]] const void* p) noexcept
{
#if GPA_HAVE_VALGRIND
  VALGRIND_MEMPOOL_FREE(pool, p);
#endif
}

GPA_COLD void hush() noexcept
{
#if GPA_HAVE_VALGRIND
  VALGRIND_DISABLE_ERROR_REPORTING;
#endif
}

GPA_COLD void unhush() noexcept
{
#if GPA_HAVE_VALGRIND
  VALGRIND_ENABLE_ERROR_REPORTING;
#endif
}

}  // namespace tools_slow
bool leaks_are_looked_for() noexcept { return __lsan_register_root_region != nullptr; }

void tools_add_root(const void* p, std::size_t bytes) noexcept
{
  if (__lsan_register_root_region != nullptr) __lsan_register_root_region(p, bytes);
}

void tools_forget_root(const void* p, std::size_t bytes) noexcept
{
  if (__lsan_unregister_root_region != nullptr) __lsan_unregister_root_region(p, bytes);
}

}  // namespace gpa::detail
