#define BOOST_TEST_MODULE refused_pages
#include <gpa/resource.hpp>

#include "support/child.hpp"
#include "support/modes.hpp"
#include "support/not_run.hpp"
#include "support/suspects.hpp"
#include "support/witness.hpp"

#include <boost/test/unit_test.hpp>

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <new>
#include <random>
#include <utility>
#include <vector>

// The system refuses any of the calls that make, open, close, move and empty pages, one here and one there.

namespace {

std::minstd_rand chance;
unsigned one_in = 0;  // calls that are refused; 0 = none

}  // namespace

#if !GPA_TEST_ASAN && !GPA_TEST_TSAN

namespace {

bool refuses()
{
  if (one_in == 0 || chance() % one_in != 0) return false;
  errno = ENOMEM;
  return true;
}

void* refused_or(long answer) { return reinterpret_cast<void*>(answer); }

}  // namespace

// The library finds these instead of the C library's.
extern "C" {
void* mmap64(void* p, std::size_t bytes, int protection, int flags, int file, off64_t at) noexcept
{
  if (refuses()) return MAP_FAILED;
  return refused_or(::syscall(SYS_mmap, p, bytes, protection, flags, file, at));
}
int mprotect(void* p, std::size_t bytes, int protection) noexcept
{
  return refuses() ? -1 : static_cast<int>(::syscall(SYS_mprotect, p, bytes, protection));
}
int madvise(void* p, std::size_t bytes, int advice) noexcept
{
  return refuses() ? -1 : static_cast<int>(::syscall(SYS_madvise, p, bytes, advice));
}
void* mremap(void* p, std::size_t bytes, std::size_t then, int flags, ...) noexcept
{
  va_list more;
  va_start(more, flags);
  void* const to = va_arg(more, void*);
  va_end(more);
  if (refuses()) return MAP_FAILED;
  return refused_or(::syscall(SYS_mremap, p, bytes, then, flags, to));
}
}

#endif

namespace {

struct block {
  unsigned char* p;
  std::size_t bytes;
  std::size_t alignment;
  unsigned char with;
};

bool holds_what_it_was_given(const block& b)
{
  return std::all_of(b.p, b.p + b.bytes, [&b](unsigned char c) { return c == b.with; });
}

// What went wrong, or null.
const char* work(const gpa::options& o, unsigned steps)
{
  gpa::test::witness w;
  gpa::resource r(w.listening(o));
  std::vector<block> live;
  for (unsigned i = 0; i != steps; ++i) {
    if (chance() % 2 == 0 && !live.empty()) {
      std::swap(live[chance() % live.size()], live.back());
      const block b = live.back();
      live.pop_back();
      if (!holds_what_it_was_given(b)) return "a block has changed";
      r.deallocate(b.p, b.bytes, b.alignment);
    } else {
      const std::size_t bytes = chance() % (i % 3 == 0 ? 300'000 : 3'000);
      const std::size_t alignment = i % 7 == 0 ? 16'384 : 8;
      auto* const p = static_cast<unsigned char*>(r.try_allocate(bytes, alignment));
      if (p == nullptr) continue;
      live.push_back({p, bytes, alignment, static_cast<unsigned char>(i)});
      std::fill_n(p, bytes, static_cast<unsigned char>(i));
    }
    if (i % 200 == 0) r.trim();
  }
  if (r.stats().live_blocks != live.size()) return "not as many are live as are counted";
  for (const block& b : live) r.deallocate(b.p, b.bytes, b.alignment);
  if (r.deinit() != gpa::check::ok) return "deinit() is not content";
  return w.count() == 0 ? nullptr : "something was reported";
}

}  // namespace

BOOST_AUTO_TEST_CASE(whatever_call_is_refused_blocks_stay_as_they_are)
{
#if GPA_TEST_ASAN || GPA_TEST_TSAN
  gpa::test::not_run_here("sanitizers have functions of their own in these places");
  return;
#endif
  std::vector<gpa::test::mode> modes = gpa::test::every_mode();
  modes.push_back({"every second sampled", {.checks = gpa::checks::one_in(2)}});
  for (const auto& m : modes) {
    for (const unsigned refused : {2U, 3U, 5U, 20U}) {
      BOOST_TEST_CONTEXT(m.name << ", one call in " << refused)
      BOOST_TEST(gpa::test::true_in_child([&] {
                   static_cast<void>(gpa::resource(m.options));
                   one_in = refused;
                   const char* wrong = "an exception";
                   try {
                     wrong = work(m.options, gpa::test::is_sampled(m) ? 2'500 : 400);
                   } catch (const std::bad_alloc&) {
                     wrong = nullptr;  // no memory for the resource itself
                   }
                   one_in = 0;
                   if (wrong != nullptr) std::fprintf(stderr, "%s: %s\n", m.name, wrong);
                   return wrong == nullptr;
                 }),
                 "see above");
    }
  }
}
