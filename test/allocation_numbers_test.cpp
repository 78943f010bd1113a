// Numbers of allocations in logs and reports, and GPA_OPTIONS=break_at.
#define BOOST_TEST_MODULE allocation_numbers
#include <gpa/resource.hpp>

#include "support/not_run.hpp"
#include "support/accomplices.hpp"
#include "support/breakpoint.hpp"
#include "support/governed.hpp"

#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace gpa::test;

constexpr auto carry_on = gpa::after_mistake::carry_on;
constexpr std::string_view stopped = "<stopped in gpa_on_mistake>\n";

// The numbers of what `work` is told, in a child whose log goes nowhere.
template <class Work>
std::string numbers_told(const std::string& options, Work work)
{
  return under(options + ":log_path=/dev/null",
               [&work] {
                 std::string numbers;
                 gpa::resource r(
                     {.checks = gpa::checks::always(), .after_mistake = carry_on, .on_report = [&](const auto& told) {
                        numbers += std::string(gpa::to_string(told.kind)) + ' ' + std::to_string(told.number) + '\n';
                      }});
                 work(r);
                 static_cast<void>(::write(STDOUT_FILENO, numbers.data(), numbers.size()));
                 r.release();
               })
      .out;
}

// The second of three is freed twice, the third leaks.
void blunders(gpa::resource& r)
{
  void* const first = r.allocate(24);
  void* const second = r.allocate(40);
  static_cast<void>(r.allocate(56));
  r.deallocate(second, 40);
  r.deallocate(second, 40);
  r.deallocate(first, 23);
  r.deallocate(first, 24);
  r.deallocate(reinterpret_cast<void*>(16), 1);
  r.detect_leaks();
}

}  // namespace

BOOST_AUTO_TEST_CASE(reports_have_the_number_of_the_blocks_allocation_where_numbers_are_kept)
{
  const std::string_view with = "double free 2\nsize mismatch 1\ninvalid pointer 0\nleak 3\n";
  const std::string_view without = "double free 0\nsize mismatch 0\ninvalid pointer 0\nleak 0\n";
  BOOST_TEST(numbers_told("log_operations=1", blunders) == with);
  BOOST_TEST(numbers_told("break_at=1000", blunders) == with);
  BOOST_TEST(numbers_told("break_at=0", blunders) == without);
  BOOST_TEST(numbers_told("", blunders) == without);
}

BOOST_AUTO_TEST_CASE(blocks_of_every_size_have_numbers_and_an_address_that_comes_again_a_new_one)
{
  BOOST_TEST(numbers_told("break_at=1000:quarantine_bytes=0", [](gpa::resource& r) {
               for (int i = 0; i != 100; ++i) r.deallocate(r.allocate(24), 24);
               static_cast<void>(r.try_allocate(24));
               static_cast<void>(r.allocate(200'000));
               r.detect_leaks();
             }) == "leak 102\nleak 101\n");  // most bytes first
}

BOOST_AUTO_TEST_CASE(a_refused_allocation_has_its_number_too)
{
  BOOST_TEST(numbers_told("break_at=1000:memory_limit=100", [](gpa::resource& r) {
               static_cast<void>(r.try_allocate(200));
               static_cast<void>(r.try_allocate(24));
               r.detect_leaks();
             }) == "leak 2\n");
}

BOOST_AUTO_TEST_CASE(each_resource_counts_for_itself)
{
  BOOST_TEST(numbers_told("break_at=1000", [](gpa::resource& r) {
               gpa::resource other({.checks = gpa::checks::always()});
               for (int i = 0; i != 3; ++i) other.deallocate(other.allocate(24), 24);
               static_cast<void>(r.allocate(24));
               r.detect_leaks();
             }) == "leak 1\n");
}

BOOST_AUTO_TEST_CASE(break_at_stops_in_gpa_on_mistake_at_that_allocation_and_nowhere_else)
{
  const auto work = [] {
    gpa::resource r({.name = "stopping"});
    if (!set_breakpoint()) ::_exit(77);
    for (const std::size_t bytes : {24U, 40U, 56U}) r.deallocate(obtain(r, bytes), bytes);
  };
  const outcome o = under("break_at=2", work);
  if (o.status == 77) {
    gpa::test::not_run_here("code pages cannot be made writable here");
    return;
  }
  BOOST_TEST(o.err == "gpa: resource \"stopping\": break_at: allocation no. 2, of 40 bytes aligned to 16\n" +
                          std::string(stopped));
  BOOST_TEST(under("break_at=4", work).err == "");
  BOOST_TEST(under("", work).err == "");
}

BOOST_AUTO_TEST_CASE(the_number_a_report_prints_is_the_one_to_stop_at)
{
  const auto work = [] {
    gpa::resource r({.checks = gpa::checks::always()});
    static_cast<void>(obtain(r, 24));
    r.deallocate(obtain(r, 40), 40);
    r.deallocate(obtain(r, 40), 40);
    static_cast<void>(obtain(r, 56));
  };
  const outcome logged = under("log_operations=1", work);
  BOOST_TEST_CONTEXT(logged) BOOST_TEST(logged.says("    allocation no. 4; GPA_OPTIONS=break_at=4 stops there\n"));
  BOOST_TEST(under("break_at=4", work).says("break_at: allocation no. 4, of 56 bytes"));
}
