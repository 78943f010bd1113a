// The door to elfutils libdw, which reads debug information: a table of its functions, loaded by the first report.
//
// Programs that never report carry neither libdw nor the four libraries behind it, and a machine without it still gets
// names (dladdr) and offsets. GPA_HAVE_LIBDW is 1 where its headers were found; at 0 libdw() is always null.
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <string_view>

#if GPA_HAVE_LIBDW

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <elfutils/libdwfl.h>

namespace gpa::detail {

#define GPA_LIBDW_FUNCTIONS(X)   \
  X(dwarf_attr)                  \
  X(dwarf_attr_integrate)        \
  X(dwarf_child)                 \
  X(dwarf_cu_info)               \
  X(dwarf_diename)               \
  X(dwarf_filesrc)               \
  X(dwarf_formref_die)           \
  X(dwarf_formstring)            \
  X(dwarf_formudata)             \
  X(dwarf_getscopes_die)         \
  X(dwarf_getsrc_die)            \
  X(dwarf_getsrcfiles)           \
  X(dwarf_haspc)                 \
  X(dwarf_linecol)               \
  X(dwarf_lineno)                \
  X(dwarf_linesrc)               \
  X(dwarf_new_oom_handler)       \
  X(dwarf_ranges)                \
  X(dwarf_siblingof)             \
  X(dwarf_tag)                   \
  X(dwelf_elf_begin)             \
  X(dwelf_elf_gnu_build_id)      \
  X(dwfl_begin)                  \
  X(dwfl_build_id_find_debuginfo) \
  X(dwfl_end)                    \
  X(dwfl_module_addrdie)         \
  X(dwfl_module_addrinfo)        \
  X(dwfl_module_build_id)        \
  X(dwfl_module_getdwarf)        \
  X(dwfl_module_nextcu)          \
  X(dwfl_offline_section_address) \
  X(dwfl_report_begin_add)       \
  X(dwfl_report_elf)             \
  X(dwfl_report_end)             \
  X(dwfl_standard_find_debuginfo) \
  X(elf_end)

/// Each member has the name of the function it points to.
struct libdw_functions {
#define GPA_LIBDW_MEMBER(name) decltype(&::name) name = nullptr;
  GPA_LIBDW_FUNCTIONS(GPA_LIBDW_MEMBER)
#undef GPA_LIBDW_MEMBER
};

/// Null when the library, or one of the functions, is not there. Loads it at the first call; never throws.
[[nodiscard]] const libdw_functions* libdw() noexcept;

}  // namespace gpa::detail

#endif

namespace gpa::detail {

/// Whether the module that is loaded there came with libdw: what a program calls is never in it, so an address that is on a
/// call stack is that of another one, which stood there before.
[[nodiscard]] bool came_with_libdw(std::uintptr_t base) noexcept;

/// Why there is none, as the end of a sentence; empty if it is there, or nobody wanted it yet.
[[nodiscard]] std::string_view why_no_libdw() noexcept;

/// Before a thread calls it: see there.
void make_room_for_libdw() noexcept;

/// For fork, which waits until nobody is loading it, ten seconds at most: the child would have half a library.
void libdw_before_fork() noexcept;
void libdw_after_fork() noexcept;
void libdw_in_child() noexcept;  // instead of that

}  // namespace gpa::detail
