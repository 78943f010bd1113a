#include "trace/debug_files.hpp"

#if GPA_HAVE_LIBDW

#include "trace/frame.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string_view>

namespace gpa::detail {

namespace {

struct build_id {
  const unsigned char* bytes = nullptr;
  std::size_t count = 0;
};

bool network_is_offered() noexcept
{
  const char* const urls = std::getenv("DEBUGINFOD_URLS");
  return urls != nullptr && *urls != '\0';
}

// A debug file may be left over from another build of the same name.
bool has_build_id(const libdw_functions& dw, int descriptor, const build_id& wanted) noexcept
{
  Elf* const elf = dw.dwelf_elf_begin(descriptor);
  if (elf == nullptr) return false;
  const void* bytes = nullptr;
  const ssize_t count = dw.dwelf_elf_gnu_build_id(elf, &bytes);
  const bool same = count > 0 && static_cast<std::size_t>(count) == wanted.count &&
                    std::memcmp(bytes, wanted.bytes, wanted.count) == 0;
  dw.elf_end(elf);
  return same;
}

int open_linked(const libdw_functions& dw, const char* file, const char* link, const build_id& wanted, char** found)
{
  char* const real = ::realpath(file, nullptr);
  if (real == nullptr) return -1;
  const std::string_view path(real);
  const metadata_string directory(path.substr(0, path.rfind('/') + 1));
  std::free(real);
  for (const metadata_string& folder : {directory, directory + ".debug/", "/usr/lib/debug" + directory}) {
    const metadata_string candidate = folder + link;
    const int descriptor = ::open(candidate.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (descriptor < 0) continue;
    if (has_build_id(dw, descriptor, wanted)) {
      *found = ::strdup(candidate.c_str());
      return descriptor;
    }
    ::close(descriptor);
  }
  return -1;
}

}  // namespace

int find_no_elf(Dwfl_Module*, void**, const char*, Dwarf_Addr, char**, Elf**) noexcept
{
  return -1;
}

int find_debug_file(Dwfl_Module* module, void** user, const char* name, Dwarf_Addr base, const char* file,
                    const char* link, GElf_Word crc, char** found) noexcept
{
  const libdw_functions* const dw = libdw();
  if (dw == nullptr) return -1;
  build_id id;
  GElf_Addr where = 0;
  const int count = dw->dwfl_module_build_id(module, &id.bytes, &where);
  if (count <= 0 || !network_is_offered())  // nothing to ask the network by, or nobody to ask
    return dw->dwfl_standard_find_debuginfo(module, user, name, base, file, link, crc, found);
  id.count = static_cast<std::size_t>(count);
  const int descriptor =
      dw->dwfl_build_id_find_debuginfo(module, nullptr, nullptr, 0, nullptr, nullptr, 0, found);
  if (descriptor >= 0 || file == nullptr || link == nullptr) return descriptor;
  try {
    return open_linked(*dw, file, link, id, found);
  } catch (...) {
    return -1;  // no memory: no lines
  }
}

}  // namespace gpa::detail

#endif
