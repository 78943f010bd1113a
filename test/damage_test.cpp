// Writes where nobody may write: into freed blocks, behind blocks and in front of them; each told once, with every
// number. Byte by byte: damage_bytes_test.cpp.
#define BOOST_TEST_MODULE damage
#include <gpa/resource.hpp>

#include "support/accomplices.hpp"
#include "support/death.hpp"
#include "support/suspects.hpp"
#include "support/witness.hpp"

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

using namespace gpa::test;
using gpa::mistake;

gpa::options without_stacks(gpa::options o)
{
  o.stack_frames = 0;
  return o;
}

std::size_t slot_of(std::size_t bytes)
{
  return (bytes / 16 + 1) * 16;
}  // up to 1 KiB

std::string text_of(const void* p)
{
  std::ostringstream s;
  s << p;
  return s.str();
}

bool has(std::string_view text, std::string_view part)
{
  return text.find(part) != std::string_view::npos;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_write_after_free_is_told_when_the_slot_is_handed_out_again)
{
  for (gpa::options o : checked_modes()) {
    o.quarantine_bytes = 0;
    for (const std::size_t bytes : {1u, 24u, 61u, 512u, 1000u, 5000u, 32'768u}) {
      for (const std::size_t offset : std::set<std::size_t>{0, bytes / 2, bytes - 1}) {
        witness w;
        gpa::resource r(w.listening(o));
        void* const p = obtain(r, bytes);
        discard(r, p, bytes);
        stray_write(p, static_cast<std::ptrdiff_t>(offset));
        std::vector<void*> blocks;
        while (blocks.size() != 10'000 && w.count() == 0) blocks.push_back(obtain(r, bytes));
        const auto told = w.take();
        BOOST_TEST_REQUIRE(told.size() == 1u);
        BOOST_TEST(told[0].kind == mistake::write_after_free);
        BOOST_TEST(told[0].address == p);
        BOOST_TEST(told[0].bytes == bytes);
        BOOST_TEST(told[0].total_bytes == bytes);
        BOOST_TEST(told[0].offset == offset);
        BOOST_TEST(told[0].damaged == 1u);
        BOOST_TEST(has(told[0].reason, "handed out again"));
        BOOST_TEST(shows(told[0].allocated, "obtain"));
        BOOST_TEST(shows(told[0].freed, "discard"));
        BOOST_TEST(shows(told[0].here, "obtain"));
        for (void* const q : blocks) discard(r, q, bytes);
        BOOST_TEST(r.verify() == 0u);  // the slot is whole again
        BOOST_TEST(is_sound(r));
        BOOST_TEST(r.deinit() == gpa::check::misuse);
        BOOST_TEST(w.count() == 0u);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_write_after_free_at_the_edges_of_bigger_blocks_is_told_with_both_stacks)
{
  for (const gpa::options& o : checked_modes()) {
    for (const std::size_t bytes : {513u, 1000u, 1023u, 1024u, 4095u, 8192u, 32'767u, 32'768u}) {
      for (const std::size_t offset : {std::size_t{0}, std::size_t{1}, bytes / 2, bytes - 1, bytes}) {
        witness w;
        gpa::resource r(w.listening(o));
        void* const p = obtain(r, bytes);
        discard(r, p, bytes);
        stray_write(p, static_cast<std::ptrdiff_t>(offset));
        BOOST_TEST(inspect(r) == 1u);
        const auto told = w.take();
        BOOST_TEST_REQUIRE(told.size() == 1u);
        BOOST_TEST(told[0].kind == mistake::write_after_free);
        BOOST_TEST(told[0].offset == offset);
        BOOST_TEST(shows(told[0].allocated, "obtain"));
        BOOST_TEST(shows(told[0].freed, "discard"));
        BOOST_TEST(shows(told[0].here, "inspect"));
        BOOST_TEST(is_sound(r));
        BOOST_TEST(r.deinit() == gpa::check::misuse);
        BOOST_TEST(w.count() == 0u);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_write_after_free_that_verify_told_is_not_told_again_when_the_slot_is_handed_out)
{
  for (const std::size_t bytes : {24u, 512u, 5000u}) {
    witness w;
    gpa::resource r(w.listening({.checks = gpa::checks::always(), .quarantine_bytes = 0}));
    void* const p = obtain(r, bytes);
    discard(r, p, bytes);
    stray_write(p, 0);
    BOOST_TEST(r.verify() == 1u);
    BOOST_TEST(w.take().size() == 1u);
    BOOST_TEST(r.verify() == 0u);
    std::vector<void*> blocks;
    while (blocks.size() != 10'000 && (blocks.empty() || blocks.back() != p)) blocks.push_back(obtain(r, bytes));
    BOOST_TEST(blocks.back() == p);
    for (void* const q : blocks) discard(r, q, bytes);
    BOOST_TEST(r.verify() == 0u);
    BOOST_TEST(w.count() == 0u);
  }
}

BOOST_AUTO_TEST_CASE(several_bytes_written_after_free_are_one_mistake_that_counts_them)
{
  witness w;
  gpa::resource r(w.listening());
  void* const p = obtain(r, 100);
  discard(r, p, 100);
  for (const std::ptrdiff_t offset : {10, 11, 12, 40}) stray_write(p, offset, static_cast<unsigned char>(offset));
  BOOST_TEST(r.verify() == 1u);
  const auto told = w.take();
  BOOST_TEST_REQUIRE(told.size() == 1u);
  BOOST_TEST(told[0].offset == 10u);
  BOOST_TEST(told[0].damaged == 4u);
  BOOST_TEST(changes(told[0]) == "10:0a 11:0b 12:0c 40:28");
}

// What lies behind the last guard byte is somebody else's, and nobody looks there.
BOOST_AUTO_TEST_CASE(an_overflow_as_far_as_anybody_looks_may_have_gone_on)
{
  struct overrun {
    std::size_t bytes, guard_bytes;
  };
  // In slots of 112, 1 008, 2 048 and 2 304 bytes; the last has a part in the middle that nobody looks at.
  for (const overrun o : {overrun{100, 12}, {1000, 8}, {2000, 48}, {2100, 16}, {200'000, 16}}) {
    for (const bool whole : {false, true}) {
      witness w;
      gpa::resource r(w.listening());
      void* const p = obtain(r, o.bytes);
      const std::size_t written = whole ? o.guard_bytes : o.guard_bytes - 1;
      for (std::size_t i = 0; i != written; ++i) stray_write(p, static_cast<std::ptrdiff_t>(o.bytes + i));
      discard(r, p, o.bytes);
      const auto told = w.take();
      BOOST_TEST_REQUIRE(told.size() == 1u);
      BOOST_TEST(told[0].kind == mistake::overflow);
      BOOST_TEST(told[0].damaged == written);
      BOOST_TEST(told[0].damaged_to_the_end == whole);
      const std::string words = "overflow: " + std::string(whole ? "at least " : "") + std::to_string(written) + " bytes past";
      BOOST_TEST(to_string(told[0]).find(words) != std::string::npos);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_double_free_of_a_block_written_after_its_free_is_told_as_well)
{
  witness w;
  gpa::resource r(w.listening());
  void* const p = obtain(r, 100);
  discard(r, p, 100);
  stray_write(p, 10);
  blunder(r, p, 100);
  BOOST_TEST(r.verify() == 1u);
  BOOST_TEST(w.count(mistake::double_free) == 1u);
  BOOST_TEST(w.count(mistake::write_after_free) == 1u);
  blunder(r, p, 100);
  BOOST_TEST(w.count(mistake::double_free) == 2u);
  BOOST_TEST(w.count() == 3u);
}

BOOST_AUTO_TEST_CASE(a_write_to_a_protected_large_block_faults_and_so_does_a_read)
{
  for (const std::size_t bytes : {200'000u, 5u << 20}) {
    for (const std::size_t offset : {std::size_t{0}, bytes / 2, bytes - 1}) {
      const auto act = [&](bool writes) {
        return in_child([&] {
          gpa::resource r({.protect_large = gpa::protect_large::always});
          void* const p = obtain(r, bytes);
          discard(r, p, bytes);
          if (writes) stray_write(p, static_cast<std::ptrdiff_t>(offset));
          static_cast<void>(stray_read(p, static_cast<std::ptrdiff_t>(offset)));
        });
      };
      BOOST_TEST(act(true).signal == SIGSEGV);
      BOOST_TEST(act(false).signal == SIGSEGV);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_freed_block_reads_as_a_poison_that_faults_as_a_pointer)
{
  gpa::resource usual({.checks = gpa::checks::always()});
  gpa::resource everywhere({.checks = gpa::checks::always(), .poison_bytes = gpa::unlimited});
  for (const std::size_t bytes : {16u, 24u, 61u, 512u, 1000u, 32'768u}) {
    gpa::resource& r = bytes <= gpa::default_poison ? usual : everywhere;
    void* const p = obtain(r, bytes);
    discard(r, p, bytes);
    const unsigned char poison = stray_read(p, 0);
    BOOST_TEST((poison != 0x00 && poison != 0xFF));
    std::size_t other = 0;
    for (std::size_t i = 0; i != bytes; ++i)
      if (stray_read(p, static_cast<std::ptrdiff_t>(i)) != poison) ++other;
    BOOST_TEST(other == 0u);
    const ending e = in_child([&] {
      std::uintptr_t loaded = 0;
      for (std::ptrdiff_t i = 0; i != sizeof loaded; ++i) loaded = loaded << 8 | stray_read(p, i);
      static_cast<void>(stray_read(moved(nullptr, loaded), 0));
    });
    BOOST_TEST(e.signal == SIGSEGV, e);
  }
}

// ---- overflow ----

BOOST_AUTO_TEST_CASE(an_overflow_of_a_bigger_block_is_told_with_the_stacks_of_allocation_and_free)
{
  for (const gpa::options& o : checked_modes()) {
    for (const std::size_t bytes : {1024u, 1151u, 5000u, 32'767u, 32'768u, 65'535u, 65'536u, 200'000u, 5u << 20}) {
      for (const std::ptrdiff_t last : {0, 15}) {
        witness w;
        gpa::resource r(w.listening(o));
        void* const p = obtain(r, bytes);
        const auto behind = static_cast<std::ptrdiff_t>(bytes);
        if (bytes % 128 >= 112 && last != 0) continue;  // the slot may end before
        for (std::ptrdiff_t i = 0; i <= last; ++i) stray_write(p, behind + i);
        discard(r, p, bytes);
        const auto told = w.take();
        BOOST_TEST_REQUIRE(told.size() == 1u);
        BOOST_TEST(told[0].kind == mistake::overflow);
        BOOST_TEST(told[0].address == p);
        BOOST_TEST(told[0].bytes == bytes);
        BOOST_TEST(told[0].total_bytes == bytes);
        BOOST_TEST(told[0].offset == bytes);
        BOOST_TEST(told[0].damaged == static_cast<std::size_t>(last) + 1);
        BOOST_TEST(shows(told[0].allocated, "obtain"));
        BOOST_TEST(shows(told[0].here, "discard"));
        BOOST_TEST(r.stats().live_blocks == 0u);  // the free went through
        BOOST_TEST(is_sound(r));
        BOOST_TEST(r.deinit() == gpa::check::misuse);
        BOOST_TEST(w.count() == 0u);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(an_overflow_of_a_block_that_leaks_is_told_by_deinit_beside_the_leak)
{
  for (const std::size_t bytes : {13u, 5000u, 200'000u}) {
    witness w;
    gpa::resource r(w.listening());
    stray_write(obtain(r, bytes), static_cast<std::ptrdiff_t>(bytes));
    BOOST_TEST(r.deinit() == gpa::check::leak);
    BOOST_TEST(w.count(mistake::leak) == 1u);
    BOOST_TEST(w.count(mistake::overflow) == 1u);
    BOOST_TEST(w.count() == 2u);
  }
}

BOOST_AUTO_TEST_CASE(an_overflow_that_verify_told_is_not_told_again_when_the_block_is_freed)
{
  for (const std::size_t bytes : {13u, 5000u, 200'000u}) {
    for (const bool ignored : {false, true}) {
      witness w;
      gpa::resource r(w.listening());
      void* const p = obtain(r, bytes);
      if (ignored) r.ignore(p);
      stray_write(p, static_cast<std::ptrdiff_t>(bytes));
      BOOST_TEST(r.verify() == 1u);
      BOOST_TEST(w.take().size() == 1u);
      BOOST_TEST(r.verify() == 0u);
      if (!ignored) r.ignore(p);  // which does not wipe out that it was told
      BOOST_TEST(r.verify() == 0u);
      discard(r, p, bytes);
      BOOST_TEST(w.count() == 0u);
      BOOST_TEST(r.deinit() == gpa::check::misuse);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_write_just_before_a_block_is_named_as_damage_in_front_of_it)
{
  for (const gpa::options& o : checked_modes()) {
    for (const std::size_t bytes : {13u, 24u, 100u, 1000u}) {
      for (const bool neighbour_lives : {true, false}) {
        witness w;
        gpa::resource r(w.listening(o));
        void* const first = obtain(r, bytes);
        void* const second = obtain(r, bytes);
        BOOST_TEST_REQUIRE(second == moved(first, slot_of(bytes)));
        if (!neighbour_lives) discard(r, first, bytes);
        stray_write(second, -1);
        BOOST_TEST(r.verify() == 1u);
        const auto told = w.take();
        BOOST_TEST_REQUIRE(told.size() == 1u);
        BOOST_TEST(told[0].kind == (neighbour_lives ? mistake::overflow : mistake::write_after_free));
        BOOST_TEST(told[0].address == first);
        BOOST_TEST(told[0].offset == slot_of(bytes) - 1);
        BOOST_TEST(!told[0].damaged_to_the_end);  // of the block behind, nobody asks how far
        BOOST_TEST(has(told[0].reason, "in front of the block at " + text_of(second)), told[0].reason);
        discard(r, second, bytes);
        if (neighbour_lives) discard(r, first, bytes);
        BOOST_TEST(is_sound(r));
        BOOST_TEST(r.deinit() == gpa::check::misuse);
        BOOST_TEST(w.count() == 0u);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(writing_every_byte_of_a_live_block_is_no_mistake)
{
  for (const gpa::options& o : checked_modes()) {
    witness w;
    gpa::resource r(w.listening(without_stacks(o)));
    std::vector<std::size_t> sizes = {5000, 32'767, 32'768, 65'535, 65'536, 200'000, 5 << 20};
    for (std::size_t bytes = 0; bytes != 1030; ++bytes) sizes.push_back(bytes);
    for (const std::size_t bytes : sizes) {
      for (const int value : {0x00, 0xFF, 0xDF, 0xD5}) {
        void* const p = obtain(r, bytes);
        std::memset(p, value, bytes);
        if (value == 0) BOOST_TEST_REQUIRE(r.verify() == 0u);
        discard(r, p, bytes);
      }
    }
    r.trim();
    BOOST_TEST(r.verify() == 0u);
    BOOST_TEST(r.deinit() == gpa::check::ok);
    BOOST_TEST(w.count() == 0u);
  }
}
