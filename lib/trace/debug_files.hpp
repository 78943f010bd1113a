// Where separate debug files are looked for: on this machine, by build id and by .gnu_debuglink, never on the network.
//
// The two callbacks of a libdw session; for debug_info.cpp alone.
#pragma once

#include "trace/libdw.hpp"

#if GPA_HAVE_LIBDW

namespace gpa::detail {

/// Finds nothing: modules are reported together with their file. libdw's own default would ask debuginfod.
int find_no_elf(Dwfl_Module* module, void** user, const char* name, Dwarf_Addr base, char** file, Elf** elf) noexcept;

/// As dwfl_standard_find_debuginfo(), without its last resort.
int find_debug_file(Dwfl_Module* module, void** user, const char* name, Dwarf_Addr base, const char* file,
                    const char* link, GElf_Word crc, char** found) noexcept;

}  // namespace gpa::detail

#endif
