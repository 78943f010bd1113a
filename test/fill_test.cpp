#define BOOST_TEST_MODULE fill
#include "checked/fill.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace {

using namespace gpa::detail;

constexpr poison_rule everywhere = poison_rule::everywhere();
constexpr std::array<std::size_t, 5> larger_slots = {1152, 2048, 4096, 4608, 36864};

struct fixture {
  alignas(64) std::array<std::byte, 36864> slot{};

  void write(std::size_t offset, unsigned value) { slot[offset] = static_cast<std::byte>(value); }

  // Every byte of the slot behind a block of `bytes`, as the heap leaves it; the block itself filled with `user`.
  void make_live(std::size_t bytes, std::size_t size, unsigned user)
  {
    fill_with_poison(slot.data(), size);
    write_redzone(slot.data(), bytes, size);
    for (std::size_t i = 0; i != bytes; ++i) write(i, user);
  }

  // How many single changed bytes of [begin, end) `intact` does not see, to any of the 255 other values.
  template <class Intact>
  std::size_t unseen_changes(std::size_t begin, std::size_t end, Intact intact)
  {
    std::size_t unseen = 0;
    for (std::size_t i = begin; i != end; ++i) {
      const std::byte right = slot[i];
      for (unsigned value = 0; value != 256; ++value) {
        if (static_cast<std::byte>(value) == right) continue;
        write(i, value);
        if (intact()) ++unseen;
      }
      slot[i] = right;
    }
    return unseen;
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(poison_and_redzone_differ_and_are_no_common_bytes)
{
  BOOST_TEST(poison_byte != redzone_byte);
  for (const std::uint8_t b : {poison_byte, redzone_byte}) BOOST_TEST((b != 0x00 && b != 0xFF));
}

BOOST_AUTO_TEST_CASE(poison_read_as_a_pointer_is_not_canonical)
{
  const std::uint64_t pointer = 0x0101010101010101U * poison_byte;
  const std::uint64_t top = pointer >> 47;
  BOOST_TEST((top != 0 && top != 0x1FFFF));
}

BOOST_FIXTURE_TEST_CASE(poison_is_seen_as_poison, fixture)
{
  std::size_t wrong = 0;
  for (std::size_t size = 16; size <= slot.size(); size += 16) {
    slot.fill(std::byte{0x41});
    fill_with_poison(slot.data(), size);
    if (!is_poison(slot.data(), size)) ++wrong;
  }
  BOOST_TEST(wrong == 0u);
  BOOST_TEST(is_poison(slot.data(), 0));
}

BOOST_FIXTURE_TEST_CASE(bytes_in_front_of_and_behind_a_slot_do_not_count, fixture)
{
  for (std::size_t size = 16; size <= 1024; size += 16) {
    slot.fill(std::byte{0x41});
    fill_with_poison(slot.data() + 64, size);
    BOOST_TEST(is_poison(slot.data() + 64, size));
    BOOST_TEST(!is_poison(slot.data() + 48, size + 16));
    BOOST_TEST(!is_poison(slot.data() + 64, size + 16));
  }
}

BOOST_FIXTURE_TEST_CASE(a_single_changed_byte_of_poison_is_seen_whatever_its_value, fixture)
{
  std::size_t unseen = 0;
  for (std::size_t size = 16; size <= 1024; size += 16) {
    fill_with_poison(slot.data(), size);
    unseen += unseen_changes(0, size, [&] { return is_poison(slot.data(), size); });
    BOOST_REQUIRE(is_poison(slot.data(), size));
  }
  for (const std::size_t size : larger_slots) {
    fill_with_poison(slot.data(), size);
    for (const std::size_t at : {std::size_t{0}, size / 2 - 1, size / 2, size - 17, size - 1})
      unseen += unseen_changes(at, at + 1, [&] { return is_poison(slot.data(), size); });
  }
  BOOST_TEST(unseen == 0u);
}

BOOST_FIXTURE_TEST_CASE(two_changed_bytes_do_not_make_up_for_each_other, fixture)
{
  for (const std::size_t second : {std::size_t{16}, std::size_t{64}, std::size_t{112}}) {
    fill_with_poison(slot.data(), 128);
    std::size_t unseen = 0;
    for (unsigned a = 0; a != 256; ++a) {
      for (unsigned b = 0; b != 256; ++b) {
        write(3, a);
        write(3 + second, b);
        if (is_poison(slot.data(), 128) != (a == poison_byte && b == poison_byte)) ++unseen;
      }
    }
    BOOST_TEST(unseen == 0u, second << " bytes apart");
  }
}

BOOST_FIXTURE_TEST_CASE(a_live_block_is_intact_whatever_the_user_writes_into_it, fixture)
{
  std::size_t wrong = 0;
  const auto look = [&](std::size_t bytes, std::size_t size) {
    for (const unsigned user : {0x00U, 0xFFU, 0x41U, unsigned{poison_byte}, unsigned{redzone_byte}}) {
      make_live(bytes, size, user);
      if (!redzone_intact(slot.data(), bytes, size) || !behind_intact(slot.data(), bytes, size, everywhere) ||
          find_damage_behind(slot.data(), bytes, size, everywhere).count != 0)
        ++wrong;
    }
  };
  for (std::size_t size = 16; size <= 1024; size += 16)
    for (std::size_t bytes = 0; bytes != size; ++bytes) look(bytes, size);
  for (const std::size_t size : larger_slots)
    for (const std::size_t bytes : {std::size_t{0}, size / 8 * 7, size - 17, size - 16, size - 15, size - 1})
      look(bytes, size);
  BOOST_TEST(wrong == 0u);
}

BOOST_FIXTURE_TEST_CASE(a_redzone_never_leaves_its_slot_and_has_a_byte_at_least, fixture)
{
  for (std::size_t size = 16; size <= 1024; size += 16) {
    for (std::size_t bytes = 0; bytes != size; ++bytes) {
      slot.fill(std::byte{0x41});
      write_redzone(slot.data() + 16, bytes, size);
      if (slot[15] != std::byte{0x41} || slot[16 + size] != std::byte{0x41} ||
          slot[16 + bytes] != std::byte{redzone_byte})
        BOOST_ERROR(bytes << " bytes in a slot of " << size);
    }
  }
}

BOOST_FIXTURE_TEST_CASE(a_single_changed_byte_of_a_redzone_is_seen_whatever_its_value, fixture)
{
  std::size_t unseen = 0;
  for (const std::size_t size : {16U, 32U, 48U, 256U, 1024U, 36864U}) {
    for (std::size_t bytes = size < 64 ? 0 : size - 40; bytes != size; ++bytes) {
      make_live(bytes, size, 0x41);
      const std::size_t end = bytes + redzone_bytes < size ? bytes + redzone_bytes : size;
      unseen += unseen_changes(bytes, end, [&] { return redzone_intact(slot.data(), bytes, size); });
    }
  }
  BOOST_TEST(unseen == 0u);
}

BOOST_FIXTURE_TEST_CASE(a_single_changed_byte_anywhere_behind_a_block_is_seen, fixture)
{
  std::size_t unseen = 0;
  for (const std::size_t size : {16U, 48U, 256U, 1152U})
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, size / 2, size - 1}) {
      make_live(bytes, size, 0x41);
      unseen += unseen_changes(bytes, size, [&] { return behind_intact(slot.data(), bytes, size, everywhere); });
    }
  BOOST_TEST(unseen == 0u);
}

BOOST_FIXTURE_TEST_CASE(damage_of_poison_is_found_exactly, fixture)
{
  for (const std::size_t size : {16U, 32U, 1024U, 36864U}) {
    fill_with_poison(slot.data(), size);
    BOOST_TEST(find_damage_of_poison(slot.data(), size, 0, everywhere).count == 0u);
    for (const std::size_t first : {std::size_t{0}, std::size_t{7}, size / 2, size - 1}) {
      for (const std::size_t last : {first, size - 1}) {
        fill_with_poison(slot.data(), size);
        write(first, 0x41);
        write(last, 0x42);
        const damage d = find_damage_of_poison(slot.data(), size, 0, everywhere);
        BOOST_TEST(d.first == first);
        BOOST_TEST(d.last == last);
        BOOST_TEST(d.count == (first == last ? 1u : 2u));
      }
    }
  }
}

BOOST_FIXTURE_TEST_CASE(damage_behind_a_block_is_found_exactly, fixture)
{
  constexpr std::size_t size = 256;
  for (const std::size_t bytes : {0U, 1U, 13U, 128U, 239U, 240U, 241U, 255U}) {
    for (std::size_t first = bytes; first != size; ++first) {
      make_live(bytes, size, 0x41);
      write(first, 0x00);
      const damage one = find_damage_behind(slot.data(), bytes, size, everywhere);
      write(size - 1, 0xFF);
      const damage two = find_damage_behind(slot.data(), bytes, size, everywhere);
      if (one.first != first || one.last != first || one.count != 1 || two.first != first || two.last != size - 1 ||
          two.count != (first == size - 1 ? 1u : 2u))
        BOOST_ERROR("byte " << first << " behind a block of " << bytes);
    }
  }
}

// Reports show which bytes those were, of 64 from the first on.
BOOST_FIXTURE_TEST_CASE(each_of_the_first_64_bytes_of_damage_is_known, fixture)
{
  constexpr std::size_t size = 256;
  for (const std::size_t first : {0U, 5U, 100U}) {
    for (const std::size_t other : {1U, 31U, 32U, 62U, 63U, 64U, 65U, 127U}) {
      fill_with_poison(slot.data(), size);
      write(first, 0x41);
      write(first + other, 0x41);
      const damage d = find_damage_of_poison(slot.data(), size, 0, everywhere);
      BOOST_TEST(d.count == 2u);
      BOOST_TEST(d.changed == (1U | (other < 64 ? std::uint64_t{1} << other : 0U)));
    }
  }
}

// A redzone byte where poison belongs, and the other way round, is damage: 16 bytes too many were written.
BOOST_FIXTURE_TEST_CASE(poison_is_no_redzone_and_redzone_is_no_poison, fixture)
{
  make_live(24, 64, 0x41);
  write(24, poison_byte);
  BOOST_TEST(!redzone_intact(slot.data(), 24, 64));
  make_live(24, 64, 0x41);
  write(40, redzone_byte);
  BOOST_TEST(redzone_intact(slot.data(), 24, 64));
  BOOST_TEST(!behind_intact(slot.data(), 24, 64, everywhere));
}
