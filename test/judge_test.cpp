#define BOOST_TEST_MODULE judge
#include "checked/judge.hpp"

#include "support/witness.hpp"

#include "blocks/owner.hpp"
#include "blocks/page_map.hpp"
#include "checked/large_record.hpp"
#include "checked/slab.hpp"
#include "os/pages.hpp"

#include <gpa/resource.hpp>

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <string_view>
#include <vector>

namespace {

using namespace gpa::detail;
using gpa::mistake;

std::byte* bytes_at(void* p)
{
  return static_cast<std::byte*>(p);
}
const void* number(std::uintptr_t value)
{
  return reinterpret_cast<const void*>(value);
}

// One block of each kind in each of three resources, and what surrounds them.
struct fixture {
  gpa::test::witness witness;
  gpa::resource r{witness.listening({.name = "mine", .checks = gpa::checks::always()})};
  gpa::resource other{witness.listening({.name = "other", .checks = gpa::checks::always()})};
  gpa::resource fast{witness.listening({.name = "fast", .checks = gpa::checks::never()})};

  std::byte* live = bytes_at(r.allocate(40, 8));  // class of 48 bytes: a slab of it ends in a gap
  std::byte* aligned = bytes_at(r.allocate(24, 64));
  std::byte* zero = bytes_at(r.allocate(0, 1));
  std::byte* ignored = bytes_at(r.allocate(300, 16));
  std::byte* freed = bytes_at(r.allocate(100, 16));
  std::byte* large = bytes_at(r.allocate(200'000, 16));
  std::byte* large_freed = bytes_at(r.allocate(100'000, 16));
  std::byte* others = bytes_at(other.allocate(40, 8));
  std::byte* others_freed = bytes_at(other.allocate(100, 16));
  std::byte* others_large = bytes_at(other.allocate(200'000, 16));
  std::byte* unchecked = bytes_at(fast.allocate(40, 8));
  std::byte* unchecked_large = bytes_at(fast.allocate(200'000, 16));

  const owner* self = region_of(live)->owner;

  fixture()
  {
    r.ignore(ignored);
    r.deallocate(freed, 100, 16);
    r.deallocate(large_freed, 100'000, 16);
    other.deallocate(others_freed, 100, 16);
  }

  ~fixture()
  {
    r.deallocate(live, 40, 8);
    r.deallocate(aligned, 24, 64);
    r.deallocate(zero, 0, 1);
    r.deallocate(ignored, 300, 16);
    r.deallocate(large, 200'000, 16);
    other.deallocate(others, 40, 8);
    other.deallocate(others_large, 200'000, 16);
    fast.deallocate(unchecked, 40, 8);
    fast.deallocate(unchecked_large, 200'000, 16);
    BOOST_TEST((r.deinit() == gpa::check::ok));
    BOOST_TEST((other.deinit() == gpa::check::ok));
    BOOST_TEST((fast.deinit() == gpa::check::ok));
    BOOST_TEST(witness.count() == 0u);
  }

  [[nodiscard]] slab& slab_of(const void* p) const { return static_cast<slab&>(*region_of(p)); }
};

struct row {
  std::string_view what;
  const void* p;
  std::size_t bytes;
  std::size_t alignment;
  bool right;
  mistake kind;
  pointer_place place;
  std::string_view reason;
};

constexpr std::size_t bit(unsigned n)
{
  return std::size_t{1} << n;
}

std::vector<row> rows_of_blocks(const fixture& f)
{
  using enum pointer_place;
  const auto none = mistake::invalid_pointer;  // not looked at where the judgement is right
  return {
      {"a live block", f.live, 40, 8, true, none, start, ""},
      {"an aligned block", f.aligned, 24, 64, true, none, start, ""},
      {"a block of 0 bytes", f.zero, 0, 1, true, none, start, ""},
      {"an ignored block", f.ignored, 300, 16, true, none, start, ""},
      {"a large block", f.large, 200'000, 16, true, none, start, ""},

      {"freed twice", f.freed, 100, 16, false, mistake::double_free, start, ""},
      {"freed twice, other size", f.freed, 99, 16, false, mistake::double_free, start, ""},
      {"freed twice, other alignment", f.freed, 100, 8, false, mistake::double_free, start, ""},
      {"freed twice, large", f.large_freed, 100'000, 16, false, mistake::double_free, start, ""},
      {"freed twice, another's", f.others_freed, 100, 16, false, mistake::double_free, start, ""},

      {"another's", f.others, 40, 8, false, mistake::wrong_resource, start, ""},
      {"another's, large", f.others_large, 200'000, 16, false, mistake::wrong_resource, start, ""},
      {"another's, wrong size", f.others, 41, 8, false, mistake::wrong_resource, start, ""},
      {"an unchecked resource's", f.unchecked, 40, 8, false, mistake::wrong_resource, fast,
       "a block of a resource without checks"},
      {"an unchecked resource's, large", f.unchecked_large, 200'000, 16, false, mistake::wrong_resource, fast,
       "a block of a resource without checks"},
  };
}

std::vector<row> rows_of_numbers(const fixture& f)
{
  using enum pointer_place;
  std::vector<row> rows;
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{39}, std::size_t{41}, std::size_t{47}, 40 + bit(16),
                                  40 + bit(29), 40 + bit(32), 40 + bit(48), 40 + bit(63), ~std::size_t{0}})
    rows.push_back({"wrong size", f.live, bytes, 8, false, mistake::size_mismatch, start, ""});
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{199'999}, 200'000 + bit(16),
                                  200'000 + bit(32), 200'000 + bit(48), 200'000 + bit(61), ~std::size_t{0}})
    rows.push_back({"wrong size, large", f.large, bytes, 16, false, mistake::size_mismatch, start, ""});
  for (const std::size_t alignment : {std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{4}, std::size_t{16},
                                      std::size_t{24}, std::size_t{4096}, std::size_t{8192}, 8 + bit(13), 8 + bit(16),
                                      bit(61), 8 + bit(61), bit(63), ~std::size_t{0}}) {
    rows.push_back({"wrong alignment", f.live, 40, alignment, false, mistake::alignment_mismatch, start, ""});
    if (alignment != 16)
      rows.push_back(
          {"wrong alignment, large", f.large, 200'000, alignment, false, mistake::alignment_mismatch, start, ""});
  }
  rows.push_back({"both wrong", f.live, 41, 16, false, mistake::size_mismatch, start, ""});
  rows.push_back({"a block of 0 bytes, freed as 1", f.zero, 1, 1, false, mistake::size_mismatch, start, ""});
  return rows;
}

std::vector<row> rows_of_places(const fixture& f)
{
  using enum pointer_place;
  static int global = 0;
  const slab& s = f.slab_of(f.live);
  const slab& tight = f.slab_of(f.zero);  // some slots fit behind the last one
  const std::byte* const rest = s.base + s.slot_count * s.slot_bytes;
  const std::byte* const last = s.slot(s.slot_count - 1);
  const auto wild = mistake::invalid_pointer;
  return {
      {"null", nullptr, 40, 8, false, wild, null, "the null pointer"},
      {"a global", &global, 4, 4, false, wild, foreign, "not memory of any gpa::resource"},
      {"the stack", &rest, 8, 8, false, wild, foreign, "not memory of any gpa::resource"},
      {"16", number(16), 8, 8, false, wild, foreign, "not memory of any gpa::resource"},
      {"2^47", number(bit(47)), 8, 8, false, wild, foreign, "not memory of any gpa::resource"},
      {"not canonical", number(0xDFDF'DFDF'DFDF'DFDF), 8, 8, false, wild, foreign, "not memory of any gpa::resource"},
      {"2^63", number(bit(63)), 8, 8, false, wild, foreign, "not memory of any gpa::resource"},
      {"the last address", number(~std::uintptr_t{0}), 8, 8, false, wild, foreign, "not memory of any gpa::resource"},

      {"one byte in", f.live + 1, 40, 8, false, wild, inside, "inside a block, 1 byte from its start"},
      {"16 bytes in", f.live + 16, 24, 8, false, wild, inside, "inside a block, 16 bytes from its start"},
      {"the last byte", f.live + 39, 40, 8, false, wild, inside, "inside a block, 39 bytes from its start"},
      {"past the end", f.live + 40, 40, 8, false, wild, past_end, "one past the end of a block of 40 bytes"},
      {"in the slack", f.live + 41, 40, 8, false, wild, behind, "behind a block of 40 bytes, 41 bytes from its start"},
      {"another's, inside", f.others + 8, 40, 8, false, wild, inside, "inside a block, 8 bytes from its start"},
      {"large, inside", f.large + 65'536, 40, 8, false, wild, inside, "inside a block, 65536 bytes from its start"},
      {"large, past the end", f.large + 200'000, 40, 8, false, wild, past_end,
       "one past the end of a block of 200000 bytes"},
      {"large, slack", f.large + 200'001, 40, 8, false, wild, behind,
       "behind a block of 200000 bytes, 200001 bytes from its start"},
      {"freed, inside", f.freed + 16, 100, 16, false, wild, inside_freed,
       "inside a freed block, 16 bytes from its start"},
      {"large freed, inside", f.large_freed + 4096, 100, 16, false, wild, inside_freed,
       "inside a freed block, 4096 bytes from its start"},
      {"never handed out", last, 40, 8, false, wild, never_handed_out,
       "in memory of a gpa::resource that was never handed out"},
      {"never handed out, inside", last + 8, 40, 8, false, wild, never_handed_out,
       "in memory of a gpa::resource that was never handed out"},
      {"the gap", rest, 40, 8, false, wild, gap, "in memory of a gpa::resource, behind its last block"},
      {"the gap, a slot's place", tight.slot(tight.slot_count), 0, 1, false, wild, gap,
       "in memory of a gpa::resource, behind its last block"},
      {"the gap, the last slot's place", tight.slot(tight.fitting() - 1), 0, 1, false, wild, gap,
       "in memory of a gpa::resource, behind its last block"},
      {"the gap's end", s.base + s.bytes - 1, 40, 8, false, wild, gap,
       "in memory of a gpa::resource, behind its last block"},
  };
}

// The record's word where there is one: judging must leave it as it was.
std::uint64_t word_of(const judgement& j)
{
  if (j.small != nullptr) return j.small->word.load();
  return j.large != nullptr ? j.large->word.load() : 0;
}

void judge_all(const fixture& f, const std::vector<row>& rows)
{
  for (const row& expected : rows) {
    BOOST_TEST_CONTEXT(expected.what << ", " << expected.bytes << " bytes aligned to " << expected.alignment)
    {
      const judgement j = judge(expected.p, expected.bytes, expected.alignment, f.self);
      const std::uint64_t word = word_of(j);
      BOOST_TEST(j.right == expected.right);
      if (!expected.right) BOOST_TEST(j.kind == expected.kind);
      BOOST_TEST(static_cast<int>(j.place) == static_cast<int>(expected.place));
      BOOST_TEST(j.word == word);

      const gpa::report r = report_of(j, *f.self, expected.p, expected.bytes, expected.alignment);
      BOOST_TEST(r.reason == expected.reason);
      BOOST_TEST(r.address == expected.p);
      BOOST_TEST(r.given_bytes == expected.bytes);
      BOOST_TEST(r.given_alignment == expected.alignment);
      BOOST_TEST(r.resource == "mine");

      const judgement again = judge(expected.p, expected.bytes, expected.alignment, f.self);
      BOOST_TEST(again.right == j.right);
      BOOST_TEST(again.kind == j.kind);
      BOOST_TEST(word_of(again) == word);
    }
  }
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_block_is_right_freed_or_somebody_elses, fixture)
{
  judge_all(*this, rows_of_blocks(*this));
}

BOOST_FIXTURE_TEST_CASE(wrong_numbers_are_named_however_they_wrap, fixture)
{
  judge_all(*this, rows_of_numbers(*this));
}

BOOST_FIXTURE_TEST_CASE(a_wild_pointer_is_named_by_its_place, fixture)
{
  judge_all(*this, rows_of_places(*this));
}

BOOST_FIXTURE_TEST_CASE(a_pointer_that_faults_is_judged_without_touching_it, fixture)
{
  void* const closed = reserve_pages(65'536);
  BOOST_REQUIRE(closed != nullptr);
  judge_all(*this,
            {{"an inaccessible mapping", closed, 8, 8, false, mistake::invalid_pointer, pointer_place::foreign,
              "not memory of any gpa::resource"},
             {"a freed large block", large_freed, 100'000, 16, false, mistake::double_free, pointer_place::start, ""}});
  unmap_pages(closed, 65'536);
}

BOOST_FIXTURE_TEST_CASE(memory_of_malloc_is_nobodys, fixture)
{
  void* const p = std::malloc(40);
  judge_all(*this, {{"malloc's", p, 40, 16, false, mistake::invalid_pointer, pointer_place::foreign,
                     "not memory of any gpa::resource"}});
  std::free(p);
}

BOOST_FIXTURE_TEST_CASE(a_report_names_the_owner_only_where_it_is_another, fixture)
{
  const auto told = [&](const void* p) { return report_of(judge(p, 40, 8, self), *self, p, 40, 8).owner; };
  BOOST_TEST(told(others) == "other");
  BOOST_TEST(told(others + 8) == "other");
  BOOST_TEST(told(unchecked) == "fast");
  BOOST_TEST(told(freed) == "");
  BOOST_TEST(told(nullptr) == "");
}

BOOST_FIXTURE_TEST_CASE(a_report_tells_what_was_allocated_and_what_was_given, fixture)
{
  const gpa::report small = report_of(judge(live, 41, 16, self), *self, live, 41, 16);
  BOOST_TEST(small.bytes == 40u);
  BOOST_TEST(small.alignment == 8u);
  BOOST_TEST(small.total_bytes == 40u);
  BOOST_TEST(small.given_bytes == 41u);
  BOOST_TEST(small.given_alignment == 16u);
  BOOST_TEST(!small.allocated.empty());
  BOOST_TEST(small.freed.empty());

  const gpa::report twice = report_of(judge(large_freed, 1, 2, self), *self, large_freed, 1, 2);
  BOOST_TEST(twice.bytes == 100'000u);
  BOOST_TEST(twice.alignment == 16u);
  BOOST_TEST(!twice.allocated.empty());
  BOOST_TEST(!twice.freed.empty());
}

BOOST_FIXTURE_TEST_CASE(an_offset_is_counted_from_the_blocks_own_start, fixture)
{
  std::byte* const second = bytes_at(r.allocate(40, 8));
  BOOST_TEST(judge(second + 5, 40, 8, self).offset == 5u);
  BOOST_TEST((judge(second + 5, 40, 8, self).block == second));
  BOOST_TEST(judge(large + 70'000, 40, 8, self).offset == 70'000u);
  BOOST_TEST((judge(large + 70'000, 40, 8, self).block == large));
  r.deallocate(second, 40, 8);
}

// A block of its own resource is right for nobody but that resource.
BOOST_FIXTURE_TEST_CASE(what_is_right_depends_on_who_asks, fixture)
{
  const owner* const they = region_of(others)->owner;
  BOOST_TEST(judge(others, 40, 8, they).right);
  BOOST_TEST(!judge(others, 40, 8, self).right);
  BOOST_TEST(judge(unchecked, 40, 8, region_of(unchecked)->owner).right);
  BOOST_TEST(!judge(live, 40, 8, nullptr).right);
}
