// std::mutex with the words clang's -Wthread-safety understands, usable before main and after the last destructor.
//
// Its constructor runs at compile time and it has no destructor to run, so `constinit mutex` at namespace scope has
// no beginning and no end. It survives fork if it is held across it: lock() in the prepare handler, unlock() in both
// processes.
#pragma once

#include "base/attributes.hpp"
#include "base/tools.hpp"

#include <atomic>
#include <mutex>
#include <type_traits>

#if defined(__clang__)
#define GPA_THREAD_SAFETY(words) __attribute__((words))
#else
#define GPA_THREAD_SAFETY(words)
#endif
/// Of a member: touched only with `lock` held.
#define GPA_GUARDED_BY(lock) GPA_THREAD_SAFETY(guarded_by(lock))
/// Of a function: called with `lock` held.
#define GPA_REQUIRES(lock) GPA_THREAD_SAFETY(requires_capability(lock))
/// Of a function: takes `lock` and returns with it, or gives it back.
#define GPA_ACQUIRE(...) GPA_THREAD_SAFETY(acquire_capability(__VA_ARGS__))
#define GPA_RELEASE(...) GPA_THREAD_SAFETY(release_capability(__VA_ARGS__))

namespace gpa::detail {

class GPA_THREAD_SAFETY(capability("mutex")) mutex {
 public:
  constexpr mutex() noexcept = default;
  void lock() noexcept GPA_ACQUIRE() { mutex_.lock(); }
  void unlock() noexcept GPA_RELEASE() { mutex_.unlock(); }
  [[nodiscard]] bool try_lock() noexcept GPA_THREAD_SAFETY(try_acquire_capability(true)) { return mutex_.try_lock(); }

 private:
  std::mutex mutex_;
};
static_assert(std::is_trivially_destructible_v<mutex>, "a lock of static storage must never end");

/// A mutex of four bytes, for where there are many (U. Drepper: Futexes Are Tricky, 2011, "mutex 3"). A fork may hold any
/// number of them: ThreadSanitizer gives up on a thread with more than 64 std::mutexes, and does not count these. That
/// they order what threads do it is told.
class GPA_THREAD_SAFETY(capability("mutex")) small_mutex {
 public:
  constexpr small_mutex() noexcept = default;
  void lock() noexcept GPA_ACQUIRE()
  {
    int seen = free;
    if (!state_.compare_exchange_strong(seen, held, std::memory_order_acquire, std::memory_order_relaxed)) [[unlikely]]
      wait_for_it();
    tools_acquired(this);
  }
  void unlock() noexcept GPA_RELEASE()
  {
    tools_release(this);
    if (state_.exchange(free, std::memory_order_release) == awaited) [[unlikely]] state_.notify_one();
  }

 private:
  GPA_COLD void wait_for_it() noexcept;

  static constexpr int free = 0;
  static constexpr int held = 1;
  static constexpr int awaited = 2;  // held, and somebody may sleep
  std::atomic<int> state_{free};
};
static_assert(sizeof(small_mutex) == 4);

/// Holds a mutex, of either kind, for a scope.
template <class Mutex>
class GPA_THREAD_SAFETY(scoped_lockable) mutex_guard {
 public:
  [[nodiscard]] explicit mutex_guard(Mutex& m) noexcept GPA_ACQUIRE(m) : mutex_(m) { mutex_.lock(); }
  ~mutex_guard() GPA_RELEASE() { mutex_.unlock(); }
  mutex_guard(const mutex_guard&) = delete;
  mutex_guard& operator=(const mutex_guard&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace gpa::detail
