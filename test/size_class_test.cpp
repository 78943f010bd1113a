#define BOOST_TEST_MODULE size_class
#include "base/size_class.hpp"

#include "base/bits.hpp"

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <cstdint>

using namespace gpa::detail;

BOOST_AUTO_TEST_CASE(every_size_has_a_class_whose_slot_holds_it)
{
  std::size_t wrong = 0;
  for (std::size_t n = 1; n <= largest_slot; ++n) {
    const unsigned c = size_class(n);
    if (c < 1 || c >= class_count || slot_size(c) < n) ++wrong;
  }
  BOOST_TEST(wrong == 0u);
}

BOOST_AUTO_TEST_CASE(the_class_is_the_smallest_one_that_fits)
{
  std::size_t wrong = 0;
  for (std::size_t n = 1; n <= largest_slot; ++n) {
    const unsigned c = size_class(n);
    if (c > 1 && slot_size(c - 1) >= n) ++wrong;
  }
  BOOST_TEST(wrong == 0u);
}

BOOST_AUTO_TEST_CASE(classes_grow_with_the_size)
{
  std::size_t wrong = 0;
  for (std::size_t n = 2; n <= largest_slot; ++n)
    if (size_class(n) < size_class(n - 1)) ++wrong;
  BOOST_TEST(wrong == 0u);
  for (unsigned c = 2; c != class_count; ++c) BOOST_TEST(slot_size(c) > slot_size(c - 1));
  BOOST_TEST(size_class(1) == 1u);
  BOOST_TEST(size_class(largest_slot) == class_count - 1);
}

BOOST_AUTO_TEST_CASE(a_slot_is_of_its_own_class_and_one_byte_more_of_the_next)
{
  for (unsigned c = 1; c != class_count; ++c) {
    BOOST_TEST(size_class(slot_size(c)) == c);
    if (c + 1 != class_count) BOOST_TEST(size_class(slot_size(c) + 1) == c + 1);
  }
}

BOOST_AUTO_TEST_CASE(at_most_an_eighth_of_a_slot_is_rounding_above_128_bytes)
{
  std::size_t wrong = 0;
  for (std::size_t n = 129; n <= largest_slot; ++n) {
    const std::size_t slot = slot_size(size_class(n));
    if ((slot - n) * 8 > slot) ++wrong;
  }
  BOOST_TEST(wrong == 0u);
}

BOOST_AUTO_TEST_CASE(every_slot_is_a_multiple_of_16)
{
  for (unsigned c = 1; c != class_count; ++c) BOOST_TEST(slot_size(c) % 16 == 0u);
}

BOOST_AUTO_TEST_CASE(a_slab_is_whole_granules_and_holds_sixteen_slots_or_what_512_kib_hold)
{
  for (unsigned c = 1; c != class_count; ++c) {
    const std::size_t slab = slab_size(c);
    BOOST_TEST(slab % 65536 == 0u);
    BOOST_TEST(slab >= 65536u);
    BOOST_TEST(slab <= 512u * 1024);
    BOOST_TEST(slab / slot_size(c) >= (slab < 512u * 1024 ? 16u : 14u));
    if (slab > 65536) BOOST_TEST(slab / 2 / slot_size(c) < 16u);  // not larger than it must be
  }
}

BOOST_AUTO_TEST_CASE(the_reciprocal_divides_exactly_at_every_offset_of_every_slab)
{
  for (unsigned c = 1; c != class_count; ++c) {
    const std::size_t slot = slot_size(c);
    const std::uint64_t factor = reciprocal(slot);
    std::size_t wrong = 0;
    std::size_t index = 0;
    std::size_t rest = 0;
    for (std::size_t offset = 0; offset != 512 * 1024; ++offset) {
      const quotient q = divide(offset, factor);
      if (q.index != index || q.exact != (rest == 0)) ++wrong;
      if (++rest == slot) {
        rest = 0;
        ++index;
      }
    }
    BOOST_TEST(wrong == 0u, "slot of " << slot << " bytes");
  }
}

BOOST_AUTO_TEST_CASE(a_request_rounded_up_to_its_alignment_is_aligned_in_every_slot)
{
  for (std::size_t alignment = 1; alignment <= small_alignment; alignment *= 2) {
    std::size_t wrong = 0;
    for (std::size_t size = alignment; size <= largest_slot; size += alignment)
      if (slot_size(size_class(size)) % alignment != 0) ++wrong;
    BOOST_TEST(wrong == 0u, "alignment " << alignment);
  }
}

BOOST_AUTO_TEST_CASE(the_largest_small_block_has_room_for_a_redzone_at_every_alignment)
{
  for (std::size_t alignment = 1; alignment <= small_alignment; alignment *= 2)
    BOOST_TEST(round_up(small_limit + 1, alignment) <= largest_slot);
}

BOOST_AUTO_TEST_CASE(the_table_of_coarse_classes_says_the_same)
{
  for (std::size_t bytes = 0; bytes <= 1024; ++bytes) BOOST_REQUIRE(coarse_class(bytes) == 0u);
  for (std::size_t bytes = 1025; bytes <= small_limit; ++bytes) BOOST_REQUIRE(coarse_class(bytes) == size_class(bytes));
}
