// Pointers that no block starts at: each is told as what it is, and its memory is never touched.
#define BOOST_TEST_MODULE wild_pointer
#include <gpa/resource.hpp>

#include "support/accomplices.hpp"
#include "support/suspects.hpp"
#include "support/witness.hpp"

#include <boost/test/unit_test.hpp>

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>

namespace {

using namespace gpa::test;
using gpa::mistake;

const std::string foreign = "not memory of any gpa::resource";
const std::string never_handed_out = "in memory of a gpa::resource that was never handed out";

int global = 0;

// A resource, and what it says of a free.
struct court {
  explicit court(gpa::options o = {.checks = gpa::checks::always()}) : r(w.listening(o)) {}
  ~court()
  {
    BOOST_TEST(r.stats().live_blocks == 0u);
    BOOST_TEST(is_sound(r));
    BOOST_TEST(r.deinit() == gpa::check::misuse);
    BOOST_TEST(w.count() == 0u);
  }

  gpa::report judge(void* p, std::size_t bytes, std::string_view reason)
  {
    blunder(r, p, bytes);
    const auto told = w.take();
    BOOST_TEST_REQUIRE(told.size() == 1u);
    const gpa::report& t = told.front();
    BOOST_TEST(t.kind == mistake::invalid_pointer);
    BOOST_TEST(t.reason == reason);
    BOOST_TEST(t.resource == r.options().name);
    BOOST_TEST(t.address == p);
    BOOST_TEST(t.given_bytes == bytes);
    BOOST_TEST(t.given_alignment == usual_alignment);
    BOOST_TEST(shows(t.here, "blunder"));
    return t;
  }

  witness w;
  gpa::resource r;
};

std::string inside(std::size_t offset)
{
  return "inside a block, " + std::to_string(offset) + (offset == 1 ? " byte" : " bytes") + " from its start";
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_pointer_that_is_not_ours_is_told_so_and_never_followed)
{
  for (const gpa::options& o : checked_modes()) {
    court c(o);
    void* const own = obtain(c.r, 24);  // not an empty heap
    int local = 0;
    void* const heap = std::malloc(64);
    void* const closed = ::mmap(nullptr, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    BOOST_TEST_REQUIRE(closed != MAP_FAILED);
    for (void* const p :
         {static_cast<void*>(&local), static_cast<void*>(&global), heap, moved(heap, 16), closed, moved(closed, 4096),
          moved(closed, 65'536), moved(nullptr, 0x1), moved(nullptr, 0x10), moved(nullptr, 0xFFFF),
          moved(nullptr, 0x0000'8000'0000'0000), moved(nullptr, 0x1234'5678'9ABC'DEF0),
          moved(nullptr, std::uintptr_t{1} << 63), moved(nullptr, 0xDFDF'DFDF'DFDF'DFDF),
          moved(nullptr, ~std::uintptr_t{0}), moved(nullptr, 0x0000'7FFF'FFFF'FFF8),
          moved(own, std::uintptr_t{1} << 63), moved(own, std::uintptr_t{1} << 48)}) {
      const gpa::report t = c.judge(p, 24, foreign);
      BOOST_TEST(t.bytes == 0u);
      BOOST_TEST(t.owner == "");
      BOOST_TEST(t.allocated.empty());
      BOOST_TEST(t.freed.empty());
    }
    BOOST_TEST(c.judge(nullptr, 24, "the null pointer").allocated.empty());
    BOOST_TEST(c.judge(nullptr, 0, "the null pointer").freed.empty());
    ::munmap(closed, 1 << 20);
    std::free(heap);
    discard(c.r, own, 24);
  }
}

BOOST_AUTO_TEST_CASE(a_pointer_into_a_live_block_is_told_with_its_offset)
{
  for (const gpa::options& o : checked_modes()) {
    court c(o);
    for (const std::size_t bytes : {24u, 61u, 1000u, 32'768u, 200'000u, 5u << 20}) {
      void* const p = obtain(c.r, bytes);
      for (const std::size_t offset : {std::size_t{1}, std::size_t{8}, std::size_t{16}, bytes / 2, bytes - 1}) {
        const gpa::report t = c.judge(moved(p, offset), bytes - offset, inside(offset));
        BOOST_TEST(t.offset == offset);
        BOOST_TEST(t.bytes == bytes);
        BOOST_TEST(t.alignment == usual_alignment);
        BOOST_TEST(shows(t.allocated, "obtain"));
        BOOST_TEST(t.freed.empty());
        BOOST_TEST(t.owner == "");
      }
      discard(c.r, p, bytes);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_pointer_one_past_the_end_or_behind_a_block_is_told_so)
{
  for (const gpa::options& o : checked_modes()) {
    court c(o);
    for (const std::size_t bytes : {1u, 24u, 61u, 1000u, 32'768u, 200'000u, 5u << 20}) {
      void* const p = obtain(c.r, bytes);
      const std::string size = std::to_string(bytes) + (bytes == 1 ? " byte" : " bytes");
      gpa::report t = c.judge(moved(p, bytes), bytes, "one past the end of a block of " + size);
      BOOST_TEST(t.offset == bytes);
      BOOST_TEST(shows(t.allocated, "obtain"));
      t = c.judge(moved(p, bytes + 2), bytes,
                  "behind a block of " + size + ", " + std::to_string(bytes + 2) + " bytes from its start");
      BOOST_TEST(t.offset == bytes + 2);
      discard(c.r, p, bytes);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_pointer_into_a_freed_block_is_told_with_both_stacks)
{
  for (const gpa::options& o : checked_modes()) {
    court c(o);
    for (const std::size_t bytes : {24u, 61u, 1000u, 32'768u, 200'000u, 5u << 20}) {
      void* const p = obtain(c.r, bytes);
      discard(c.r, p, bytes);
      for (const std::size_t offset : {std::size_t{1}, std::size_t{8}, std::size_t{16}, bytes - 1}) {
        const gpa::report t = c.judge(
            moved(p, offset), bytes,
            "inside a freed block, " + std::to_string(offset) + (offset == 1 ? " byte" : " bytes") + " from its start");
        BOOST_TEST(t.offset == offset);
        BOOST_TEST(shows(t.allocated, "obtain"));
        BOOST_TEST(shows(t.freed, "discard"));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_slot_that_was_never_handed_out_is_told_so)
{
  for (const gpa::options& o : checked_modes()) {
    court c(o);
    void* const p = obtain(c.r, 24);
    for (const std::size_t offset : {32u, 33u, 64u, 4096u, 60'000u, 64'992u})
      BOOST_TEST(c.judge(moved(p, offset), 24, never_handed_out).allocated.empty());
    BOOST_TEST(c.r.verify() == 0u);
    c.judge(moved(p, 32), 24, never_handed_out);
    discard(c.r, p, 24);
  }
}

BOOST_AUTO_TEST_CASE(the_rest_behind_the_last_slot_of_a_slab_is_told_so)
{
  court c;
  void* const p = obtain(c.r, 40);  // 1 365 slots of 48 bytes leave 16
  const std::uintptr_t slab = reinterpret_cast<std::uintptr_t>(p) & ~std::uintptr_t{0xFFFF};
  c.judge(moved(nullptr, slab + 65'520), 40, "in memory of a gpa::resource, behind its last block");
  c.judge(moved(nullptr, slab + 65'535), 40, "in memory of a gpa::resource, behind its last block");
  discard(c.r, p, 40);
  // Of 2 048 slots of 32 bytes 16 are not used, as their records would take a page.
  void* const tight = obtain(c.r, 24);
  const std::uintptr_t other = reinterpret_cast<std::uintptr_t>(tight) & ~std::uintptr_t{0xFFFF};
  for (const std::uintptr_t offset : {65'024u, 65'025u, 65'504u, 65'535u})
    c.judge(moved(nullptr, other + offset), 24, "in memory of a gpa::resource, behind its last block");
  discard(c.r, tight, 24);
}

BOOST_AUTO_TEST_CASE(a_pointer_into_a_block_of_another_resource_is_told_with_its_owner)
{
  witness w;
  gpa::resource other(w.listening({.name = "other", .checks = gpa::checks::always()}));
  for (const std::size_t bytes : {61u, 200'000u}) {
    court c;
    void* const p = obtain(other, bytes);
    const gpa::report t = c.judge(moved(p, 8), bytes, inside(8));
    BOOST_TEST(t.owner == "other");
    BOOST_TEST(t.bytes == bytes);
    BOOST_TEST(shows(t.allocated, "obtain"));
    discard(other, p, bytes);
  }
  BOOST_TEST(other.deinit() == gpa::check::ok);
  BOOST_TEST(w.count() == 0u);
}

BOOST_AUTO_TEST_CASE(a_wild_free_as_the_first_call_of_a_thread_or_resource_is_told)
{
  {
    court c;
    c.judge(&global, 24, foreign);
  }
  {
    court c;
    std::thread([&] { c.judge(&global, 24, foreign); }).join();
  }
  court c;
  void* const p = obtain(c.r, 24);
  std::thread([&] { c.judge(moved(p, 8), 24, inside(8)); }).join();
  discard(c.r, p, 24);
}

BOOST_AUTO_TEST_CASE(a_pointer_that_ignore_does_not_know_is_told)
{
  court c;
  void* const p = obtain(c.r, 24);
  void* const freed = obtain(c.r, 24);
  discard(c.r, freed, 24);
  for (void* const wrong : {static_cast<void*>(&global), moved(p, 8), freed, static_cast<void*>(nullptr)}) {
    c.r.ignore(wrong);
    const auto told = c.w.take();
    BOOST_TEST_REQUIRE(told.size() == 1u);
    BOOST_TEST(told[0].kind == mistake::invalid_pointer);
    BOOST_TEST(told[0].address == wrong);
    BOOST_TEST(!told[0].reason.empty());
  }
  c.r.ignore(p);
  BOOST_TEST(c.w.count() == 0u);
  discard(c.r, p, 24);
}

BOOST_AUTO_TEST_CASE(the_pointer_that_was_handed_out_is_no_mistake)
{
  witness w;
  gpa::resource r(w.listening());
  for (const std::size_t bytes : {0u, 1u, 24u, 61u, 1000u, 32'768u, 200'000u, 5u << 20})
    discard(r, obtain(r, bytes), bytes);
  BOOST_TEST(r.deinit() == gpa::check::ok);
  BOOST_TEST(w.count() == 0u);
}
