#define BOOST_TEST_MODULE symbolize
#include "trace/symbolize.hpp"

#include "support/debug_lines.hpp"
#include "support/not_run.hpp"

#include <dlfcn.h>
#include <gnu/libc-version.h>

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory_resource>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using namespace gpa::detail;

std::uintptr_t number(const void* p)
{
  return reinterpret_cast<std::uintptr_t>(p);
}

frame_list named(std::uintptr_t return_address)
{
  return symbolize({&return_address, 1});
}

// The address this returns to, that is: inside its caller.
[[gnu::noinline]] std::uintptr_t here()
{
  asm volatile("" ::: "memory");  // two calls are two places
  return number(__builtin_return_address(0));
}

// After a call of here(): what is called last may be jumped to, and then returns somewhere else.
[[gnu::always_inline]] inline void stay()
{
  asm volatile("" ::: "memory");
}

bool ends_with_this_file(const frame& f)
{
  return std::string_view(f.file).ends_with("symbolize_test.cpp");
}

boost::test_tools::assertion_result lines_are_known(boost::unit_test::test_unit_id)
{
  return gpa::test::runs_if(gpa::test::has_debug_lines(), "needs libdw and debug information");
}

struct place {
  std::uintptr_t address = 0;
  std::uint32_t line = 0;
};

}  // namespace

namespace app {

[[gnu::noinline]] place outer_function(int)
{
  const std::uintptr_t address = here();
  stay();
  return {address, __LINE__ - 2};
}

namespace {

[[gnu::noinline]] place hidden_function(int)
{
  const std::uintptr_t address = here();
  stay();
  return {address, __LINE__ - 2};
}

[[gnu::always_inline]] inline std::uintptr_t inlined_function()
{
  const std::uintptr_t address = here();
  stay();
  return address;
}

}  // namespace

[[gnu::noinline]] place outer_of_inlined()
{
  const std::uintptr_t address =
      inlined_function();
  return {address, __LINE__ - 1};
}

struct session {
  [[gnu::noinline]] std::uintptr_t open(const std::pmr::vector<std::pmr::string>&)
  {
    const std::uintptr_t address = here();
    stay();
    return address;
  }
};

std::uintptr_t noted_caller = 0;
[[gnu::noinline]] void note_caller(int)
{
  noted_caller = number(__builtin_return_address(0));
}

}  // namespace app

BOOST_AUTO_TEST_CASE(no_addresses_are_no_frames)
{
  BOOST_TEST(symbolize({}).empty());
}

BOOST_AUTO_TEST_CASE(an_address_of_no_module_is_a_frame_without_a_name)
{
  const frame_list frames = named(0x1001);
  BOOST_REQUIRE(frames.size() == 1u);
  BOOST_TEST(frames[0].address == 0x1000u);
  BOOST_TEST(frames[0].function.empty());
  BOOST_TEST(frames[0].module.empty());
  BOOST_TEST(!frames[0].library);
}

BOOST_AUTO_TEST_CASE(every_frame_knows_its_module_and_the_offset_in_it)
{
  const frame_list frames = named(app::outer_function(1).address);
  BOOST_REQUIRE(!frames.empty());
  BOOST_TEST(std::string_view(frames.back().module).ends_with("symbolize_test"));
  BOOST_TEST(frames.back().offset != 0u);
  BOOST_TEST(frames.back().offset < std::size_t{1} << 30);
  BOOST_TEST(!frames.back().library);
}

BOOST_AUTO_TEST_CASE(a_return_address_is_named_by_the_line_of_its_call, *boost::unit_test::precondition(lines_are_known))
{
  const place p = app::outer_function(1);
  const frame_list frames = named(p.address);
  BOOST_REQUIRE(frames.size() == 1u);
  BOOST_TEST(frames[0].address == p.address - 1);
  BOOST_TEST(std::string_view(frames[0].function) == "app::outer_function(int)");
  BOOST_TEST(ends_with_this_file(frames[0]));
  BOOST_TEST(frames[0].line == p.line);
  BOOST_TEST(frames[0].column != 0u);
  BOOST_TEST(!frames[0].inlined);
}

BOOST_AUTO_TEST_CASE(a_static_function_has_its_namespaces, *boost::unit_test::precondition(lines_are_known))
{
  const place p = app::hidden_function(1);
  const frame_list frames = named(p.address);
  BOOST_REQUIRE(frames.size() == 1u);
  BOOST_TEST(std::string_view(frames[0].function).starts_with("app::(anonymous namespace)::hidden_function"));
  BOOST_TEST(frames[0].line == p.line);
}

BOOST_AUTO_TEST_CASE(an_inlined_function_has_a_frame_of_its_own, *boost::unit_test::precondition(lines_are_known))
{
  const place p = app::outer_of_inlined();
  const frame_list frames = named(p.address);
  BOOST_REQUIRE(frames.size() == 2u);
  BOOST_TEST(frames[0].inlined);
  BOOST_TEST(std::string_view(frames[0].function).starts_with("app::(anonymous namespace)::inlined_function"));
  BOOST_TEST(frames[0].column != 0u);
  BOOST_TEST(!frames[1].inlined);
  BOOST_TEST(std::string_view(frames[1].function) == "app::outer_of_inlined()");
  BOOST_TEST(frames[1].line == p.line);
  BOOST_TEST((frames[1].column == 7u || frames[1].column == 23u));  // the call's name or its parenthesis
  BOOST_TEST(frames[0].address == frames[1].address);
}

BOOST_AUTO_TEST_CASE(a_member_function_has_a_readable_name, *boost::unit_test::precondition(lines_are_known))
{
  const frame_list frames = named(app::session{}.open({}));
  BOOST_REQUIRE(!frames.empty());
  BOOST_TEST(std::string_view(frames.back().function) ==
             "app::session::open(std::pmr::vector<std::pmr::string> const&)");
}

BOOST_AUTO_TEST_CASE(a_lambda_is_named_after_the_function_around_it, *boost::unit_test::precondition(lines_are_known))
{
  static std::uintptr_t address;
  std::array<int, 2> numbers = {2, 1};
  std::qsort(numbers.data(), numbers.size(), sizeof(int), [](const void*, const void*) {
    address = here();
    stay();
    return 0;
  });
  const frame_list frames = named(address);
  BOOST_REQUIRE(!frames.empty());
  BOOST_TEST_CONTEXT(frames[0].function)
  {
    BOOST_TEST(frames[0].function.find("a_lambda_is_named") != metadata_string::npos);
    BOOST_TEST(frames[0].function.find("lambda") != metadata_string::npos);
  }
}

// Whose symbol c++filt does not understand either, as g++ 12 writes it.
BOOST_AUTO_TEST_CASE(a_lambda_that_takes_any_arguments_is_named_too, *boost::unit_test::precondition(lines_are_known))
{
  const auto any = [](auto... arguments) {
    const std::uintptr_t address = here();
    stay();
    return address + 0 * sizeof...(arguments);
  };
  const frame_list frames = named(any(std::pmr::polymorphic_allocator<>()));
  BOOST_REQUIRE(!frames.empty());
  const std::string name(frames[0].function);
  BOOST_TEST_CONTEXT(name)
  {
    BOOST_TEST(!name.starts_with("_Z"));
    BOOST_TEST(name.find("operator()<std::pmr::polymorphic_allocator<std::byte>>") != std::string::npos);
  }
}

BOOST_AUTO_TEST_CASE(a_function_of_the_standard_library_is_a_library_frame,
                     *boost::unit_test::precondition(lines_are_known))
{
  // Instantiated in this program: the file of the header tells.
  const std::array<int, 1> one = {1};
  std::for_each(one.begin(), one.end(), app::note_caller);
  const frame_list frames = named(app::noted_caller);
  BOOST_REQUIRE(!frames.empty());
  BOOST_TEST(frames[0].function.find("for_each") != metadata_string::npos);
  BOOST_TEST(frames[0].library);
}

BOOST_AUTO_TEST_CASE(a_system_library_is_named_by_its_symbols)
{
  // A function no sanitizer replaces.
  const frame_list frames = named(number(reinterpret_cast<const void*>(&::gnu_get_libc_version)) + 2);
  BOOST_REQUIRE(frames.size() == 1u);
  BOOST_TEST(std::string_view(frames[0].function) == "gnu_get_libc_version");
  BOOST_TEST(frames[0].module.find("libc.so") != metadata_string::npos);
  BOOST_TEST(frames[0].library);
  BOOST_TEST(frames[0].file.empty());
}

BOOST_AUTO_TEST_CASE(a_library_loaded_after_the_first_report_is_named_too)
{
  BOOST_REQUIRE(!named(app::outer_function(1).address).empty());
  void* const library = ::dlopen("libresolv.so.2", RTLD_NOW | RTLD_LOCAL);
  BOOST_REQUIRE(library != nullptr);
  const frame_list frames = named(number(::dlsym(library, "ns_get16")) + 2);
  BOOST_REQUIRE(frames.size() == 1u);
  BOOST_TEST(frames[0].module.find("libresolv") != metadata_string::npos);
  ::dlclose(library);
  BOOST_TEST(!named(app::outer_function(1).address).empty());
}

BOOST_AUTO_TEST_CASE(threads_that_ask_at_once_get_the_same_answers)
{
  std::vector<std::uintptr_t> addresses;
  for (int i = 0; i != 3; ++i)
    addresses.insert(addresses.end(), {app::outer_function(i).address, app::outer_of_inlined().address});
  const frame_list expected = symbolize(addresses);
  const auto same = [](const frame& a, const frame& b) {
    return a.address == b.address && a.function == b.function && a.file == b.file && a.line == b.line &&
           a.column == b.column && a.inlined == b.inlined;
  };
  std::array<int, 4> wrong{};
  std::vector<std::thread> threads;
  for (int& w : wrong) {
    threads.emplace_back([&] {
      for (int i = 0; i != 10; ++i) {
        const frame_list got = symbolize(addresses);
        if (!std::equal(got.begin(), got.end(), expected.begin(), expected.end(), same)) ++w;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  for (const int w : wrong) BOOST_TEST(w == 0);
}
