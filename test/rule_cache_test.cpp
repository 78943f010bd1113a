#define BOOST_TEST_MODULE rule_cache
#include "trace/rule_cache.hpp"

#include "support/oracle.hpp"
#include "support/outcome.hpp"
#include "support/resident.hpp"
#include "trace/stack_cache.hpp"

#include <dlfcn.h>
#include <sys/mman.h>

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace gpa::detail;
using gpa::test::beside_this;
using gpa::test::number;
using gpa::test::oracle;
using gpa::test::stack;
using gpa::test::taken;

const std::string small_frame = beside_this("programs/calls_back_small.so");
const std::string large_frame = beside_this("programs/calls_back_large.so");
const std::string nameless = beside_this("programs/calls_back_nameless.so");  // without a build id
const std::string other_nameless = beside_this("programs/calls_back_other_nameless.so");

const std::string untabled = beside_this("programs/calls_back_untabled.so");

using call_back = void(void (*)(), int*);

struct library {
  void* handle;
  call_back* function;

  explicit library(const std::string& path) : handle(::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL))
  {
    BOOST_TEST_REQUIRE(handle != nullptr);
    function = reinterpret_cast<call_back*>(::dlsym(handle, "call_back"));
  }
  ~library() { ::dlclose(handle); }
  library(const library&) = delete;
  library& operator=(const library&) = delete;
};

struct observation {
  std::uintptr_t return_address = 0;  // in the library
  std::uintptr_t place = 0;           // of the frame inside
  std::vector<taken> stacks;
};
observation seen;

[[gnu::noinline]] void observe()
{
  seen.return_address = number(__builtin_return_address(0));
  seen.place = number(__builtin_frame_address(0));
  for (int i = 0; i != 3; ++i) {
    asm volatile("" : "+r"(i));  // one call, so that it is known the second time
    seen.stacks.push_back(gpa::test::take());
  }
}

[[gnu::noinline]] observation call_through(const std::string& path)
{
  seen = {};
  int calls = 0;
  const library l(path);
  l.function(observe, &calls);
  BOOST_TEST(calls == 1);
  return seen;
}

void test_is_right(const observation& o)
{
  for (const taken& t : o.stacks) {
    BOOST_TEST(t.captured.size() > 3u);
    BOOST_TEST(t.captured == t.expected, boost::test_tools::per_element());
  }
}

// The stack at the call may be laid out otherwise each time; what must not happen is the same return address with the
// frame of the library before.
[[gnu::noinline]] void swap_libraries(const std::string& one, const std::string& other)
{
  observation before;
  std::size_t at_one_address = 0;
  for (int i = 0; i != 20; ++i) {
    const observation now = call_through(i % 2 == 0 ? one : other);
    test_is_right(now);
    if (i != 0 && now.return_address == before.return_address) {
      ++at_one_address;
      BOOST_TEST(now.place != before.place);
    }
    before = now;
  }
  if (!gpa::test::sanitized) BOOST_TEST(at_one_address != 0u, "the loader found other places: nothing was tested");
}

struct with_stack_cache {
  with_stack_cache() { begin_stack_cache(); }
  ~with_stack_cache() { end_stack_cache(); }
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_rule_is_what_the_tables_say_and_stays_so)
{
  const stack here = oracle();
  for (const std::uintptr_t pc : here) {
    const unwind_rule told = read_rule(code_image::around(pc), pc);
    rule_reader first;
    const unwind_rule found = first.rule_of(pc);
    rule_reader second;
    BOOST_TEST((second.rule_of(pc) == found));
    BOOST_TEST((found.with_module(0) == told));
    BOOST_TEST((found.module() == permanent_module) == code_image::around(pc).is_permanent());
  }
}

// Until then it uses a sixteenth of the table, as small programs do.
BOOST_AUTO_TEST_CASE(a_program_of_many_calls_uses_the_whole_table)
{
  const std::uintptr_t first = number(reinterpret_cast<const void*>(&call_through));
  for (int pass = 0; pass != 2; ++pass)
    for (std::uintptr_t pc = first; pc != first + 4 * first_rule_slots; pc += 4) {
      rule_reader rules;
      BOOST_TEST((rules.rule_of(pc) == read_rule(code_image::around(pc), pc)));
    }
  BOOST_TEST(rule_reader::slots_in_use() == rule_slots);
}

// As code that a program wrote itself is for libgcc, without tables of its own.
BOOST_AUTO_TEST_CASE(an_address_of_no_module_ends_the_stack_and_is_not_kept)
{
  int local = 0;
  rule_reader rules;
  const unwind_rule rule = rules.rule_of(number(&local));
  BOOST_TEST((rule.base() == cfa_base::lost));
  BOOST_TEST(rule.module() == fleeting_module);
}

BOOST_AUTO_TEST_CASE(the_program_and_the_libraries_gpa_needs_are_permanent)
{
  BOOST_TEST(code_image::around(number(reinterpret_cast<const void*>(&call_through))).is_permanent());
  const stack all = oracle();  // ends in the C library, which called main(), and in the program's start
  BOOST_TEST_REQUIRE(all.size() > 3u);
  BOOST_TEST(code_image::around(all[all.size() - 2]).is_permanent());
  BOOST_TEST(code_image::around(all.back()).is_permanent());
  BOOST_TEST((code_image::around(all[all.size() - 2]) != code_image::around(all.back())));
  const library l(small_frame);
  const code_image passing = code_image::around(number(reinterpret_cast<const void*>(l.function)));
  BOOST_TEST(!passing.empty());
  BOOST_TEST(!passing.is_permanent());
  BOOST_TEST(!passing.build_id().empty());
  const library n(nameless);
  BOOST_TEST(code_image::around(number(reinterpret_cast<const void*>(n.function))).build_id().empty());
}

BOOST_FIXTURE_TEST_CASE(a_library_in_the_place_of_another_has_its_own_frames, with_stack_cache)
{
  swap_libraries(small_frame, large_frame);
}

BOOST_FIXTURE_TEST_CASE(libraries_without_a_build_id_are_told_apart_too, with_stack_cache)
{
  swap_libraries(nameless, other_nameless);
}

BOOST_AUTO_TEST_CASE(walks_without_a_stack_cache_see_what_is_loaded_now)
{
  swap_libraries(small_frame, large_frame);
}

// As the unwinder's: with the frame that has no tables, and not beyond it.
BOOST_FIXTURE_TEST_CASE(a_frame_without_unwind_tables_is_the_last, with_stack_cache)
{
  for (int i = 0; i != 3; ++i) {
    const observation o = call_through(untabled);
    BOOST_TEST(o.stacks.size() == 3u);
    for (const taken& t : o.stacks) {
      BOOST_TEST(t.captured == t.expected, boost::test_tools::per_element());
      BOOST_TEST_REQUIRE(!t.captured.empty());
      BOOST_TEST(t.captured.back() == o.return_address);
    }
  }
}

BOOST_FIXTURE_TEST_CASE(a_library_loaded_again_is_recognised, with_stack_cache)
{
  for (int i = 0; i != 10; ++i) test_is_right(call_through(small_frame));
}

BOOST_AUTO_TEST_CASE(many_threads_read_the_same_rules_at_once)
{
  std::array<observation, 4> all;
  std::vector<std::thread> threads;
  for (observation& o : all)
    threads.emplace_back([&o] {
      begin_stack_cache();
      for (int i = 0; i != 100; ++i) {
        o.stacks.clear();
        for (int j = 0; j != 2; ++j) o.stacks.push_back(gpa::test::take());
      }
      end_stack_cache();
    });
  for (std::thread& t : threads) t.join();
  for (const observation& o : all) test_is_right(o);
}
