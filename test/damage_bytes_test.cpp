// Damage byte by byte: a write to any byte of a freed block, or behind a live one, is told once and exactly.
#define BOOST_TEST_MODULE damage_bytes
#include <gpa/resource.hpp>

#include "support/accomplices.hpp"
#include "support/suspects.hpp"
#include "support/witness.hpp"

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace gpa::test;
using gpa::mistake;

// How damage comes to light.
enum class noticed : std::uint8_t { by_verify, by_trim, by_deinit };

gpa::options without_stacks(gpa::options o)
{
  o.stack_frames = 0;
  return o;
}

std::size_t slot_of(std::size_t bytes)
{
  return (bytes / 16 + 1) * 16;
}  // up to 1 KiB

// A reason, or what stands for it once a process has heard thousands of different ones.
bool says(std::string_view reason, std::string_view part)
{
  return reason.find(part) != std::string_view::npos || reason == "see the numbers of this report";
}

// Each byte of the slot.
std::vector<std::size_t> all_of_slot(std::size_t bytes)
{
  std::vector<std::size_t> offsets(slot_of(bytes));
  std::iota(offsets.begin(), offsets.end(), std::size_t{0});
  return offsets;
}

// One block for each offset, freed, then each written to at its offset: as many reports, each exact.
std::size_t wrongly_told_after_free(const gpa::options& o, std::size_t bytes, const std::vector<std::size_t>& places,
                                    noticed how)
{
  witness w;
  gpa::resource r(w.listening(o));
  std::map<const void*, std::size_t> offsets;
  std::vector<void*> blocks;
  // Not unrolled: all have the same stacks.
  for (std::size_t i = 0; i != unknown(places.size()); ++i) blocks.push_back(obtain(r, bytes));
  for (std::size_t i = 0; i != unknown(places.size()); ++i) discard(r, blocks[i], bytes);
  for (std::size_t i = 0; i != places.size(); ++i) {
    stray_write(blocks[i], static_cast<std::ptrdiff_t>(places[i]));
    offsets[blocks[i]] = places[i];
  }
  std::size_t wrong = 0;
  if (how == noticed::by_verify && r.verify() != blocks.size()) ++wrong;
  if (how == noticed::by_trim) r.trim();
  if (how == noticed::by_deinit && r.deinit() != gpa::check::misuse) ++wrong;
  const std::vector<gpa::report> all = w.take();
  if (o.stack_frames != 0 && !all.empty() && !(shows(all[0].allocated, "obtain") && shows(all[0].freed, "discard")))
    ++wrong;
  for (const gpa::report& told : all) {
    const auto found = offsets.find(told.address);
    const bool exact = told.kind == mistake::write_after_free && found != offsets.end() &&
                       told.offset == found->second && told.damaged == 1 && told.bytes == bytes &&
                       told.alignment == usual_alignment && changes(told) == std::to_string(told.offset) + ":41" &&
                       told.resource == o.name && told.owner.empty() && told.allocated.id() == all[0].allocated.id() &&
                       told.freed.id() == all[0].freed.id();
    if (exact) {
      offsets.erase(found);  // a second report would be wrong
    } else {
      ++wrong;
    }
  }
  wrong += offsets.size();
  r.verify();
  if (how != noticed::by_deinit && !is_sound(r)) ++wrong;
  if (r.deinit() != gpa::check::misuse) ++wrong;
  return wrong + w.count();  // told once, and no more
}

// Under AddressSanitizer one in 31, which are all remainders of 16: it takes ten times as long.
constexpr std::size_t every_size = GPA_TEST_ASAN != 0 ? 31 : 1;

void told_after_free_at_every_offset(noticed how)
{
  for (const gpa::options& o : checked_modes()) {
    std::size_t wrong = 0;
    for (std::size_t bytes = 16; bytes <= 512; bytes += how == noticed::by_verify ? every_size : 31)
      wrong += wrongly_told_after_free(without_stacks(o), bytes, all_of_slot(bytes), how);
    BOOST_TEST(wrong == 0u);
  }
}

// Every byte from the block's end to its slot's end, one block each, found in one of the ways.
std::size_t wrongly_told_overflows(const gpa::options& o, std::size_t bytes, bool at_free)
{
  witness w;
  gpa::resource r(w.listening(without_stacks(o)));
  const std::size_t count = slot_of(bytes) - bytes;
  std::map<const void*, std::size_t> offsets;
  std::vector<void*> blocks;
  for (std::size_t i = 0; i != count; ++i) {
    blocks.push_back(obtain(r, bytes));
    offsets[blocks.back()] = bytes + i;
    stray_write(blocks.back(), static_cast<std::ptrdiff_t>(bytes + i));
  }
  std::size_t wrong = 0;
  if (!at_free && r.verify() != count) ++wrong;
  if (!at_free && r.verify() != 0) ++wrong;
  for (void* const p : blocks) discard(r, p, bytes);
  for (const gpa::report& told : w.take()) {
    const auto found = offsets.find(told.address);
    const bool exact = told.kind == mistake::overflow && found != offsets.end() && told.offset == found->second &&
                       told.damaged == 1 && told.bytes == bytes && told.alignment == usual_alignment &&
                       says(told.reason, at_free ? "found when the block was freed" : "found by verify()");
    if (exact) {
      offsets.erase(found);
    } else {
      ++wrong;
    }
  }
  wrong += offsets.size();
  if (r.verify() != 0 || !is_sound(r) || r.stats().live_blocks != 0) ++wrong;
  if (r.deinit() != gpa::check::misuse) ++wrong;
  return wrong + w.count();
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_write_after_free_at_any_offset_is_told_by_verify)
{
  told_after_free_at_every_offset(noticed::by_verify);
}

BOOST_AUTO_TEST_CASE(a_write_after_free_at_any_offset_is_told_by_trim)
{
  told_after_free_at_every_offset(noticed::by_trim);
}

BOOST_AUTO_TEST_CASE(a_write_after_free_at_any_offset_is_told_by_deinit)
{
  told_after_free_at_every_offset(noticed::by_deinit);
}

// Of the largest and of the smallest block of each slot.
BOOST_AUTO_TEST_CASE(a_write_after_free_at_any_offset_is_told_with_the_site_of_the_free)
{
  for (const gpa::options& o : checked_modes()) {
    for (std::size_t slot = 16; slot <= 512; slot += 16)
      for (const std::size_t bytes : {slot - 1, slot - 16})
        BOOST_TEST(wrongly_told_after_free(o, bytes, all_of_slot(bytes), noticed::by_verify) == 0u, bytes);
  }
}

// Of what is poison there: the first 128 bytes, the one in the middle, the last 48, and the one behind the block.
BOOST_AUTO_TEST_CASE(a_write_after_free_at_an_edge_of_a_bigger_block_is_told_with_the_site_of_the_free)
{
  for (const gpa::options& o : checked_modes()) {
    for (const std::size_t bytes : {513u, 1000u, 1023u, 1024u, 4095u, 8192u, 32'767u, 32'768u}) {
      std::vector<std::size_t> places(128);
      std::iota(places.begin(), places.end(), std::size_t{0});
      places.push_back(bytes / 2);
      for (std::size_t i = bytes - 48; i <= bytes; ++i) places.push_back(i);
      BOOST_TEST(wrongly_told_after_free(o, bytes, places, noticed::by_verify) == 0u, bytes);
    }
  }
}

BOOST_AUTO_TEST_CASE(freed_blocks_that_nobody_writes_to_are_no_mistake)
{
  for (const gpa::options& o : checked_modes()) {
    witness w;
    gpa::resource r(w.listening(o));
    for (std::size_t bytes = 0; bytes <= 32'768; bytes += bytes < 1024 ? 1 : 127) discard(r, obtain(r, bytes), bytes);
    BOOST_TEST(r.verify() == 0u);
    r.trim();
    BOOST_TEST((r.deinit() == gpa::check::ok));
    BOOST_TEST(w.count() == 0u);
  }
}

BOOST_AUTO_TEST_CASE(an_overflow_of_any_byte_behind_a_block_is_told_when_it_is_freed)
{
  for (const gpa::options& o : checked_modes()) {
    std::size_t wrong = 0;
    for (std::size_t bytes = 0; bytes < 1024; bytes += every_size) wrong += wrongly_told_overflows(o, bytes, true);
    BOOST_TEST(wrong == 0u);
  }
}

BOOST_AUTO_TEST_CASE(an_overflow_of_any_byte_behind_a_block_is_told_by_verify_and_not_again_when_it_is_freed)
{
  for (const gpa::options& o : checked_modes()) {
    std::size_t wrong = 0;
    for (std::size_t bytes = 0; bytes < 1024; bytes += every_size) wrong += wrongly_told_overflows(o, bytes, false);
    BOOST_TEST(wrong == 0u);
  }
}
