#define BOOST_TEST_MODULE poison
#include "checked/fill.hpp"

#include "support/suspects.hpp"

#include <gpa/resource.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace {

using namespace gpa::detail;

constexpr poison_rule usual = poison_rule::up_to(gpa::default_poison);

struct slot_of_any_size {
  alignas(128) std::array<std::byte, 36864 + 256> memory{};

  // Where changed bytes are not seen: the offsets, when each byte is changed alone.
  std::vector<std::size_t> unseen(std::byte* slot, std::size_t size, std::size_t bytes, poison_rule rule)
  {
    memory.fill(std::byte{0x41});
    write_poison(slot, size, bytes, rule);
    BOOST_REQUIRE(holds_poison(slot, size, bytes, rule));
    std::vector<std::size_t> found;
    const std::size_t stride = size < 4096 ? 1 : 31;
    for (std::size_t i = 0; i < size; i += stride) {
      const std::byte right = slot[i];
      slot[i] = std::byte{0x42};
      const bool seen = !holds_poison(slot, size, bytes, rule);
      const damage d = find_damage_of_poison(slot, size, bytes, rule);
      if (seen != (d.count == 1 && d.first == i && d.last == i)) BOOST_ERROR("byte " << i << " of " << size);
      if (!seen) found.push_back(i);
      slot[i] = right;
    }
    return found;
  }
};

// What a freed block that is not touched shows, and what one byte written at `offset` shows.
std::size_t mistakes_after_write(std::size_t poison_bytes, std::size_t bytes, std::size_t offset)
{
  gpa::resource r({.checks = gpa::checks::always(),
                   .after_mistake = gpa::after_mistake::carry_on,
                   .on_report = [](const gpa::report&) {},
                   .poison_bytes = poison_bytes});
  void* const p = r.allocate(bytes, 8);
  r.deallocate(p, bytes, 8);
  gpa::test::stray_write(p, static_cast<std::ptrdiff_t>(offset));
  return r.verify();
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(every_byte_of_a_slot_up_to_576_bytes_counts, slot_of_any_size)
{
  for (std::size_t size = 16; size <= least_whole; size += 16) BOOST_TEST(unseen(memory.data(), size, 0, usual).empty());
}

BOOST_FIXTURE_TEST_CASE(a_larger_slot_has_its_first_128_bytes_its_middle_and_its_last_64, slot_of_any_size)
{
  for (const std::size_t front : {0U, 16U, 48U}) {  // slots of up to 1 KiB begin anywhere in a line
    for (std::size_t size = least_whole + 16; size <= 1024; size += 16) {
      const auto places = unseen(memory.data() + front, size, size - 1, usual);
      BOOST_REQUIRE(!places.empty());
      for (const std::size_t i : places) {
        const bool middle = i >= size / 2 - 8 && i < size / 2;  // of a block of size - 16 .. size - 1 bytes
        if (i < 128 || middle || i >= size - 64) BOOST_ERROR("byte " << i << " of " << size);
      }
      BOOST_TEST(places.size() == size - 4 * 64);
    }
  }
}

BOOST_FIXTURE_TEST_CASE(above_one_kibibyte_the_places_follow_from_the_block, slot_of_any_size)
{
  for (const unsigned c : {65U, 70U, 72U, 80U, 96U, 105U}) {
    const std::size_t size = slot_size(c);
    for (const std::size_t bytes : {slot_size(c - 1), slot_size(c - 1) + size / 20, size - 1}) {
      for (const std::size_t i : unseen(memory.data(), size, bytes, usual)) {
        const bool end = i <= bytes && i + 48 >= bytes;
        if (i < 128 || i == bytes / 2 || end || i >= size - 64) BOOST_ERROR("byte " << i << " of " << bytes);
      }
    }
  }
}

// A block of few bytes and a large alignment; and a slot that no block has been in.
BOOST_FIXTURE_TEST_CASE(the_places_stay_in_the_slot_whatever_the_block_had, slot_of_any_size)
{
  for (const unsigned c : {65U, 88U, 105U}) {
    const std::size_t size = slot_size(c);
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{64}, std::size_t{600}}) {
      memory.fill(std::byte{0x41});
      write_poison(memory.data() + 128, size, bytes, usual);
      BOOST_TEST((memory[127] == std::byte{0x41} && memory[128 + size] == std::byte{0x41}));
      BOOST_TEST(holds_poison(memory.data() + 128, size, bytes, usual));
    }
  }
}

BOOST_AUTO_TEST_CASE(the_rule_speaks_of_blocks)
{
  BOOST_TEST(poison_rule::up_to(0).whole == least_whole);
  BOOST_TEST(poison_rule::up_to(512).whole == least_whole);
  BOOST_TEST(!poison_rule::up_to(1024).sparse(slot_size(size_class(1024 + 1))));
  BOOST_TEST(poison_rule::up_to(1024).sparse(2048));
  BOOST_TEST(!poison_rule::up_to(32768).sparse(largest_slot));
  BOOST_TEST(!poison_rule::up_to(gpa::unlimited).sparse(largest_slot));
}

BOOST_FIXTURE_TEST_CASE(behind_a_block_of_a_sparse_slot_its_redzone_and_the_slots_end_count, slot_of_any_size)
{
  std::byte* const slot = memory.data();
  for (const std::size_t size : {1152U, 4608U, 36864U}) {
    for (const std::size_t bytes : {size / 9 * 8, size - 100, size - 80, size - 79, size - 33, size - 16, size - 1}) {
      memory.fill(std::byte{0x41});
      write_poison(slot, size, bytes, usual);
      write_redzone(slot, bytes, size);
      BOOST_REQUIRE(behind_intact(slot, bytes, size, usual));
      for (std::size_t i = bytes; i < size; i += size < 8192 || i + 200 > size ? 1 : 31) {
        const std::byte right = slot[i];
        slot[i] = std::byte{0x42};
        const bool counts = i < bytes + redzone_bytes || i >= size - 64;
        const damage d = find_damage_behind(slot, bytes, size, usual);
        if (behind_intact(slot, bytes, size, usual) == counts || (d.count == 1) != counts)
          BOOST_ERROR("byte " << i << " behind " << bytes << " in " << size);
        slot[i] = right;
      }
      write_behind(slot, bytes - 200, size, usual);  // as after a block has shrunk
      BOOST_TEST(behind_intact(slot, bytes - 200, size, usual));
    }
  }
}

BOOST_AUTO_TEST_CASE(poison_bytes_says_up_to_which_block_every_byte_is_poison)
{
  for (const std::size_t bytes : {1000U, 4096U, 32768U}) {
    for (const std::size_t offset : {std::size_t{0}, std::size_t{127}, bytes / 2, bytes - 1}) {
      BOOST_TEST(mistakes_after_write(gpa::default_poison, bytes, offset) == 1u);
      BOOST_TEST(mistakes_after_write(gpa::unlimited, bytes, offset) == 1u);
    }
    const std::size_t between = bytes / 4 + 64;
    BOOST_TEST(mistakes_after_write(gpa::default_poison, bytes, between) == 0u);
    BOOST_TEST(mistakes_after_write(bytes, bytes, between) == 1u);
    BOOST_TEST(mistakes_after_write(gpa::unlimited, bytes, between) == 1u);
  }
}
