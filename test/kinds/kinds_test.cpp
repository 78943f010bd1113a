#define BOOST_TEST_MODULE kinds
#include "trace/capture.hpp"
#include "trace/depot.hpp"
#include "trace/symbolize.hpp"

#include <dlfcn.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace gpa::detail;

// Beside this program: kind_<name>.so, one for each way to compile kind.cpp.
std::vector<std::filesystem::path> kinds()
{
  std::vector<std::filesystem::path> found;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".so" && entry.path().filename().string().find("kind_") != std::string::npos)
      found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

std::uint32_t noted = 0;
int note()
{
  noted = capture_stack(3, __builtin_return_address(0));
  return 1;
}

frame_list frames_of(const std::filesystem::path& kind)
{
  void* const library = ::dlopen(kind.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return {};
  const auto call = reinterpret_cast<int (*)(int (*)())>(::dlsym(library, "gpa_kind"));
  noted = 0;
  if (call != nullptr) call(&note);
  return symbolize(depot_frames(noted));  // it stays: where two stood one after the other, both would be named
}

bool is_named(const frame& f, std::string_view function, std::string_view qualified)
{
  const std::string_view name = f.function;
  return name.starts_with(function) || name.starts_with(qualified);
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_way_to_compile_is_here)
{
  BOOST_TEST(kinds().size() == GPA_KIND_COUNT);
}

BOOST_AUTO_TEST_CASE(every_kind_of_debug_information_gives_lines_columns_and_inlined_functions)
{
  for (const auto& kind : kinds()) {
    const std::string name = kind.stem();
    if (name.ends_with("_none")) continue;
    const frame_list frames = frames_of(kind);
    BOOST_TEST_CONTEXT(name)
    {
      BOOST_TEST_REQUIRE(frames.size() >= 3u);
      for (std::size_t i = 0; i != 3; ++i) {
        BOOST_TEST(std::string_view(frames[i].file).ends_with("kinds/kind.cpp"));
        BOOST_TEST(frames[i].column != 0u);
        BOOST_TEST(!frames[i].library);
      }
      // -g1 and -gline-tables-only keep no namespaces for inlined functions.
      BOOST_TEST(is_named(frames[0], "inner", "kind::(anonymous namespace)::inner"));
      BOOST_TEST(is_named(frames[1], "outer", "kind::outer("));
      BOOST_TEST(is_named(frames[2], "gpa_kind", "gpa_kind"));
      BOOST_TEST(frames[0].line == 16u);
      BOOST_TEST(frames[1].line == 23u);
      BOOST_TEST(frames[2].line == 30u);
      BOOST_TEST(frames[0].inlined);
      BOOST_TEST(!frames[1].inlined);
    }
  }
}

BOOST_AUTO_TEST_CASE(files_of_real_and_inlined_functions_are_found_from_any_directory)
{
  const auto before = std::filesystem::current_path();
  for (const char* const directory : {"/", "/usr/include", GPA_TEST_DIR, GPA_TEST_DIR "/kinds"}) {
    std::filesystem::current_path(directory);
    for (const auto& kind : kinds()) {
      const std::string name = kind.stem();
      if (name.ends_with("_none")) continue;
      const frame_list frames = frames_of(kind);
      BOOST_TEST_CONTEXT(name << " in " << directory)
      {
        BOOST_TEST_REQUIRE(frames.size() >= 3u);
        for (std::size_t i = 0; i != 3; ++i) {
          const std::string file(frames[i].file);
          BOOST_TEST_CONTEXT(file)
          {
            if (name.ends_with("_mapped")) {
              BOOST_TEST(!file.empty());  // of a directory that the compiler was told to keep to itself
            } else {
              BOOST_TEST(file.starts_with('/'));
              BOOST_TEST(std::filesystem::exists(file));
              BOOST_TEST(std::filesystem::path(file).lexically_normal() == GPA_TEST_DIR "/kinds/kind.cpp");
            }
          }
        }
      }
    }
  }
  std::filesystem::current_path(before);
}

BOOST_AUTO_TEST_CASE(without_debug_information_there_are_names_modules_and_offsets)
{
  for (const auto& kind : kinds()) {
    if (!kind.stem().string().ends_with("_none")) continue;
    const frame_list frames = frames_of(kind);
    BOOST_TEST_REQUIRE(frames.size() >= 2u);
    BOOST_TEST(is_named(frames[0], "kind::outer(", "kind::outer("));
    BOOST_TEST(is_named(frames[1], "gpa_kind", "gpa_kind"));
    BOOST_TEST(frames[0].file.empty());
    BOOST_TEST(std::string_view(frames[0].module) == kind.string());
    BOOST_TEST(frames[0].offset != 0u);
  }
}
