// Functions named from a file's own symbol table.
#define BOOST_TEST_MODULE symbol_table
#include "trace/symbol_table.hpp"

#include "trace/modules.hpp"
#include "trace/names.hpp"

#include <boost/test/unit_test.hpp>

#include <elf.h>
#include <link.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

namespace {

using namespace gpa::detail;

// Not exported, so only the file knows it.
[[gnu::noinline]] int hidden_function(int x)
{
  asm volatile("" : "+r"(x));
  return x + 1;
}

std::uintptr_t address_in_file(int (*function)(int))
{
  return reinterpret_cast<std::uintptr_t>(function) - list_modules().modules.front().base;
}

struct scratch_file {
  std::string path = (std::filesystem::temp_directory_path() / "gpa_symbols_XXXXXX").string();

  explicit scratch_file(std::string_view content)
  {
    const int file = ::mkstemp(path.data());
    BOOST_REQUIRE(file != -1);
    ::close(file);
    std::ofstream(path, std::ios::binary) << content;
  }
  ~scratch_file() { std::filesystem::remove(path); }
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_function_that_is_not_exported_is_named_at_its_start_and_inside)
{
  const symbol_table table = symbol_table::of_file("/proc/self/exe");
  BOOST_TEST(!table.empty());
  BOOST_TEST(hidden_function(1) == 2);
  const std::uintptr_t begin = address_in_file(&hidden_function);
  for (const std::uintptr_t address : {begin, begin + 1}) {
    const metadata_string name = demangled(metadata_string(table.function_at(address)).c_str());
    BOOST_TEST(std::string_view(name).ends_with("hidden_function(int)"));
  }
}

BOOST_AUTO_TEST_CASE(addresses_of_no_function_have_no_name)
{
  const symbol_table table = symbol_table::of_file("/proc/self/exe");
  for (const std::uintptr_t address : {std::uintptr_t{0}, std::uintptr_t{1}, ~std::uintptr_t{0}})
    BOOST_TEST(table.function_at(address) == "");
  BOOST_TEST(symbol_table().function_at(0) == "");
}

BOOST_AUTO_TEST_CASE(of_a_stripped_library_the_dynamic_symbols_are_known)
{
  void* const inside = reinterpret_cast<void*>(&std::abort);
  const module_list modules = list_modules();
  const std::size_t index = modules.find(reinterpret_cast<std::uintptr_t>(inside));
  BOOST_REQUIRE(index != module_list::npos);
  BOOST_TEST(!symbol_table::of_file(modules.modules[index].file.c_str()).empty());
}

BOOST_AUTO_TEST_CASE(a_file_that_is_none_or_ends_too_early_is_an_empty_table)
{
  BOOST_TEST(symbol_table::of_file("/nowhere/at/all").empty());
  BOOST_TEST(symbol_table::of_file("/proc/self/cmdline").empty());
  std::ifstream self("/proc/self/exe", std::ios::binary);
  std::string bytes(4096, '\0');
  self.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  for (const std::size_t length : {0U, 3U, 20U, 64U, 4096U}) {
    const scratch_file cut(std::string_view(bytes).substr(0, length));
    BOOST_TEST_CONTEXT(length) BOOST_TEST(symbol_table::of_file(cut.path.c_str()).empty());
  }
  std::string wild = bytes;  // sections far beyond the end, and as many as can be said
  wild.replace(0x28, 8, std::string("\xff\xff\xff\xff\xff\xff\xff\x0f", 8));
  wild.replace(0x3C, 2, "\xff\xff");
  BOOST_TEST(symbol_table::of_file(scratch_file(wild).path.c_str()).empty());
}

// A report names files: opening a pipe would wait for who writes to it.
BOOST_AUTO_TEST_CASE(what_is_no_regular_file_is_not_waited_for)
{
  const scratch_file place("");
  BOOST_REQUIRE(std::filesystem::remove(place.path));
  BOOST_REQUIRE(::mkfifo(place.path.c_str(), 0600) == 0);
  BOOST_TEST(symbol_table::of_file(place.path.c_str()).empty());
  BOOST_TEST(build_id_of_file(place.path.c_str()).empty());
  BOOST_TEST(symbol_table::of_file("/dev/zero").empty());
}

// Each of many notes claims a gigabyte; to have room for one takes a second.
BOOST_AUTO_TEST_CASE(a_file_gets_no_more_room_than_it_has_bytes)
{
  std::string bytes(4096 + 64 * sizeof(ElfW(Phdr)), '\0');
  ElfW(Ehdr) header = {};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_phoff = sizeof header;
  header.e_phentsize = sizeof(ElfW(Phdr));
  header.e_phnum = 64;
  std::memcpy(bytes.data(), &header, sizeof header);
  for (std::size_t i = 0; i != header.e_phnum; ++i) {
    ElfW(Phdr) note = {};
    note.p_type = PT_NOTE;
    note.p_filesz = std::size_t{1} << 30;
    std::memcpy(bytes.data() + sizeof header + i * sizeof note, &note, sizeof note);
  }
  rusage before = {}, after = {};
  ::getrusage(RUSAGE_SELF, &before);
  BOOST_TEST(build_id_of_file(scratch_file(bytes).path.c_str()).empty());
  ::getrusage(RUSAGE_SELF, &after);
  BOOST_TEST(after.ru_maxrss - before.ru_maxrss < 64 << 10);  // KiB
}

// As those of a debug file that eu-strip made: its program headers are the ones of the file that it was split from.
BOOST_AUTO_TEST_CASE(a_build_id_is_found_by_the_sections_where_program_headers_do_not_lead_to_it)
{
  const list_of<std::byte> own = build_id_of_file("/proc/self/exe");
  BOOST_REQUIRE(!own.empty());
  std::ifstream self("/proc/self/exe", std::ios::binary);
  std::string bytes(std::istreambuf_iterator<char>(self), {});
  ElfW(Ehdr) header;
  std::memcpy(&header, bytes.data(), sizeof header);
  for (std::size_t i = 0; i != header.e_phnum; ++i) {
    const std::size_t place = header.e_phoff + i * sizeof(ElfW(Phdr));
    ElfW(Phdr) segment;
    std::memcpy(&segment, bytes.data() + place, sizeof segment);
    if (segment.p_type == PT_NOTE) segment.p_offset = bytes.size();
    std::memcpy(bytes.data() + place, &segment, sizeof segment);
  }
  BOOST_TEST((build_id_of_file(scratch_file(bytes).path.c_str()) == own));
  BOOST_TEST(build_id_of_file("/nowhere/at/all").empty());
  BOOST_TEST(build_id_of_file("/proc/self/cmdline").empty());
}
