#define BOOST_TEST_MODULE frames
#include "trace/frames.hpp"

#include "trace/modules.hpp"
#include "trace/naming.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <string_view>

namespace {

using namespace gpa::detail;

frame made(std::string_view function, std::string_view file)
{
  frame f;
  f.function = function;
  f.file = file;
  f.line = file.empty() ? 0 : 1;
  return f;
}

}  // namespace

BOOST_AUTO_TEST_CASE(frames_of_the_libraries_are_told_from_the_users)
{
  struct {
    std::string_view function;
    std::string_view file;
    bool library;
  } const table[] = {
      {"main", "/src/app/main.cpp", false},
      {"app::open(int)", "src/app.cpp", false},
      {"app::open(int)", "", false},
      {"void app::list<std::vector<int>>(std::vector<int>)", "", false},
      {"boost::asio::run()", "/opt/boost/include/boost/asio/run.hpp", false},
      {"std::hash<app::user>::operator()(app::user const&) const", "/src/app/user.hpp", false},
      {"gpa_user::open()", "", false},
      {"", "", false},
      {"std::pmr::vector<int>::push_back(int const&)", "/usr/include/c++/12/bits/stl_vector.h", true},
      {"std::vector<int>::at(int)", "/usr/bin/../lib/gcc/x86_64-linux-gnu/12/../../../../include/c++/12/vector", true},
      {"std::vector<int>::push_back(int)", "/usr/lib/llvm-14/bin/../include/c++/v1/vector", true},
      {"void std::pmr::vector<int>::_M_realloc_insert<int>(int)", "", true},
      {"__gnu_cxx::new_allocator<int>::allocate(unsigned long)", "", true},
      {"decltype (::new ((void*)(0)) int(0)) std::construct_at<int, int>(int*, int&&)", "", true},
      // what no demangler could read
      {"_ZZSt5applyIZ4mainEUlvE_", "", true},
      {"_ZNKSt6vectorIiE", "", true},
      {"_ZNSt3pmr", "", true},
      {"_ZN9__gnu_cxx", "", true},
      {"_Z4loadSt6vectorIiE", "", false},
      {"_ZN3appSt", "", false},
      {"_ZZ4mainENKUlvE_clEv", "", false},
      {"boost::asio::run()", "/usr/include/boost/asio/run.hpp", true},
      {"_mm_pause", "/usr/lib/gcc/x86_64-linux-gnu/12/include/xmmintrin.h", true},
      {"_start", "", true},
      {"__libc_start_main", "../csu/libc-start.c", true},
      {"gpa::resource::do_allocate(unsigned long, unsigned long)", "", true},
      {"std::pmr::polymorphic_allocator<int> gpa::resource::allocator<int>()", "/opt/include/gpa/resource.hpp", true},
      {"gpa::resource::do_allocate(unsigned long, unsigned long)", GPA_SOURCE_DIR "/build/../lib/resource.cpp", true},
      {"frames_test::run()", GPA_SOURCE_DIR "/test/frames_test.cpp", false},
      {"gpa::detail::check_it()", GPA_SOURCE_DIR "/test/frames_test.cpp", false},
      // built with its directory mapped away
      {"gpa::detail::core::capture(void const*) const", "/usr/src/gpa/lib/core_calls.cpp", true},
      {"gpa::detail::core::capture(void const*) const", "../../lib/core_calls.cpp", true},
      {"gpa::detail::(anonymous namespace)::step(_Unwind_Context*, void*)", "lib/trace/capture.cpp", true},
      {"gpa::detail::(anonymous namespace)::step(_Unwind_Context*, void*)", "", true},
      {"gpa_on_mistake", "", true},
      // a user's namespace of that name
      {"gpa::student::enrol()", "", false},
      {"gpa::student::enrol()", "/src/school/lib/student.cpp", false},
      {"gpa::detail::average(int)", "/src/school/average.cpp", false},
      {"student::enrol()", "/src/school/lib/student.cpp", false},
  };
  for (const auto& row : table)
    BOOST_TEST_CONTEXT(row.function << ' ' << row.file)
    {
      BOOST_TEST(is_library_frame(made(row.function, row.file), false) == row.library);
      BOOST_TEST(is_library_frame(made(row.function, row.file), true));
    }
}

BOOST_AUTO_TEST_CASE(modules_of_the_system_and_our_own_are_libraries)
{
  for (const std::string_view path : {"/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
                                      "/opt/gcc/lib64/libstdc++.so.6.0.30", "linux-vdso.so.1", "/opt/gpa/libgpa.so.0",
                                      "build/lib/libgpa.so.0.1.0", "/opt/llvm/libclang_rt.asan-x86_64.so"})
    BOOST_TEST_CONTEXT(path) BOOST_TEST(is_library_module(path));
  for (const std::string_view path : {"/usr/local/lib/libapp.so", "/opt/app/lib/libapp.so", "libapp.so", "./libgpadget.so",
                                      "/usr/libapp.so", ""})
    BOOST_TEST_CONTEXT(path) BOOST_TEST(!is_library_module(path));
}

BOOST_AUTO_TEST_CASE(paths_are_shown_as_short_as_they_can_be_opened)
{
  struct {
    std::string_view path;
    std::string_view directory;
    std::string_view shortened;
  } const table[] = {
      {"/src/app/main.cpp", "/src/app", "main.cpp"},
      {"/src/app/lib/a.cpp", "/src/app", "lib/a.cpp"},
      {"/src/app/build/../lib/a.cpp", "/src/app", "lib/a.cpp"},
      {"/src/application/a.cpp", "/src/app", "/src/application/a.cpp"},
      {"/src/app", "/src/app", "/src/app"},
      {"/src/app/a.cpp", "/", "/src/app/a.cpp"},
      {"/src/app/a.cpp", "", "/src/app/a.cpp"},
      {"/src//app/./a.cpp", "/src", "app/a.cpp"},
      {"/../../a.cpp", "/src", "/a.cpp"},
      {"../lib/a.cpp", "/src", "../lib/a.cpp"},
      {"../../lib/a.cpp", "/src", "../../lib/a.cpp"},
      {"./a.cpp", "/src", "a.cpp"},
      {"a/../../b.cpp", "/src", "../b.cpp"},
      {"a/b/../c.cpp", "/src", "a/c.cpp"},
      {"/", "/src", "/"},
      {"", "/src", ""},
  };
  for (const auto& row : table)
    BOOST_TEST_CONTEXT(row.path << " in " << row.directory)
      BOOST_TEST(std::string_view(shortened_path(row.path, row.directory)) == row.shortened);
}

// A path may hold anything but '/' and 0. A line break in one would begin a line of its own, a report of nobody's.
BOOST_AUTO_TEST_CASE(a_shown_path_has_no_control_characters)
{
  BOOST_TEST(std::string_view(shown_path("/src/a\n\x1B[31mb\x7F.cpp", "/src")) == "a??[31mb?.cpp");
  BOOST_TEST(std::string_view(shown_path("/src/\xC2\x9B"
                                         "31m/gr\xC3\xBC\xC3\x9F.cpp",
                                         "/src")) == "??31m/gr\xC3\xBC\xC3\x9F.cpp");
}

BOOST_AUTO_TEST_CASE(the_current_directory_is_absolute)
{
  BOOST_TEST(current_directory().starts_with('/'));
}

BOOST_AUTO_TEST_CASE(a_report_is_about_the_first_frame_of_the_users)
{
  frame_list frames;
  BOOST_TEST(first_worth_showing(frames) == nullptr);
  frames.push_back(made("", ""));
  frames.back().library = true;
  BOOST_TEST(first_worth_showing(frames) == &frames[0]);
  frames.push_back(made("std::sort()", "/usr/include/c++/12/a.h"));
  frames.back().library = true;
  BOOST_TEST(first_worth_showing(frames) == &frames[1]);
  frames.push_back(made("app::without_line()", ""));
  BOOST_TEST(first_worth_showing(frames) == &frames[2]);
  frames.push_back(made("app::with_line()", "a.cpp"));
  BOOST_TEST(first_worth_showing(frames) == &frames[3]);
  frames.push_back(made("main", "a.cpp"));
  BOOST_TEST(first_worth_showing(frames) == &frames[3]);
}

BOOST_AUTO_TEST_CASE(a_stack_is_read_up_to_main)
{
  frame_list frames;
  frames.push_back(made("app::main(int)", "a.cpp"));
  frames.push_back(made("main", "a.cpp"));
  frames.push_back(made("__libc_start_main", ""));
  BOOST_TEST(frames_to_main(frames) == 2u);
  frames.erase(frames.begin() + 1);
  BOOST_TEST(frames_to_main(frames) == 2u);
  BOOST_TEST(frames_to_main({}) == 0u);
}
