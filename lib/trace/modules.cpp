#include "trace/modules.hpp"

#include "os/files.hpp"
#include "os/loader.hpp"
#include "trace/code_image.hpp"
#include "trace/frames.hpp"
#include "trace/libdw.hpp"
#include "trace/met_modules.hpp"
#include "trace/symbol_table.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <new>
#include <span>
#include <utility>

namespace gpa::detail {

namespace {

struct listing {
  module_list found = {};
  bool refused = false;  // the loader's frames in between know nothing of exceptions
};

bool is_file_of(const loaded_module& m)
{
  const int file = open_file_of(m);
  if (file >= 0) ::close(file);
  return file >= 0;
}

void add(module_list& list, const dl_phdr_info& info)
{
  const bool executable = list.modules.empty();
  loaded_module m;
  m.base = info.dlpi_addr;
  if (executable) {
    std::array<char, 4096> path;
    m.path = executable_path(path);
    if (m.path.empty()) m.path = "(program)";
    m.file = own_executable;
  } else {
    m.path = info.dlpi_name;
    m.file = m.path;
    m.library = is_library_module(m.path);
  }
  for (std::size_t i = 0; i != info.dlpi_phnum; ++i) {
    const auto& segment = info.dlpi_phdr[i];
    if (segment.p_type == PT_NOTE && m.build_id.empty()) {
      const auto* const notes = reinterpret_cast<const std::byte*>(info.dlpi_addr + segment.p_vaddr);
      m.build_id = in_hex(find_build_id({notes, segment.p_filesz}));
    }
    if (segment.p_type != PT_LOAD || segment.p_memsz == 0) continue;
    const std::uintptr_t begin = info.dlpi_addr + segment.p_vaddr;
    if (m.end == 0) {
      const code_image image = code_image::around(begin);
      m.begin = image.begin();
      m.end = image.end();
    }
    list.segments.push_back({begin, begin + segment.p_memsz, static_cast<std::uint32_t>(list.modules.size())});
  }
  list.modules.push_back(std::move(m));
}

int on_module(dl_phdr_info* info, std::size_t, void* argument) noexcept
{
  listing& l = *static_cast<listing*>(argument);
  try {
    add(l.found, *info);
    return 0;
  } catch (...) {
    l.refused = true;
    return 1;
  }
}

// A program that was started through the loader (ld.so ./program) is what the loader was told; the kernel knows the
// loader.
void find_executable(module_list& list)
{
  if (list.modules.empty()) return;
  loaded_module& program = list.modules.front();
  if (program.build_id.empty() || is_file_of(program)) return;
  const auto* const named = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
  if (named == nullptr) return;
  loaded_module other = program;
  other.file = named;
  if (!is_file_of(other)) return;
  program.file = program.path =
      shortened_path(*named == '/' ? metadata_string(named) : current_directory() + "/" + named, {});
}

// A module that was met, as one of the list. Its file may be another by now.
loaded_module unloaded_module(const met_module& m)
{
  loaded_module gone;
  gone.path = m.path;
  gone.base = m.base;
  gone.library = is_library_module(m.path);
  gone.unloaded = true;
  gone.build_id = in_hex(m.build_id());
  gone.begin = m.begin;
  gone.end = m.end;
  if (!gone.build_id.empty()) gone.file = gone.path;
  return gone;
}

// Two that stood in one place, one after the other.
loaded_module either_of(const loaded_module& one, const loaded_module& other)
{
  loaded_module m;
  m.path = one.path;
  if (one.path == other.path) {
    m.path += " or another build of it";
  } else {
    m.path.append(" or ").append(other.path);
  }
  m.base = one.base;
  m.library = one.library && other.library;
  m.unloaded = true;
  return m;
}

// Of a library whose headers are not in its first page the id was not read when it was met.
bool is_same(const loaded_module& a, const loaded_module& b) noexcept
{
  if (a.begin != b.begin || a.end != b.end) return false;
  return a.build_id.empty() || b.build_id.empty() ? a.path == b.path : a.build_id == b.build_id;
}

// Of `m`, what nobody else ever held becomes its own; what somebody else held, doubtful.
void add_unloaded(module_list& list, loaded_module m)
{
  const auto number = static_cast<std::uint32_t>(list.modules.size());
  const std::uintptr_t end = m.end;
  std::uintptr_t at = m.begin;
  list.modules.push_back(std::move(m));
  metadata_vector<module_segment> result;
  for (const module_segment& s : list.segments) {
    const std::uintptr_t begin = std::max(s.begin, at), stop = std::min(s.end, end);
    if (begin >= stop) {
      result.push_back(s);
      continue;
    }
    if (at < begin) result.push_back({at, begin, number});
    if (s.begin < begin) result.push_back({s.begin, begin, s.module});
    if (came_with_libdw(list.modules[s.module].base)) {
      result.push_back({begin, stop, number});
    } else {
      result.push_back({begin, stop, static_cast<std::uint32_t>(list.modules.size())});
      list.modules.push_back(either_of(list.modules[s.module], list.modules[number]));
    }
    if (stop < s.end) result.push_back({stop, s.end, s.module});
    at = stop;
  }
  if (at < end) result.push_back({at, end, number});
  list.segments = std::move(result);
}

void sort(metadata_vector<module_segment>& segments) noexcept
{
  std::sort(segments.begin(), segments.end(),
            [](const module_segment& a, const module_segment& b) { return a.begin < b.begin; });
}

void add_unloaded_modules(module_list& list)
{
  for (std::size_t i = 0; i != met_module_count(); ++i) {
    const met_module* const met = met_module_of(i);
    if (met == nullptr) continue;
    loaded_module m = unloaded_module(*met);
    const auto same = [&m](const loaded_module& other) { return is_same(m, other); };
    if (std::any_of(list.modules.begin(), list.modules.end(), same)) continue;
    add_unloaded(list, std::move(m));
    sort(list.segments);
  }
}

int on_first_module(dl_phdr_info* info, std::size_t, void* argument) noexcept
{
  *static_cast<std::uint64_t*>(argument) = info->dlpi_adds + info->dlpi_subs;  // both only ever grow
  return 1;
}

}  // namespace

std::size_t module_list::find(std::uintptr_t address) const noexcept
{
  const auto after = std::upper_bound(segments.begin(), segments.end(), address,
                                      [](std::uintptr_t a, const module_segment& s) { return a < s.begin; });
  if (after == segments.begin()) return npos;
  const module_segment& s = *(after - 1);
  return address < s.end ? s.module : npos;
}

module_list list_modules()
{
  listing l;
  for_each_module(&on_module, &l);
  if (l.refused) throw std::bad_alloc();
  find_executable(l.found);
  sort(l.found.segments);
  add_unloaded_modules(l.found);
  return std::move(l.found);
}

int open_file_of(const loaded_module& m)
{
  if (m.file.empty()) return -1;
  const int file = ::open(m.file.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (file < 0) return -1;
  struct stat s;
  if (::fstat(file, &s) == 0 && S_ISREG(s.st_mode) &&
      (m.build_id.empty() || in_hex(build_id_of_file(file)) == m.build_id))
    return file;
  ::close(file);
  return -1;
}

std::uint64_t module_generation() noexcept
{
  std::uint64_t generation = 0;
  for_each_module(&on_first_module, &generation);
  return generation;
}

metadata_string in_hex(std::span<const std::byte> build_id)
{
  constexpr std::string_view digits = "0123456789abcdef";
  metadata_string words;
  for (const std::byte b : build_id) {
    words += digits[std::to_integer<std::size_t>(b >> 4)];
    words += digits[std::to_integer<std::size_t>(b & std::byte{15})];
  }
  return words;
}

std::string_view exported_name(std::uintptr_t address) noexcept
{
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(address), &info) == 0 || info.dli_sname == nullptr) return {};
  return info.dli_sname;
}

bool is_library_module(std::string_view path) noexcept
{
  for (const std::string_view directory : {"/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/", "/usr/libexec/"})
    if (path.starts_with(directory)) return true;
  const std::size_t slash = path.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  // Those of a compiler that lives elsewhere, the kernel's own, and ours in whatever build directory.
  for (const std::string_view known : {"libstdc++.so", "libgcc_s.so", "libasan.so", "libtsan.so", "libubsan.so",
                                       "liblsan.so", "libclang_rt.", "libc++.so", "libc++abi.so", "linux-vdso.so",
                                       "linux-gate.so", "libgpa.so", "libgpa_preload.so"})
    if (name.starts_with(known)) return true;
  return false;
}

}  // namespace gpa::detail
