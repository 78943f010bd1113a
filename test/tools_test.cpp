#define BOOST_TEST_MODULE tools
#include <array>
#include <boost/test/unit_test.hpp>
#include <cstddef>

#include "base/attributes.hpp"
#include "base/bits.hpp"
#include "base/tools.hpp"
#include "os/pages.hpp"

#if GPA_HAVE_VALGRIND
#include <valgrind/memcheck.h>
#endif

extern "C" __attribute__((weak)) int __asan_address_is_poisoned(const volatile void* p);

namespace {

using namespace gpa::detail;

bool on_asan() { return __asan_address_is_poisoned != nullptr; }

bool on_valgrind()
{
#if GPA_HAVE_VALGRIND
  return RUNNING_ON_VALGRIND != 0;
#else
  return false;
#endif
}

/// Whether the tool that is here, if any, takes `p` for out of bounds.
bool is_closed([[maybe_unused]] const std::byte* p)
{
  if (on_asan()) return __asan_address_is_poisoned(p) != 0;
#if GPA_HAVE_VALGRIND
  const tools_quiet quiet;
  return VALGRIND_CHECK_MEM_IS_ADDRESSABLE(p, 1) != 0;
#else
  return false;
#endif
}

GPA_NO_SANITIZE GPA_NOINLINE std::byte read_closed(const volatile std::byte* p)
{
  const tools_quiet quiet;
  return *p;
}

struct fixture {
  const bool tool = on_asan() || on_valgrind();
  alignas(64) std::array<std::byte, 256> bytes{};
  ~fixture() { tools_open(bytes.data(), bytes.size()); }
};

}  // namespace

BOOST_AUTO_TEST_CASE(tools_are_present_exactly_when_they_are)
{
  BOOST_TEST(tools_present() == (on_asan() || on_valgrind()));
  BOOST_TEST(tools_present() == (on_asan() || on_valgrind()));  // the first answer is remembered
}

// Without a tool the cases below show that nothing happens and nothing is needed.

BOOST_FIXTURE_TEST_CASE(closed_bytes_are_closed_to_the_tool_until_opened, fixture)
{
  tools_close(&bytes[64], 128);
  BOOST_TEST(!is_closed(&bytes[63]));
  BOOST_TEST(is_closed(&bytes[64]) == tool);
  BOOST_TEST(is_closed(&bytes[191]) == tool);
  BOOST_TEST(!is_closed(&bytes[192]));

  tools_open(&bytes[64], 64);
  BOOST_TEST(!is_closed(&bytes[127]));
  BOOST_TEST(is_closed(&bytes[128]) == tool);
}

BOOST_FIXTURE_TEST_CASE(slack_is_closed_from_the_first_byte_behind_a_block, fixture)
{
  tools_close(&bytes[24 + 5], 64 - 24 - 5);
  BOOST_TEST(!is_closed(&bytes[28]));
  BOOST_TEST(is_closed(&bytes[29]) == tool);
  BOOST_TEST(is_closed(&bytes[63]) == tool);
}

BOOST_FIXTURE_TEST_CASE(gpa_reads_what_is_closed_without_a_report, fixture)
{
  bytes[100] = std::byte{42};
  tools_close(bytes.data(), bytes.size());
  BOOST_TEST((read_closed(&bytes[100]) == std::byte{42}));
}

BOOST_FIXTURE_TEST_CASE(a_pool_opens_what_it_hands_out_and_valgrind_closes_what_comes_back, fixture)
{
  tools_close(bytes.data(), bytes.size());
  tools_create_pool(this);
  tools_pool_allocate(this, &bytes[64], 64);
  BOOST_TEST(!is_closed(&bytes[64]));
  BOOST_TEST(!is_closed(&bytes[127]));
  BOOST_TEST(is_closed(&bytes[128]) == tool);
  tools_pool_free(this, &bytes[64]);
  BOOST_TEST(is_closed(&bytes[64]) == on_valgrind());
  tools_destroy_pool(this);
}

BOOST_AUTO_TEST_CASE(addresses_given_back_to_the_system_are_open_for_whoever_gets_them_next)
{
  auto* const p = static_cast<std::byte*>(map_pages(granule_size));
  BOOST_REQUIRE(p != nullptr);
  tools_close(p, granule_size);
  unmap_pages(p, granule_size);
  if (on_valgrind()) return;  // it closes what is unmapped, as it should
  BOOST_TEST(!is_closed(p));
}
