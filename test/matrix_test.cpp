// The misuse matrix: every mistake, at every size, on the same thread and on another, each in a child with default
// options, judged by the first line of its report. Each has a clean twin that says nothing.
#define BOOST_TEST_MODULE matrix
#include <gpa/resource.hpp>

#include "support/death.hpp"
#include "support/debug_lines.hpp"
#include "support/not_run.hpp"
#include "support/suspects.hpp"

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using namespace gpa::test;

constexpr std::size_t default_alignment = alignof(std::max_align_t);

// The lines of the statements, as the child ran them.
struct lines {
  unsigned told = 0;  // where the report must point at
  unsigned allocated = 0;
  unsigned freed = 0;
};

struct scene {
  std::size_t bytes;
  bool wrong;      // false: the clean twin
  bool elsewhere;  // the mistake is made on another thread
  lines& at;
  std::size_t given_bytes = bytes;
  std::size_t given_alignment = default_alignment;
  std::size_t alignment = default_alignment;

  template <class Action>
  void somewhere(Action action) const
  {
    if (elsewhere) {
      std::thread(action).join();
    } else {
      action();
    }
  }
};

void leak(const scene& s)
{
  gpa::resource r;
  void* p = nullptr;
  s.somewhere([&] { AT(s.at.told, p = r.allocate(s.bytes)); });
  if (!s.wrong) r.deallocate(p, s.bytes);
}

void double_free(const scene& s)
{
  gpa::resource r;
  void* p = nullptr;
  AT(s.at.allocated, p = r.allocate(s.bytes));
  AT(s.at.freed, r.deallocate(p, s.bytes));
  s.somewhere([&] {
    if (s.wrong) AT(s.at.told, r.deallocate(p, s.bytes));
  });
}

void mismatch(const scene& s)
{
  gpa::resource r;
  void* p = nullptr;
  AT(s.at.allocated, p = r.allocate(s.bytes, s.alignment));
  const std::size_t bytes = s.wrong ? s.given_bytes : s.bytes;
  const std::size_t alignment = s.wrong ? s.given_alignment : s.alignment;
  s.somewhere([&] { AT(s.at.told, r.deallocate(p, bytes, alignment)); });
}

void size_mismatch(const scene& s)
{
  scene other = s;
  other.given_bytes = s.bytes + 8;
  mismatch(other);
}

void alignment_mismatch(const scene& s)
{
  scene other = s;
  other.given_alignment = 8;
  mismatch(other);
}

void invalid_pointer(const scene& s)
{
  gpa::resource r;
  void* p = nullptr;
  AT(s.at.allocated, p = r.allocate(s.bytes));
  const std::size_t inside = s.bytes == 1 ? 1 : s.bytes / 2;
  s.somewhere([&] { AT(s.at.told, r.deallocate(moved(p, s.wrong ? inside : 0), s.bytes)); });
}

void wrong_resource(const scene& s)
{
  gpa::resource r;
  gpa::resource other;
  void* p = nullptr;
  AT(s.at.allocated, p = r.allocate(s.bytes));
  s.somewhere([&] { AT(s.at.told, (s.wrong ? other : r).deallocate(p, s.bytes)); });
}

void write_after_free(const scene& s)
{
  gpa::resource r;
  void* p = nullptr;
  AT(s.at.allocated, p = r.allocate(s.bytes));
  AT(s.at.freed, r.deallocate(p, s.bytes));
  s.somewhere([&] {
    if (s.wrong) stray_write(p, static_cast<std::ptrdiff_t>(s.bytes / 2));
  });
  AT(s.at.told, r.verify());
}

void overflow(const scene& s)
{
  gpa::resource r;
  void* p = nullptr;
  AT(s.at.allocated, p = r.allocate(s.bytes));
  s.somewhere([&] {
    if (s.wrong) stray_write(p, static_cast<std::ptrdiff_t>(s.bytes));
    AT(s.at.told, r.deallocate(p, s.bytes));
  });
}

struct row {
  gpa::mistake kind;
  void (*action)(const scene&);
  bool may_fault = false;  // where large blocks are inaccessible
};

const std::vector<row> rows = {
    {gpa::mistake::leak, leak},
    {gpa::mistake::double_free, double_free},
    {gpa::mistake::size_mismatch, size_mismatch},
    {gpa::mistake::alignment_mismatch, alignment_mismatch},
    {gpa::mistake::invalid_pointer, invalid_pointer},
    {gpa::mistake::wrong_resource, wrong_resource},
    {gpa::mistake::write_after_free, write_after_free, true},
    {gpa::mistake::overflow, overflow},
};

constexpr std::size_t sizes[] = {1, 24, 61, 1000, 32768, 200'000, 5 << 20};

// Without debug information reports name functions and offsets: then words are judged and lines are not.
bool lines_are_known()
{
  static const bool known =
      static_cast<bool>(gpa::test::runs_if(gpa::test::has_debug_lines(), "lines: no debug information, or no libdw"));
  return known;
}

void judge(gpa::mistake kind, const ending& e, const lines& at)
{
  const told_line first = first_report(e);
  const std::string name(gpa::to_string(kind));
  BOOST_TEST(first.words.starts_with(name), e);
  std::string rule = "[gpa-" + name + "]";
  for (char& c : rule)
    if (c == ' ') c = '-';
  BOOST_TEST(first.words.ends_with(rule), e);
  BOOST_TEST(e.signal == (kind == gpa::mistake::leak ? 0 : SIGABRT), e);
  if (!lines_are_known()) return;
  BOOST_TEST(first.file == "matrix_test.cpp", e);
  BOOST_TEST(first.line == at.told, "told at line " << at.told << ": " << e);
  bool allocated = at.allocated == 0;
  bool freed = at.freed == 0;
  for (const told_line& t : told_lines(e.text)) {
    allocated = allocated || (t.line == at.allocated && t.words.starts_with("allocated here"));
    freed = freed || (t.line == at.freed && t.words.find("freed here") != std::string::npos);
  }
  BOOST_TEST(allocated, "allocated at line " << at.allocated << ": " << e);
  BOOST_TEST(freed, "freed at line " << at.freed << ": " << e);
}

void try_row(const row& r, bool elsewhere)
{
  for (const std::size_t bytes : sizes) {
    BOOST_TEST_CONTEXT(gpa::to_string(r.kind) << ", " << bytes << (elsewhere ? " bytes, other thread" : " bytes"))
    {
      const shared<lines> at;
      const ending e = in_child([&] { r.action({bytes, true, elsewhere, *at}); });
      const bool faulted = r.may_fault && bytes > 32768 && e.signal == SIGSEGV;
      if (!faulted) judge(r.kind, e, *at);

      const ending twin = in_child([&] { r.action({bytes, false, elsewhere, *at}); });
      BOOST_TEST(twin.is_clean(), "clean twin: " << twin);
    }
  }
}

const row& row_of(gpa::mistake kind)
{
  for (const row& r : rows)
    if (r.kind == kind) return r;
  throw std::logic_error("no such row");
}

void try_both(gpa::mistake kind)
{
  try_row(row_of(kind), false);
  try_row(row_of(kind), true);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_leak_of_any_size_on_any_thread_is_told_where_it_was_allocated)
{
  try_both(gpa::mistake::leak);
}

BOOST_AUTO_TEST_CASE(a_double_free_of_any_size_on_any_thread_is_told_where_it_happens)
{
  try_both(gpa::mistake::double_free);
}

BOOST_AUTO_TEST_CASE(a_size_mismatch_of_any_size_on_any_thread_is_told_where_it_happens)
{
  try_both(gpa::mistake::size_mismatch);
}

BOOST_AUTO_TEST_CASE(an_alignment_mismatch_of_any_size_on_any_thread_is_told_where_it_happens)
{
  try_both(gpa::mistake::alignment_mismatch);
}

BOOST_AUTO_TEST_CASE(an_invalid_pointer_of_any_size_on_any_thread_is_told_where_it_is_freed)
{
  try_both(gpa::mistake::invalid_pointer);
}

BOOST_AUTO_TEST_CASE(a_block_of_any_size_freed_into_a_wrong_resource_is_told_where_it_is_freed)
{
  try_both(gpa::mistake::wrong_resource);
}

BOOST_AUTO_TEST_CASE(a_write_after_free_of_any_size_on_any_thread_is_told_where_it_is_noticed_or_faults)
{
  try_both(gpa::mistake::write_after_free);
}

BOOST_AUTO_TEST_CASE(an_overflow_of_any_size_on_any_thread_is_told_where_the_block_is_freed)
{
  try_both(gpa::mistake::overflow);
}

BOOST_AUTO_TEST_CASE(sizes_and_alignments_that_would_wrap_an_encoding_are_mismatches)
{
  struct wrapped {
    gpa::mistake kind;
    std::size_t given_bytes;
    std::size_t given_alignment;
  };
  constexpr std::size_t one = 1;
  for (const wrapped& w : {
           wrapped{gpa::mistake::size_mismatch, 24 + 65'536, 8},
           wrapped{gpa::mistake::size_mismatch, 24 + (one << 32), 8},
           wrapped{gpa::mistake::size_mismatch, 24 + (one << 48), 8},
           wrapped{gpa::mistake::alignment_mismatch, 24, 0},
           wrapped{gpa::mistake::alignment_mismatch, 24, 3},
           wrapped{gpa::mistake::alignment_mismatch, 24, 24},
           wrapped{gpa::mistake::alignment_mismatch, 24, (one << 13) + 8},
           wrapped{gpa::mistake::alignment_mismatch, 24, one << 61},
       }) {
    BOOST_TEST_CONTEXT("24 bytes aligned to 8 freed as " << w.given_bytes << " aligned to " << w.given_alignment)
    {
      const shared<lines> at;
      const ending e = in_child([&] { mismatch({24, true, false, *at, w.given_bytes, w.given_alignment, 8}); });
      judge(w.kind, e, *at);
      const ending twin = in_child([&] { mismatch({24, false, false, *at, w.given_bytes, w.given_alignment, 8}); });
      BOOST_TEST(twin.is_clean(), twin);
    }
  }
}
