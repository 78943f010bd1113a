#define BOOST_TEST_MODULE record
#include "checked/record.hpp"

#include "checked/large_record.hpp"
#include "checked/slab.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace {

using namespace gpa::detail;

constexpr std::array states = {slot_state::fresh,
                               slot_state::live,
                               slot_state::freed,
                               slot_state::poisoned,
                               slot_state::live_ignored,
                               slot_state::live_inspected,
                               slot_state::ignored_inspected,
                               slot_state::poisoned_inspected};

constexpr std::size_t bit(unsigned n)
{
  return std::size_t{1} << n;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_tag_gives_back_what_was_encoded)
{
  for (const slot_state state : states) {
    std::size_t wrong = 0;
    for (std::size_t alignment = 1; alignment <= 4096; alignment *= 2)
      for (std::size_t bytes = 0; bytes != 65536; ++bytes) {
        const tag t = encode(state, bytes, alignment);
        if (state_of(t) != state || bytes_of(t) != bytes || alignment_of(t) != alignment) ++wrong;
      }
    BOOST_TEST(wrong == 0u, "state " << static_cast<int>(state));
  }
}

// Alignments that are no powers of two come from wrong frees only; they have tags of their own all the same.
BOOST_AUTO_TEST_CASE(no_wrong_alignment_shares_a_tag_with_a_right_one)
{
  for (std::size_t given = 0; given != 8192; ++given) {
    const tag t = encode(slot_state::live, 24, given);
    if (alignment_of(t) != given || bytes_of(t) != 24 || state_of(t) != slot_state::live)
      BOOST_ERROR("alignment " << given);
  }
}

BOOST_AUTO_TEST_CASE(numbers_out_of_range_are_never_encoded)
{
  const std::size_t top = ~std::size_t{0};
  for (const std::size_t bytes :
       {bit(16), 24 + bit(16), 24 + bit(29), 24 + bit(32), 24 + bit(48), 24 + bit(63), top, top - 1, top - 23}) {
    BOOST_TEST_CONTEXT("bytes " << bytes)
    for (std::size_t alignment = 1; alignment <= 4096; alignment *= 2) BOOST_TEST(!encodable(bytes, alignment));
  }
  for (const std::size_t alignment :
       {bit(13), 16 + bit(13), bit(16), 16 + bit(16), bit(32), 16 + bit(32), bit(61), 16 + bit(61), bit(63), top})
    BOOST_TEST(!encodable(24, alignment));
  for (unsigned n = 16; n != 64; ++n) BOOST_TEST(!encodable(24 + bit(n), 16));
  for (unsigned n = 13; n != 64; ++n) BOOST_TEST(!encodable(24, 16 + bit(n)));
}

BOOST_AUTO_TEST_CASE(every_block_of_a_slab_is_encodable)
{
  std::size_t wrong = 0;
  for (std::size_t alignment = 1; alignment <= 4096; alignment *= 2)
    for (std::size_t bytes = 0; bytes <= 32768; ++bytes)
      if (!encodable(bytes, alignment)) ++wrong;
  BOOST_TEST(wrong == 0u);
}

BOOST_AUTO_TEST_CASE(a_fresh_record_is_zero_and_equal_to_no_block)
{
  BOOST_TEST(encode(slot_state::fresh, 0, 0) == 0u);
  for (std::size_t alignment = 0; alignment != 8192; ++alignment)
    if (encode(slot_state::live, 0, alignment) == 0) BOOST_ERROR("alignment " << alignment);
}

BOOST_AUTO_TEST_CASE(a_change_of_state_keeps_size_and_alignment)
{
  for (const slot_state before : states) {
    for (const slot_state after : states) {
      const tag t = with_state(encode(before, 65535, 4096), after);
      BOOST_TEST((state_of(t) == after));
      BOOST_TEST(bytes_of(t) == 65535u);
      BOOST_TEST(alignment_of(t) == 4096u);
    }
  }
}

BOOST_AUTO_TEST_CASE(every_state_is_live_or_free_and_flags_do_not_change_that)
{
  for (const slot_state s :
       {slot_state::live, slot_state::live_ignored, slot_state::live_inspected, slot_state::ignored_inspected})
    BOOST_TEST((is_live(s) && !is_poisoned(s)));
  for (const slot_state s : {slot_state::poisoned, slot_state::poisoned_inspected})
    BOOST_TEST((is_poisoned(s) && !is_live(s)));
  for (const slot_state s : {slot_state::fresh, slot_state::freed}) BOOST_TEST((!is_poisoned(s) && !is_live(s)));
  for (const slot_state s : states)
    BOOST_TEST(is_ignored(s) == (s == slot_state::live_ignored || s == slot_state::ignored_inspected));
}

BOOST_AUTO_TEST_CASE(a_word_holds_a_tag_and_the_stack_of_the_free)
{
  const tag t = encode(slot_state::freed, 24, 16);
  for (const std::uint32_t trace : {0U, 1U, 0x80000000U, 0xFFFFFFFFU}) {
    const std::uint64_t word = make_word(t, trace);
    BOOST_TEST(tag_of(word) == t);
    BOOST_TEST(free_trace_of(word) == trace);
  }
  BOOST_TEST(tag_of(make_word(0xFFFFFFFFU, 0)) == 0xFFFFFFFFU);
  BOOST_TEST(free_trace_of(make_word(0xFFFFFFFFU, 0)) == 0u);
}

BOOST_AUTO_TEST_CASE(a_large_word_gives_back_what_was_encoded)
{
  for (const slot_state state : states) {
    for (unsigned power = 0; power != 64; ++power) {
      for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{32769}, bit(16) - 1, bit(16),
                                      bit(32) - 1, bit(32), bit(46) + 5, largest_block}) {
        BOOST_REQUIRE(encodable_large(bytes, bit(power)));
        const std::uint64_t word = encode_large(state, bytes, bit(power));
        if (large_state(word) != state || large_bytes(word) != bytes || large_alignment(word) != bit(power))
          BOOST_ERROR("state " << static_cast<int>(state) << ", " << bytes << " bytes, alignment 2^" << power);
        for (const slot_state after : states)
          if (large_with_state(word, after) != encode_large(after, bytes, bit(power)))
            BOOST_ERROR("to state " << static_cast<int>(after) << ", " << bytes << " bytes, alignment 2^" << power);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(large_numbers_out_of_range_are_refused)
{
  const std::size_t top = ~std::size_t{0};
  for (const std::size_t bytes : {largest_block + 1, bit(47), bit(48), 200000 + bit(48), bit(61), bit(63), top})
    BOOST_TEST(!encodable_large(bytes, 16));
  for (const std::size_t alignment : {std::size_t{0}, std::size_t{3}, std::size_t{24}, 16 + bit(61), top})
    BOOST_TEST(!encodable_large(200000, alignment));
}

BOOST_AUTO_TEST_CASE(few_slots_are_given_up_for_a_page_of_records)
{
  constexpr std::size_t page = 4096;
  for (unsigned c = 1; c != class_count; ++c) {
    BOOST_TEST_CONTEXT("slots of " << slot_size(c)) {
      const std::size_t fitting = slab_size(c) / slot_size(c);
      const std::size_t used = used_slots(fitting);
      const auto pages = [&](std::size_t slots) {
        return (bits_bytes(fitting) + slots * sizeof(record) + page - 1) / page;
      };
      BOOST_TEST(used <= fitting);
      BOOST_TEST(fitting - used <= fitting / 64);
      BOOST_TEST((used == fitting || pages(used) == pages(fitting) - 1));
      // The record of any place in the slab is there, and those of the gap are fresh: nobody writes to them.
      BOOST_TEST(bits_bytes(fitting) + (slab_size(c) - 1) / slot_size(c) * sizeof(record) < records_bytes(fitting));
    }
  }
  BOOST_TEST(used_slots(1024) == 1016);
}
