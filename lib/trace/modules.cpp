#include "trace/modules.hpp"

#include "os/loader.hpp"

#include <dlfcn.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <new>
#include <utility>

namespace gpa::detail {

namespace {

metadata_string executable_path()
{
  std::array<char, 4096> buffer;
  const ssize_t length = ::readlink("/proc/self/exe", buffer.data(), buffer.size());
  return length > 0 ? metadata_string(buffer.data(), static_cast<std::size_t>(length)) : metadata_string("(program)");
}

struct listing {
  module_list found = {};
  bool refused = false;  // the loader's frames in between know nothing of exceptions
};

void add(module_list& list, const dl_phdr_info& info)
{
  const bool executable = list.modules.empty();
  loaded_module m;
  m.base = info.dlpi_addr;
  if (executable) {
    m.path = executable_path();
    m.file = "/proc/self/exe";
  } else {
    m.path = info.dlpi_name;
    m.file = m.path;
    m.library = is_library_module(m.path);
  }
  for (std::size_t i = 0; i != info.dlpi_phnum; ++i) {
    const auto& segment = info.dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || segment.p_memsz == 0) continue;
    const std::uintptr_t begin = info.dlpi_addr + segment.p_vaddr;
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
  std::sort(l.found.segments.begin(), l.found.segments.end(),
            [](const module_segment& a, const module_segment& b) { return a.begin < b.begin; });
  return std::move(l.found);
}

std::uint64_t module_generation() noexcept
{
  std::uint64_t generation = 0;
  for_each_module(&on_first_module, &generation);
  return generation;
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
