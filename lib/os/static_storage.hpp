// Where the program's static variables are: the writable segments of every loaded module.
#pragma once

#include "os/loader.hpp"

#include <cstddef>
#include <type_traits>

namespace gpa::detail {

/// Calls `visit(begin, bytes)` for each, `begin` aligned to 8. Thread-safe; holds the loader's lock meanwhile.
template <class Visit>
void for_each_static_range(Visit&& visit)
{
  for_each_module(
      [](dl_phdr_info* module, std::size_t, void* data) {
        for (int i = 0; i != module->dlpi_phnum; ++i) {
          const ElfW(Phdr)& segment = module->dlpi_phdr[i];
          if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) == 0) continue;
          const ElfW(Addr) begin = (module->dlpi_addr + segment.p_vaddr + 7) & ~ElfW(Addr){7};
          const ElfW(Addr) end = module->dlpi_addr + segment.p_vaddr + segment.p_memsz;
          if (begin < end)
            (*static_cast<std::remove_reference_t<Visit>*>(data))(reinterpret_cast<const std::byte*>(begin),
                                                                  static_cast<std::size_t>(end - begin));
        }
        return 0;
      },
      &visit);
}

}  // namespace gpa::detail
