// gpa takes nothing from operator new, and nothing from std::pmr's default resource: not for what it hands out, not for
// its records, not while it reports. (libdw, which names the frames of a report, is a C library and calls malloc.)
#define BOOST_TEST_MODULE global_heap
#include <gpa/resource.hpp>

#include "support/accomplices.hpp"
#include "support/modes.hpp"
#include "support/suspects.hpp"

#include <boost/test/unit_test.hpp>

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <memory_resource>
#include <new>

namespace {

std::atomic<std::size_t> heap_calls{0};

void* count_and_allocate(std::size_t bytes, std::size_t alignment)
{
  ++heap_calls;
  const std::size_t room = (bytes + alignment - 1) / alignment * alignment;
  if (void* const p = std::aligned_alloc(alignment, room == 0 ? alignment : room); p != nullptr) return p;
  throw std::bad_alloc();
}

void count_and_free(void* p) noexcept
{
  ++heap_calls;
  std::free(p);
}

}  // namespace

[[gnu::noinline]] void* operator new(std::size_t bytes)
{
  return count_and_allocate(bytes, alignof(std::max_align_t));
}
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment)
{
  return count_and_allocate(bytes, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* p) noexcept
{
  count_and_free(p);
}
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept
{
  count_and_free(p);
}
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept
{
  count_and_free(p);
}
[[gnu::noinline]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept
{
  count_and_free(p);
}

namespace {

using namespace gpa::test;

// While it lives, stderr goes nowhere, and the default resource refuses.
class nobody_listens {
 public:
  nobody_listens()
      : kept_(::dup(STDERR_FILENO)), before_(std::pmr::set_default_resource(std::pmr::null_memory_resource()))
  {
    const int nowhere = ::open("/dev/null", O_WRONLY);
    ::dup2(nowhere, STDERR_FILENO);
    ::close(nowhere);
  }
  ~nobody_listens()
  {
    ::dup2(kept_, STDERR_FILENO);
    ::close(kept_);
    std::pmr::set_default_resource(before_);
  }
  nobody_listens(const nobody_listens&) = delete;
  nobody_listens& operator=(const nobody_listens&) = delete;

 private:
  int kept_;
  std::pmr::memory_resource* before_;
};

constexpr std::array<std::size_t, 6> sizes = {0, 24, 61, 1000, 30'000, 200'000};

void work(gpa::resource& r)
{
  for (const std::size_t alignment : {1U, 16U, 256U, 131'072U}) {
    std::array<void*, sizes.size()> blocks{};
    for (std::size_t i = 0; i != sizes.size(); ++i) blocks[i] = r.allocate(sizes[i], alignment);
    for (std::size_t i = 0; i != sizes.size(); ++i) {
      const bool resized = sizes[i] > 50 && r.try_resize(blocks[i], sizes[i], sizes[i] - 1, alignment);
      r.deallocate(blocks[i], sizes[i] - (resized ? 1 : 0), alignment);
    }
  }
}

void* work_in_thread(void* r)
{
  work(*static_cast<gpa::resource*>(r));
  return nullptr;
}

// What `action` took from the heap; nothing else of this process runs meanwhile.
template <class Action>
std::size_t calls_of(Action action)
{
  const nobody_listens silence;
  const std::size_t before = heap_calls;
  action();
  return heap_calls - before;
}

void live_and_die(const gpa::options& o)
{
  gpa::resource r(o);
  work(r);
  pthread_t thread{};  // std::thread allocates what it runs
  if (::pthread_create(&thread, nullptr, work_in_thread, &r) == 0) ::pthread_join(thread, nullptr);
  static_cast<void>(r.try_allocate(std::size_t{1} << 60));
  static_cast<void>(r.stats());
  r.verify();
  r.trim();
  r.release();
  work(r);
  static_cast<void>(r.deinit());
}

void make_every_mistake(gpa::options o)
{
  o.after_mistake = gpa::after_mistake::carry_on;
  gpa::resource r(o);
  gpa::resource other(o);
  for (const std::size_t bytes : {24U, 200'000U}) {
    void* const p = obtain(r, bytes);
    blunder(r, p, bytes + 1);
    blunder(r, p, bytes, 32);
    blunder(r, moved(p, 8), bytes);
    blunder(other, p, bytes);
    stray_write(p, static_cast<std::ptrdiff_t>(bytes));
    discard(r, p, bytes);
    blunder(r, p, bytes);
    if (bytes < 32'768) stray_write(p, 8);
    obtain(r, bytes);
  }
  r.verify();
  r.detect_leaks();
  static_cast<void>(r.deinit());
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_counter_counts)
{
  BOOST_TEST(calls_of([] { ::operator delete(::operator new(24)); }) == 2u);
}

BOOST_AUTO_TEST_CASE(a_resource_that_works_takes_nothing_from_the_heap)
{
  for (const mode& m : every_mode()) {
    gpa::options o = m.options;
    o.thread_safe = true;
    BOOST_TEST_CONTEXT(m.name) BOOST_TEST(calls_of([&o] { live_and_die(o); }) == 0u);
  }
}

BOOST_AUTO_TEST_CASE(reports_take_nothing_from_the_heap)
{
  for (const gpa::options& o : checked_modes())
    BOOST_TEST_CONTEXT(o.name) BOOST_TEST(calls_of([&o] { make_every_mistake(o); }) == 0u);
}

BOOST_AUTO_TEST_CASE(the_process_resource_takes_nothing_from_the_heap)
{
  BOOST_TEST(calls_of([] { work(*gpa::process_resource()); }) == 0u);
}
