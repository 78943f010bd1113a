#define BOOST_TEST_MODULE page_resource
#include <gpa/default_resource.hpp>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory_resource>
#include <new>
#include <thread>
#include <vector>

#include "base/bits.hpp"
#include "os/pages.hpp"

namespace {

using gpa::page_resource;
using gpa::detail::granule_size;
using gpa::detail::is_aligned;
using gpa::detail::is_readable;

/// Holds pages from before main until after the last static destructor of the test framework's users.
struct early_and_late {
  void* early = page_resource()->allocate(1);
  early_and_late() = default;
  early_and_late(const early_and_late&) = delete;
  early_and_late& operator=(const early_and_late&) = delete;
  ~early_and_late()
  {
    page_resource()->deallocate(early, 1);
    if (is_readable(early, 1)) std::_Exit(EXIT_FAILURE);
    *static_cast<char*>(page_resource()->allocate(1)) = 1;
  }
} const early_and_late_user;

}  // namespace

BOOST_AUTO_TEST_CASE(there_is_one_and_it_equals_only_itself)
{
  BOOST_TEST(page_resource() != nullptr);
  BOOST_TEST(page_resource() == page_resource());
  BOOST_TEST(page_resource()->is_equal(*page_resource()));
  BOOST_TEST(!page_resource()->is_equal(*std::pmr::new_delete_resource()));
}

BOOST_AUTO_TEST_CASE(blocks_are_zeroed_aligned_and_whole_multiples_of_64_kib)
{
  for (const std::size_t bytes : {std::size_t{1}, granule_size - 1, granule_size, granule_size + 1, 5 * granule_size}) {
    const std::size_t size = (bytes + granule_size - 1) / granule_size * granule_size;
    auto* const p = static_cast<std::byte*>(page_resource()->allocate(bytes, 1));
    BOOST_TEST(is_aligned(p, granule_size));
    BOOST_TEST((std::all_of(p, p + size, [](std::byte b) { return b == std::byte{0}; })));
    std::fill_n(p, size, std::byte{1});
    page_resource()->deallocate(p, bytes, 1);
  }
}

BOOST_AUTO_TEST_CASE(any_alignment_is_kept)
{
  for (std::size_t alignment = 1; alignment <= std::size_t{1} << 32; alignment *= 2) {
    void* const p = page_resource()->allocate(100, alignment);
    BOOST_TEST(is_aligned(p, alignment));
    *static_cast<char*>(p) = 1;
    page_resource()->deallocate(p, 100, alignment);
  }
}

BOOST_AUTO_TEST_CASE(a_block_of_no_bytes_is_a_block)
{
  void* const p = page_resource()->allocate(0);
  void* const q = page_resource()->allocate(0);
  BOOST_TEST(p != nullptr);
  BOOST_TEST(p != q);
  page_resource()->deallocate(p, 0);
  page_resource()->deallocate(q, 0);
  BOOST_TEST(!is_readable(p, 1));
}

BOOST_AUTO_TEST_CASE(returned_blocks_go_back_to_the_system)
{
  constexpr std::size_t bytes = 3 * granule_size - 5;
  auto* const p = static_cast<std::byte*>(page_resource()->allocate(bytes));
  BOOST_TEST(is_readable(p, 3 * granule_size));
  page_resource()->deallocate(p, bytes);
  for (std::size_t i = 0; i != 3; ++i) BOOST_TEST(!is_readable(p + i * granule_size, 1));
}

BOOST_AUTO_TEST_CASE(what_cannot_be_given_is_bad_alloc)
{
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  for (const std::size_t bytes : {most, most - granule_size + 1, most / 2 + 1, most / 4}) {
    BOOST_CHECK_THROW(static_cast<void>(page_resource()->allocate(bytes)), std::bad_alloc);
  }
  const volatile std::size_t half_of_all = std::size_t{1} << 63;  // volatile: clang knows what std promises up to 4 GiB
  BOOST_CHECK_THROW(static_cast<void>(page_resource()->allocate(1, half_of_all)), std::bad_alloc);
}

BOOST_AUTO_TEST_CASE(threads_and_containers_share_it)
{
  std::vector<std::thread> threads;
  std::vector<std::uint64_t> sums(4);
  for (std::uint64_t& sum : sums) {
    threads.emplace_back([&sum] {
      std::pmr::vector<std::uint64_t> numbers(page_resource());
      for (std::uint64_t i = 0; i != 100'000; ++i) numbers.push_back(i);
      for (const std::uint64_t n : numbers) sum += n;
    });
  }
  for (std::thread& t : threads) t.join();
  for (const std::uint64_t sum : sums) BOOST_TEST(sum == 4'999'950'000u);
}
