// What the debug information and the symbol tables of the loaded modules say about an address.
//
// Modules are opened when the first address in them is asked for. Three things a straightforward use of libdw gets
// wrong are handled here:
//   - clang writes no .debug_aranges: units are searched by their own ranges, read once a module;
//   - dwfl_linux_proc_report() is confused by second mappings of a file: modules come from trace/modules.hpp;
//   - split DWARF and LTO: the split unit takes the place of its skeleton, the chain of inlined functions is found by
//     walking down from the unit, and functions without a linkage name are qualified through their abstract origin.
// Names of files are made absolute by the directory that the compiler ran in (DW_AT_comp_dir): DWARF 5 keeps them
// relative. Where that was mapped away they stay as they are.
// Separate debug files are looked for on this machine only: debuginfod is never asked, whatever the environment says.
//
// Costs about 0.5 ms to open a small program, then tens of microseconds to some milliseconds an address; libdw uses
// malloc. Not thread-safe: its owner uses it alone.
#pragma once

#include "trace/frame.hpp"
#include "trace/modules.hpp"

#include <cstddef>
#include <cstdint>

namespace gpa::detail {

class debug_info {
 public:
  /// `modules` as list_modules() gave it, and outliving this object. Throws std::bad_alloc.
  explicit debug_info(const module_list& modules);
  ~debug_info();
  debug_info(const debug_info&) = delete;
  debug_info& operator=(const debug_info&) = delete;

  /// Appends what is at `address` in `modules[module]`: the innermost inlined function first, the real one last; names
  /// are demangled, not yet made readable. Appends nothing when nothing is known (always, without libdw).
  /// Throws std::bad_alloc.
  void describe(std::size_t module, std::uintptr_t address, frame_list& out);

 private:
  struct opened;
  [[maybe_unused]] opened* state_ = nullptr;  // null without libdw
};

}  // namespace gpa::detail
