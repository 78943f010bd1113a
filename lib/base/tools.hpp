// The door to AddressSanitizer, ThreadSanitizer and Valgrind: what gpa closes to the program, they close too, and that
// memory passes from thread to thread in good order, TSan is told.
//
// Nothing is asked of the build of the program: the sanitizers' functions are weak and looked up by the dynamic linker,
// Valgrind's requests are a few instructions without effect elsewhere. Where none is present every function here
// is one load and one branch.
//
// Thread-safe; callable before main and after the last destructor.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

extern "C" {
__attribute__((weak)) void __tsan_acquire(void* lock);
__attribute__((weak)) void __tsan_release(void* lock);
}

namespace gpa::detail {

/// Whether this is compiled with ThreadSanitizer, which sees no store that is written in assembler.
#if defined(__SANITIZE_THREAD__)
inline constexpr bool watched_for_races = true;
#elif defined(__has_feature)
inline constexpr bool watched_for_races = __has_feature(thread_sanitizer);
#else
inline constexpr bool watched_for_races = false;
#endif

enum class tools_answer : std::uint8_t { not_asked, absent, present };
extern std::atomic<tools_answer> tools_known;

/// What the functions below do once tools_present() said yes.
namespace tools_slow {
[[nodiscard]] bool ask() noexcept;
void close(const void* p, std::size_t bytes) noexcept;
void open(const void* p, std::size_t bytes) noexcept;
void create_pool(const void* pool) noexcept;
void destroy_pool(const void* pool) noexcept;
void pool_allocate(const void* pool, const void* p, std::size_t bytes) noexcept;
void pool_free(const void* pool, const void* p) noexcept;
void hush() noexcept;
void unhush() noexcept;
}  // namespace tools_slow

/// Whether ASan is linked in or the program runs on Valgrind.
[[nodiscard]] inline bool tools_present() noexcept
{
  if (tools_known.load(std::memory_order_relaxed) == tools_answer::absent) [[likely]] return false;
  return tools_slow::ask();
}

/// By ThreadSanitizer.
[[nodiscard]] inline bool threads_are_watched() noexcept { return __tsan_acquire != nullptr; }
/// Whether one of the tools would take it for an error that a thread goes on on another stack.
[[nodiscard]] inline bool tools_know_stacks() noexcept { return threads_are_watched() || tools_present(); }

/// What a thread did before it released `lock` happened before what comes now. For locks that TSan does not know.
inline void tools_acquired(void* lock) noexcept
{
  if (__tsan_acquire != nullptr) [[unlikely]] __tsan_acquire(lock);
}
inline void tools_release(void* lock) noexcept
{
  if (__tsan_release != nullptr) [[unlikely]] __tsan_release(lock);
}

/// The program must not touch these bytes. ASan works in units of 8 bytes: of a last unit only its whole is closed,
/// of a first one the part from `p` on.
inline void tools_close(const void* p, std::size_t bytes) noexcept
{
  if (tools_present()) tools_slow::close(p, bytes);
}

/// The program may touch these bytes, and their contents count as written.
inline void tools_open(const void* p, std::size_t bytes) noexcept
{
  if (tools_present()) tools_slow::open(p, bytes);
}

/// Valgrind's pools, so that its leak check and its reports know our blocks. `pool` is any address that names it.
inline void tools_create_pool(const void* pool) noexcept
{
  if (tools_present()) tools_slow::create_pool(pool);
}
/// Forgets the pool and every block in it.
inline void tools_destroy_pool(const void* pool) noexcept
{
  if (tools_present()) tools_slow::destroy_pool(pool);
}
/// A block was handed out: open, and to Valgrind its contents count as not written yet.
inline void tools_pool_allocate(const void* pool, const void* p, std::size_t bytes) noexcept
{
  if (tools_present()) tools_slow::pool_allocate(pool, p, bytes);
}
/// A block came back: closed, and remembered by Valgrind with this stack. ASan is told with tools_close().
inline void tools_pool_free(const void* pool, const void* p) noexcept
{
  if (tools_present()) tools_slow::pool_free(pool, p);
}

/// For a scope in which gpa itself reads what is closed: Valgrind says nothing about the calling thread. ASan is
/// kept quiet by GPA_NO_SANITIZE on the function that reads.
class tools_quiet {
 public:
  tools_quiet() noexcept
  {
    if (tools_present()) tools_slow::hush();
  }
  ~tools_quiet()
  {
    if (tools_present()) tools_slow::unhush();
  }
  tools_quiet(const tools_quiet&) = delete;
  tools_quiet& operator=(const tools_quiet&) = delete;
};

/// Before the end: whatever is quiet, the program's own handlers of it are not.
inline void tools_end_quiet() noexcept
{
  constexpr int most_nested = 8;  // what is enabled once more than it was disabled stays so
  for (int i = 0; tools_present() && i != most_nested; ++i) tools_slow::unhush();
}

/// Whether LeakSanitizer will.
[[nodiscard]] bool leaks_are_looked_for() noexcept;
/// It looks for pointers in memory that it knows, and ours it does not: what such a range points at is no leak.
void tools_add_root(const void* p, std::size_t bytes) noexcept;
void tools_forget_root(const void* p, std::size_t bytes) noexcept;

}  // namespace gpa::detail
