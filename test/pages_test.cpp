#define BOOST_TEST_MODULE pages
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include "base/bits.hpp"
#include "os/pages.hpp"
#include "support/not_run.hpp"
#include "support/child.hpp"

namespace {

using namespace gpa::detail;

constexpr std::size_t too_many = std::numeric_limits<std::size_t>::max() - page_size + 1;

#if defined(__SANITIZE_THREAD__)
constexpr bool under_thread_sanitizer = true;
#elif defined(__has_feature)
constexpr bool under_thread_sanitizer = __has_feature(thread_sanitizer);
#else
constexpr bool under_thread_sanitizer = false;
#endif

/// A mapping that goes with its scope.
struct mapping {
  explicit mapping(void* pages, std::size_t size = granule_size) : data(static_cast<std::byte*>(pages)), bytes(size)
  {
    BOOST_REQUIRE(data != nullptr);
  }
  ~mapping() { unmap_pages(data, bytes); }
  mapping(const mapping&) = delete;
  mapping& operator=(const mapping&) = delete;

  void fill(std::byte value) const { std::fill_n(data, bytes, value); }
  [[nodiscard]] bool holds(std::byte value, std::size_t count) const
  {
    return std::all_of(data, data + count, [=](std::byte b) { return b == value; });
  }
  [[nodiscard]] bool holds(std::byte value) const { return holds(value, bytes); }

  std::byte* data;
  std::size_t bytes;
};

/// The size of this process's address space, in pages. Reads without allocating.
long address_space_pages()
{
  std::array<char, 128> text{};
  std::FILE* const file = std::fopen("/proc/self/statm", "re");
  BOOST_REQUIRE(file != nullptr);
  std::setvbuf(file, nullptr, _IONBF, 0);
  const std::size_t read = std::fread(text.data(), 1, text.size() - 1, file);
  std::fclose(file);
  BOOST_REQUIRE(read != 0);
  return std::strtol(text.data(), nullptr, 10);
}

}  // namespace

BOOST_AUTO_TEST_CASE(mapped_pages_are_zeroed_writable_and_aligned)
{
  for (std::size_t alignment = page_size; alignment <= std::size_t{1} << 30; alignment *= 2) {
    const mapping m(map_pages(3 * page_size, alignment), 3 * page_size);
    BOOST_TEST(is_aligned(m.data, alignment));
    BOOST_TEST(m.holds(std::byte{0}));
    m.fill(std::byte{0x5A});
    BOOST_TEST(m.holds(std::byte{0x5A}));
  }
}

BOOST_AUTO_TEST_CASE(an_alignment_costs_no_addresses_once_the_mapping_is_made)
{
  address_space_pages();  // whatever stdio sets up is not ours
  const long before = address_space_pages();
  const mapping m(map_pages(granule_size, std::size_t{64} << 20));
  BOOST_TEST(address_space_pages() - before < 1000);  // 16 are ours, 16 383 were spare, tools may take some for theirs
}

BOOST_AUTO_TEST_CASE(what_the_system_cannot_give_is_null_and_leaves_errno_alone)
{
  errno = EXDEV;
  BOOST_TEST(map_pages(too_many) == nullptr);
  BOOST_TEST(map_pages(std::size_t{1} << 62, page_size) == nullptr);
  BOOST_TEST(map_pages(page_size, std::size_t{1} << 63) == nullptr);
  BOOST_TEST(reserve_pages(too_many) == nullptr);
  BOOST_TEST(map_pages(0) == nullptr);
  BOOST_TEST(errno == EXDEV);
}

BOOST_AUTO_TEST_CASE(reserved_pages_are_out_of_reach_until_opened)
{
  const mapping m(reserve_pages(granule_size));
  BOOST_TEST(is_aligned(m.data, granule_size));
  BOOST_TEST(!is_readable(m.data, 1));

  BOOST_TEST(open_pages(m.data + page_size, page_size));
  BOOST_TEST(!is_readable(m.data + page_size - 1, 1));
  BOOST_TEST(is_readable(m.data + page_size, page_size));
  BOOST_TEST(!is_readable(m.data + 2 * page_size, 1));
}

BOOST_AUTO_TEST_CASE(closed_pages_are_out_of_reach_and_come_back_zeroed)
{
  const mapping m(map_pages(granule_size));
  m.fill(std::byte{1});
  BOOST_TEST(close_pages(m.data, granule_size));
  BOOST_TEST(!is_readable(m.data, 1));
  BOOST_TEST(!is_readable(m.data + granule_size - 1, 1));
  BOOST_TEST(open_pages(m.data, granule_size));
  BOOST_TEST(m.holds(std::byte{0}));
}

BOOST_AUTO_TEST_CASE(closing_or_opening_what_is_not_mapped_fails_and_leaves_errno_alone)
{
  void* const p = map_pages(page_size);
  unmap_pages(p, page_size);
  errno = EXDEV;
  BOOST_TEST(!open_pages(p, page_size));
  BOOST_TEST(!close_pages(static_cast<std::byte*>(p) + 1, page_size));
  BOOST_TEST(errno == EXDEV);
}

BOOST_AUTO_TEST_CASE(discarded_pages_read_as_zeros)
{
  const mapping m(map_pages(granule_size));
  m.fill(std::byte{1});
  discard_pages(m.data, granule_size - page_size);
  BOOST_TEST(m.holds(std::byte{0}, granule_size - page_size));
  BOOST_TEST((m.data[granule_size - page_size] == std::byte{1}));
}

BOOST_AUTO_TEST_CASE(pages_locked_into_memory_are_discarded_too)
{
  const mapping m(map_pages(granule_size));
  if (::syscall(SYS_mlock, m.data, granule_size) != 0) {
    gpa::test::not_run_here("this user may not lock memory");
    return;
  }
  m.fill(std::byte{1});
  discard_pages(m.data, granule_size);
  BOOST_TEST(m.holds(std::byte{0}));
}

BOOST_AUTO_TEST_CASE(unmapped_pages_are_out_of_reach_and_a_part_may_go_alone)
{
  const mapping m(map_pages(granule_size));
  unmap_pages(m.data + page_size, page_size);
  BOOST_TEST(is_readable(m.data, page_size));
  BOOST_TEST(!is_readable(m.data + page_size, 1));
  BOOST_TEST(is_readable(m.data + 2 * page_size, granule_size - 2 * page_size));
}

BOOST_AUTO_TEST_CASE(moved_pages_bring_their_contents_and_leave_nothing_in_reach)
{
  constexpr std::size_t bytes = std::size_t{2} << 20;
  const mapping from(map_pages(bytes), bytes);
  const mapping to(reserve_pages(bytes), bytes);
  const auto mark = [](std::size_t i) { return static_cast<std::byte>(i / page_size); };
  for (std::size_t i = 0; i != bytes; i += page_size) from.data[i] = mark(i);

  if (!move_pages(from.data, to.data, bytes)) {
    gpa::test::not_run_here("MREMAP_DONTUNMAP is unknown here (Linux < 5.7, Valgrind)");
    return;
  }
  BOOST_TEST(!is_readable(from.data, 1));
  BOOST_TEST(!is_readable(from.data + bytes - 1, 1));
  bool same = true;
  for (std::size_t i = 0; i != bytes; i += page_size) same = same && to.data[i] == mark(i);
  BOOST_TEST(same);
  to.fill(std::byte{7});

  BOOST_TEST(open_pages(from.data, bytes));
  BOOST_TEST(from.holds(std::byte{0}));
}

BOOST_AUTO_TEST_CASE(pages_move_back_and_forth)
{
  const mapping a(map_pages(granule_size));
  const mapping b(reserve_pages(granule_size));
  a.fill(std::byte{9});
  for (int i = 0; i != 100; ++i) {
    if (!move_pages(a.data, b.data, granule_size)) return;  // said by the case above
    BOOST_REQUIRE(move_pages(b.data, a.data, granule_size));
  }
  BOOST_TEST(a.holds(std::byte{9}));
  BOOST_TEST(!is_readable(b.data, 1));
}

BOOST_AUTO_TEST_CASE(a_move_that_is_refused_changes_nothing)
{
  const mapping from(map_pages(granule_size));
  const mapping to(reserve_pages(granule_size));
  from.fill(std::byte{3});
  errno = EXDEV;
  BOOST_TEST(!move_pages(from.data, from.data + page_size, granule_size - page_size));  // they overlap
  BOOST_TEST(from.holds(std::byte{3}));

  BOOST_TEST(!is_readable(to.data, 1));
  BOOST_TEST(errno == EXDEV);
}

BOOST_AUTO_TEST_CASE(a_move_that_is_refused_after_the_kernel_emptied_the_destination_leaves_no_hole)
{
  const mapping from(map_pages(granule_size));
  const mapping to(reserve_pages(granule_size));
  from.fill(std::byte{3});
  if (under_thread_sanitizer) {
    gpa::test::not_run_here("ThreadSanitizer itself needs the memory that is refused here");
    return;
  }
  BOOST_TEST(gpa::test::true_in_child([&] {
    rlimit data{};
    if (::getrlimit(RLIMIT_DATA, &data) != 0) return false;
    const rlim_t enough = data.rlim_cur;
    data.rlim_cur = 1;  // there is no memory for the pages that would stay behind
    if (::setrlimit(RLIMIT_DATA, &data) != 0 || move_pages(from.data, to.data, granule_size)) return false;
    data.rlim_cur = enough;
    if (::setrlimit(RLIMIT_DATA, &data) != 0) return false;
    return from.holds(std::byte{3}) && !is_readable(to.data, 1) && open_pages(to.data, granule_size);
  }));
}

BOOST_AUTO_TEST_CASE(readable_is_what_can_be_read_to_its_last_byte)
{
  const mapping m(map_pages(2 * page_size), 2 * page_size);
  BOOST_TEST(close_pages(m.data + page_size, page_size));
  BOOST_TEST(is_readable(m.data, page_size));
  BOOST_TEST(is_readable(m.data + page_size - 1, 1));
  BOOST_TEST(!is_readable(m.data + page_size - 1, 2));
  BOOST_TEST(!is_readable(m.data, 2 * page_size));
  BOOST_TEST(is_readable(m.data + page_size, 0));

  const int local = 0;
  BOOST_TEST(is_readable(&local, sizeof local));
  BOOST_TEST(is_readable("text", 5));
}

BOOST_AUTO_TEST_CASE(no_address_makes_asking_whether_it_is_readable_fault)
{
  errno = EXDEV;
  for (const std::uintptr_t number : {std::uintptr_t{0}, std::uintptr_t{8}, std::uintptr_t{0x8000'0000'0000'0000},
                                      std::uintptr_t{0x0000'8000'0000'0000}, ~std::uintptr_t{0}}) {
    const auto p = reinterpret_cast<const void*>(number);
    BOOST_TEST(!is_readable(p, 1));
    BOOST_TEST(!is_readable(p, 64));
  }
  BOOST_TEST(!is_readable("text", std::numeric_limits<std::size_t>::max()));
  BOOST_TEST(errno == EXDEV);
}

BOOST_AUTO_TEST_CASE(the_second_level_cache_has_a_plausible_size)
{
  BOOST_TEST(second_level_cache_bytes() >= std::size_t{64} << 10);
  BOOST_TEST(second_level_cache_bytes() <= std::size_t{1} << 30);
}
