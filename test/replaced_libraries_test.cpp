#define BOOST_TEST_MODULE replaced_libraries
// Names of what lies in libraries that are not there any more, or whose file became another.
#include "trace/symbolize.hpp"

#include "support/debug_lines.hpp"
#include "support/not_run.hpp"
#include "support/outcome.hpp"
#include "support/resident.hpp"
#include "trace/capture.hpp"
#include "trace/depot.hpp"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace gpa::detail;

frame_list named(std::uintptr_t return_address)
{
  return symbolize({&return_address, 1});
}

// After a call: what is called last may be jumped to, and then returns somewhere else.
[[gnu::always_inline]] inline void stay()
{
  asm volatile("" ::: "memory");
}

boost::test_tools::assertion_result lines_are_known(boost::unit_test::test_unit_id)
{
  return gpa::test::runs_if(gpa::test::has_debug_lines(), "needs libdw and debug information");
}

const std::string small_frame = gpa::test::beside_this("programs/calls_back_small.so");
const std::string large_frame = gpa::test::beside_this("programs/calls_back_large.so");
const std::string with_another_name = gpa::test::beside_this("programs/holds_resource.so");

std::uint32_t stack_inside = 0;
[[gnu::noinline]] void take_stack()
{
  stack_inside = capture_stack(32, __builtin_return_address(0));
  stay();
}

// The address in the library that called back; the library is gone when this returns.
[[gnu::noinline]] std::uintptr_t caller_in(const std::string& path)
{
  void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  BOOST_TEST_REQUIRE(library != nullptr);
  int calls = 0;
  reinterpret_cast<void (*)(void (*)(), int*)>(::dlsym(library, "call_back"))(take_stack, &calls);
  ::dlclose(library);
  BOOST_TEST_REQUIRE(::dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD) == nullptr);
  return depot_frames(stack_inside).front();
}

struct folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("gpa_symbolize_" + std::to_string(::getpid()));
  folder() { std::filesystem::create_directory(path); }
  ~folder() { std::filesystem::remove_all(path); }
};

// "call_back of calls_back_small.so", with the file's name where it is known
std::string in_words(std::uintptr_t return_address)
{
  const frame_list frames = named(return_address);
  if (frames.size() != 1) return "no frame";
  const frame& f = frames.front();
  std::string words(f.function.empty() ? "nobody" : f.function);
  words.append(" of ").append(f.module.substr(f.module.rfind('/') + 1));
  if (!f.file.empty()) words.append(" in ").append(f.file.substr(f.file.rfind('/') + 1));
  if (!f.build_id.empty()) words.append(", ").append(std::to_string(f.build_id.size())).append(" digits");
  return words;
}

// As tools that edit ELF files leave them: the program headers at the file's end, in a segment of their own.
void move_headers_to_the_end(const std::string& from, const std::string& to)
{
  std::ifstream in(from, std::ios::binary);
  std::string bytes(std::istreambuf_iterator<char>(in), {});
  ElfW(Ehdr) file;
  std::memcpy(&file, bytes.data(), sizeof file);
  std::vector<ElfW(Phdr)> headers(file.e_phnum);
  std::memcpy(headers.data(), bytes.data() + file.e_phoff, headers.size() * sizeof(ElfW(Phdr)));
  constexpr std::size_t page = 4096;
  const auto whole_pages = [](std::size_t n) { return (n + page - 1) / page * page; };
  ElfW(Phdr) own = {};
  own.p_type = PT_LOAD;
  own.p_flags = PF_R;
  own.p_align = page;
  own.p_offset = whole_pages(bytes.size());
  own.p_filesz = own.p_memsz = (headers.size() + 1) * sizeof own;
  auto last = headers.begin();
  for (auto h = headers.begin(); h != headers.end(); ++h)
    if (h->p_type == PT_LOAD) {
      own.p_vaddr = own.p_paddr = whole_pages(h->p_vaddr + h->p_memsz);
      last = h;
    }
  headers.insert(last + 1, own);
  bytes.resize(own.p_offset);
  bytes.append(reinterpret_cast<const char*>(headers.data()), headers.size() * sizeof own);
  file.e_phoff = own.p_offset;
  file.e_phnum = static_cast<ElfW(Half)>(headers.size());
  std::memcpy(bytes.data(), &file, sizeof file);
  std::ofstream(to, std::ios::binary) << bytes;
}

// In a process of its own: where libraries were is remembered. The child only answers.
template <class Question>
gpa::test::outcome answer_of(Question question)
{
  return gpa::test::outcome_of([&question] {
    const std::string words = question();
    if (::write(STDOUT_FILENO, words.data(), words.size()) < 0) ::_exit(1);
  });
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_library_that_was_unloaded_is_named_all_the_same,
                     *boost::unit_test::precondition(lines_are_known))
{
  const auto o = answer_of([] { return in_words(caller_in(small_frame)); });
  BOOST_TEST_CONTEXT(o) BOOST_TEST(o.out == "call_back of calls_back_small.so in calls_back.cpp");
}

BOOST_AUTO_TEST_CASE(of_two_libraries_in_one_place_neither_is_accused)
{
  const auto o = answer_of([]() -> std::string {
    std::uintptr_t before = caller_in(small_frame);
    for (int i = 0; i != 20; ++i) {  // until the loader takes the same place
      const std::uintptr_t now = caller_in(i % 2 == 0 ? large_frame : small_frame);
      const frame f = named(now).front();
      if (now == before) return std::string(f.module) + (f.function.empty() && f.file.empty() ? "" : ", with a name");
      before = now;
    }
    return "the loader found other places: nothing was tested";
  });
  const std::string either = small_frame + " or " + large_frame;
  BOOST_TEST_CONTEXT(o)
  {
    if (!gpa::test::sanitized) BOOST_TEST(o.out == either);
  }
}

BOOST_AUTO_TEST_CASE(a_file_that_became_another_names_nothing)
{
  const auto o = answer_of([] {
    const folder f;
    const std::string plugin = f.path / "plugin.so";
    std::filesystem::copy_file(small_frame, plugin);
    const std::uintptr_t address = caller_in(plugin);
    std::filesystem::remove(plugin);
    std::filesystem::copy_file(large_frame, plugin);
    return in_words(address);
  });
  BOOST_TEST_CONTEXT(o) BOOST_TEST(o.out == "nobody of plugin.so, 40 digits");
}

// It was built anew while the program runs. What it exports the loader knows.
BOOST_AUTO_TEST_CASE(a_library_whose_file_became_another_is_named_by_what_it_exports)
{
  for (const auto& [is_pipe, is_later] : {std::pair{false, false}, {true, false}, {false, true}, {true, true}}) {
    const auto o = answer_of([is_pipe = is_pipe, is_later = is_later] {
      const folder f;
      const std::string plugin = f.path / "plugin.so";
      std::filesystem::copy_file(small_frame, plugin);
      void* const library = ::dlopen(plugin.c_str(), RTLD_NOW | RTLD_LOCAL);
      if (library == nullptr) return std::string("no library");
      if (is_later) static_cast<void>(named(reinterpret_cast<std::uintptr_t>(&take_stack) + 1));  // of the program
      std::filesystem::remove(plugin);
      if (is_pipe) {
        if (::mkfifo(plugin.c_str(), 0600) != 0) return std::string("no pipe");
      } else {
        std::filesystem::copy_file(with_another_name, plugin);
      }
      return in_words(reinterpret_cast<std::uintptr_t>(::dlsym(library, "call_back")) + 1);
    });
    BOOST_TEST_CONTEXT(o) BOOST_TEST(o.out == "call_back of plugin.so, 40 digits");
  }
}

BOOST_AUTO_TEST_CASE(a_library_whose_headers_stand_at_its_end_is_named_as_any_other,
                     *boost::unit_test::precondition(lines_are_known))
{
  const auto o = answer_of([] {
    const folder f;
    const std::string plugin = f.path / "plugin.so";
    move_headers_to_the_end(small_frame, plugin);
    void* const library = ::dlopen(plugin.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return std::string(::dlerror());
    int calls = 0;
    reinterpret_cast<void (*)(void (*)(), int*)>(::dlsym(library, "call_back"))(take_stack, &calls);
    return in_words(depot_frames(stack_inside).front());
  });
  BOOST_TEST_CONTEXT(o) BOOST_TEST(o.out == "call_back of plugin.so in calls_back.cpp");
}
