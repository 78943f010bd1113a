#define BOOST_TEST_MODULE capture
#include "trace/capture.hpp"

#include "support/oracle.hpp"
#include "support/outcome.hpp"
#include "support/resident.hpp"
#include "trace/depot.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory_resource>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace gpa::detail;
using gpa::test::number;
using gpa::test::oracle;
using gpa::test::stack;
using gpa::test::take;
using gpa::test::taken;

// Takes a stack at every allocation; stands where gpa::resource will.
class recorder final : public std::pmr::memory_resource {
 public:
  taken last;

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override
  {
    last = take();
    return std::pmr::new_delete_resource()->allocate(bytes, alignment);
  }
  void do_deallocate(void* p, std::size_t bytes, std::size_t alignment) override
  {
    std::pmr::new_delete_resource()->deallocate(p, bytes, alignment);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

void test_is_complete(const taken& t)
{
  BOOST_TEST(!t.expected.empty());
  BOOST_TEST(t.captured == t.expected, boost::test_tools::per_element());
}

bool has(const stack& s, std::uintptr_t return_address)
{
  return std::find(s.begin(), s.end(), return_address) != s.end();
}

// Both return where they return to, which a complete stack has as the frame around what stands in between.
[[gnu::noinline]] std::uintptr_t allocate_from(std::pmr::memory_resource& r)
{
  void* const p = r.allocate(100);
  r.deallocate(p, 100);
  return number(__builtin_return_address(0));
}

taken inside_comparison;
[[gnu::noinline]] std::uintptr_t sort_two_numbers()
{
  std::array<int, 2> numbers = {2, 1};
  std::qsort(numbers.data(), numbers.size(), sizeof(int), [](const void* a, const void* b) {
    inside_comparison = take();
    return *static_cast<const int*>(a) - *static_cast<const int*>(b);
  });
  return number(__builtin_return_address(0));
}

// Not tail calls: the frames in between are what is tested.
[[gnu::noinline]] taken recurse(unsigned depth)
{
  taken t = depth == 0 ? take() : recurse(depth - 1);
  t.captured.shrink_to_fit();
  return t;
}

[[gnu::noinline]] taken with_a_variable_frame(std::size_t bytes)
{
  char* const room = static_cast<char*>(__builtin_alloca(bytes));
  room[0] = 1;
  taken t = take();
  room[bytes - 1] = room[0];
  return t;
}

[[gnu::noinline]] std::uint32_t capture_without_caller(std::size_t frames, stack& all)
{
  const std::uint32_t id = capture_stack(frames, nullptr);
  all = oracle();
  return id;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_stack_begins_with_the_caller_and_equals_the_unwinders)
{
  const taken t = take();
  test_is_complete(t);
  BOOST_TEST(t.captured.size() > 2u);
}

BOOST_AUTO_TEST_CASE(recursion_shows_every_call)
{
  const taken shallow = recurse(3);
  const taken deep = recurse(20);
  test_is_complete(shallow);
  test_is_complete(deep);
  BOOST_TEST(shallow.captured.size() < deep.captured.size());
}

BOOST_AUTO_TEST_CASE(a_stack_is_cut_at_the_number_of_frames)
{
  for (const std::size_t frames : {std::size_t{1}, std::size_t{2}, std::size_t{5}}) {
    const taken t = take(frames);
    BOOST_TEST(t.captured.size() == frames);
    BOOST_TEST(std::equal(t.captured.begin(), t.captured.end(), t.expected.begin()));
  }
  BOOST_TEST(recurse(1'000).captured.size() == max_stack_frames);
  const std::uint32_t many = capture_stack(max_stack_frames + 1'000, nullptr);
  BOOST_TEST(depot_frames(many).size() <= max_stack_frames);
}

BOOST_AUTO_TEST_CASE(no_frames_are_no_stack)
{
  BOOST_TEST(capture_stack(0, __builtin_return_address(0)) == 0u);
}

BOOST_AUTO_TEST_CASE(a_caller_that_is_not_met_leaves_all_frames_but_the_captures_own)
{
  stack all;
  const auto found = depot_frames(capture_without_caller(max_stack_frames, all));
  // The unwinder's list begins with oracle() itself; then one call further down in the same function.
  BOOST_REQUIRE(found.size() + 1 == all.size());
  BOOST_TEST(std::equal(found.begin() + 1, found.end(), all.begin() + 2, all.end()));
  BOOST_TEST(depot_frames(capture_without_caller(2, all)).size() == 2u);
}

// What looks like a front door that was inlined, or left by a jump: its return address stands nowhere in the stack.
BOOST_AUTO_TEST_CASE(a_caller_that_should_be_there_and_is_not_costs_no_frames_of_the_users)
{
  int nowhere = 0;
  const stack all = oracle();
  for (const std::size_t frames : {std::size_t{1}, std::size_t{2}, std::size_t{32}}) {
    const auto found = depot_frames(capture_stack(frames, &nowhere));
    // This function's own frame stands first in both, at another call.
    const std::size_t expected = std::min(frames + most_own_frames, all.size() - 1);
    BOOST_TEST_REQUIRE(found.size() == expected);
    BOOST_TEST(std::equal(found.begin() + 1, found.end(), all.begin() + 2));
  }
}

BOOST_AUTO_TEST_CASE(the_same_place_has_the_same_number)
{
  std::array<std::uint32_t, 3> ids{};
  for (std::size_t i = 0; i != ids.size(); ++i) {
    asm volatile("" : "+r"(i));  // not unrolled into three calls
    ids[i] = capture_stack(32, nullptr);
  }
  BOOST_TEST(ids[0] != 0u);
  BOOST_TEST(ids[0] == ids[1]);
  BOOST_TEST(ids[1] == ids[2]);
}

BOOST_AUTO_TEST_CASE(a_stack_in_a_thread_is_complete)
{
  taken t;
  std::thread([&t] { t = recurse(3); }).join();
  test_is_complete(t);
}

BOOST_AUTO_TEST_CASE(many_threads_capture_at_once)
{
  std::vector<taken> all(4);
  std::vector<std::thread> threads;
  for (taken& t : all)
    threads.emplace_back([&t] {
      for (unsigned i = 0; i != 200; ++i) t = recurse(i % 10);
    });
  for (std::thread& t : threads) t.join();
  for (const taken& t : all) test_is_complete(t);
}

BOOST_AUTO_TEST_CASE(frames_of_variable_size_are_walked_over)
{
  for (const std::size_t bytes : {std::size_t{16}, std::size_t{1'000}, std::size_t{60'000}})
    test_is_complete(with_a_variable_frame(bytes));
}

BOOST_AUTO_TEST_CASE(a_callback_of_the_c_library_shows_who_called_the_c_library)
{
  const std::uintptr_t around = sort_two_numbers();
  test_is_complete(inside_comparison);
  BOOST_TEST(has(inside_comparison.captured, around));
}

// libstdc++ is built without frame pointers: a walk along them loses exactly these lines.
BOOST_AUTO_TEST_CASE(a_monotonic_buffer_in_between_hides_nobody)
{
  recorder r;
  std::pmr::monotonic_buffer_resource buffer(&r);
  const std::uintptr_t around = allocate_from(buffer);
  test_is_complete(r.last);
  BOOST_TEST(has(r.last.captured, around));
}

BOOST_AUTO_TEST_CASE(a_pool_in_between_hides_nobody)
{
  recorder r;
  std::pmr::unsynchronized_pool_resource pool(&r);
  const std::uintptr_t around = allocate_from(pool);
  test_is_complete(r.last);
  BOOST_TEST(has(r.last.captured, around));
}

BOOST_AUTO_TEST_CASE(every_stack_of_a_mixed_workload_equals_the_unwinders_however_the_program_is_built)
{
  using gpa::test::beside_this;
  for (const char* const built : {"plain", "optimised", "whole", "guarded"}) {
    const auto o = gpa::test::outcome_of_program({beside_this("programs/every_stack_" + std::string(built))});
    BOOST_TEST_CONTEXT(o)
    {
      BOOST_TEST(o.status == 0);
      if (!gpa::test::sanitized) BOOST_TEST(o.err == "");  // ASan says that it does not care for fibers
      BOOST_TEST(o.out.ends_with(" captures, 0 differed\n"));
      BOOST_TEST(std::atol(o.out.c_str()) > 100'000);
    }
  }
}
