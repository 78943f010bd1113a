// Which bytes of a freed large block that stays accessible are looked at.
#define BOOST_TEST_MODULE large_poison
#include "checked/large_poison.hpp"

#include "os/pages.hpp"

#include <gpa/options.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

namespace {

using namespace gpa::detail;

constexpr std::size_t range = std::size_t{256} << 10;
const large_poison in_lines(gpa::default_poison);
const large_poison whole(gpa::unlimited);
const large_poison whole_up_to(65'536);

struct memory {
  memory() : base(static_cast<std::byte*>(map_pages(range)))
  {
    BOOST_REQUIRE(base != nullptr);
    std::fill_n(base, range, std::byte{0x41});
  }
  ~memory() { unmap_pages(base, range); }
  memory(const memory&) = delete;
  memory& operator=(const memory&) = delete;

  // Whether one changed byte is seen, and told as what it is.
  bool sees(const large_poison& rule, std::size_t bytes, std::size_t offset) const
  {
    const std::byte right = base[offset];
    base[offset] = std::byte{0x42};
    const bool seen = !rule.stands(base, bytes, range);
    const damage d = rule.find_damage(base, bytes, range);
    base[offset] = right;
    BOOST_TEST((seen ? d.count == 1 && d.first == offset && d.last == offset : d.count == 0), "offset " << offset);
    return seen;
  }

  std::byte* base;
};

constexpr std::array<std::size_t, 8> sizes = {4'097, 32'769, 33'376, 65'535, 65'536, 65'537, 100'000, range - 1};

}  // namespace

BOOST_FIXTURE_TEST_CASE(whole_poison_sees_every_byte_of_the_block_and_nothing_far_behind_it, memory)
{
  for (const large_poison& rule : {whole, whole_up_to}) {
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, sizes[1], sizes[4]}) {
      std::fill_n(base, range, std::byte{0x41});
      rule.write(base, bytes, range);
      for (std::size_t i = 0; i < bytes; i += i < 200 || bytes - i < 200 ? 1 : 97) BOOST_TEST(sees(rule, bytes, i));
      BOOST_TEST(!sees(rule, bytes, bytes + 2 * poison_line));
    }
  }
}

BOOST_FIXTURE_TEST_CASE(lines_see_the_first_128_bytes_the_end_and_one_line_of_every_page, memory)
{
  for (const std::size_t bytes : sizes) {
    std::fill_n(base, range, std::byte{0x41});
    in_lines.write(base, bytes, range);
    BOOST_TEST(in_lines.stands(base, bytes, range));
    for (std::size_t i = 0; i != 2 * poison_line; ++i) BOOST_TEST(sees(in_lines, bytes, i));
    for (std::size_t i = bytes - 32; i != bytes; ++i) BOOST_TEST(sees(in_lines, bytes, i));
    std::vector<bool> seen(bytes);
    std::size_t count = 0;
    for (std::size_t i = 0; i < bytes; i += 16) {  // 16 bytes are seen or they are not
      seen[i] = sees(in_lines, bytes, i);
      if (seen[i]) ++count;
    }
    BOOST_TEST(count * 16 <= (bytes / page_size + 3) * poison_line);
    std::size_t longest = 0;
    for (std::size_t i = 0, unseen = 0; i < bytes; i += 16) {
      unseen = seen[i] ? 0 : unseen + 16;
      longest = std::max(longest, unseen);
    }
    BOOST_TEST(longest < page_size + poison_line);
    std::size_t written = 0;
    for (std::size_t i = 0; i < range; ++i)
      if (base[i] != std::byte{0x41}) ++written;
    BOOST_TEST(written <= (bytes / page_size + 3) * poison_line);  // what was not touched is left alone
  }
}

BOOST_FIXTURE_TEST_CASE(blocks_above_what_is_poisoned_whole_are_poisoned_in_lines, memory)
{
  whole_up_to.write(base, 65'537, range);
  BOOST_TEST(!sees(whole_up_to, 65'537, 30'000));
  BOOST_TEST(!sees(in_lines, 65'537, 30'000));
}

BOOST_FIXTURE_TEST_CASE(writes_a_power_of_two_apart_do_not_all_miss, memory)
{
  const std::size_t bytes = range - 1;
  in_lines.write(base, bytes, range);
  for (std::size_t stride = page_size; stride <= page_size * 8; stride *= 2) {
    std::size_t hits = 0;
    for (std::size_t first = 0; first != page_size; first += poison_line)
      for (std::size_t i = first; i < bytes; i += stride)
        if (sees(in_lines, bytes, i)) {
          ++hits;
          break;
        }
    BOOST_TEST(hits >= bytes / stride, "stride " << stride << ", " << hits << " of 64 places");
  }
}

BOOST_FIXTURE_TEST_CASE(damage_in_several_lines_is_counted_once_each, memory)
{
  const std::size_t bytes = 100'000;
  in_lines.write(base, bytes, range);
  std::fill_n(base, bytes, std::byte{0x42});
  std::size_t poisoned = 0;
  const damage d = in_lines.find_damage(base, bytes, range);
  std::fill_n(base, range, std::byte{0x41});
  in_lines.write(base, bytes, range);
  for (std::size_t i = 0; i != bytes; ++i)
    if (base[i] == std::byte{poison_byte}) ++poisoned;
  BOOST_TEST(d.first == 0u);
  BOOST_TEST(d.last == bytes - 1);
  BOOST_TEST(d.count == poisoned);
}

BOOST_FIXTURE_TEST_CASE(a_block_of_few_bytes_is_poisoned_whole, memory)
{
  in_lines.write(base, 0, range);
  BOOST_TEST(in_lines.stands(base, 0, range));
  BOOST_TEST(sees(in_lines, 0, 0));
  BOOST_TEST(sees(in_lines, 0, redzone_bytes - 1));
  BOOST_TEST(!sees(in_lines, 0, poison_line));
  in_lines.write(base, 1'000, range);
  for (std::size_t i = 0; i != 1'000; ++i) BOOST_TEST(sees(in_lines, 1'000, i));
}
