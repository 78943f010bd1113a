// The executable and the shared libraries of this process, as the dynamic loader has them now; and those that were met on
// call stacks and were unloaded since (met_modules.hpp). Where two stood in one place, one after the other, nobody knows
// whose an address of an old stack is: that range is a module of its own, without a file, with both names.
//
// A module counts as a library, whose frames no user wants to read, when it lies in the system's library directories
// (libstdc++, libc, ...), belongs to the compiler's runtime (sanitizers) or is libgpa itself. The executable never
// does. Debug information of libraries is not looked for: in glibc alone that costs 86 ms where libc6-dbg is installed.
//
// Thread-safe.
#pragma once

#include "trace/frame.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace gpa::detail {

struct module_segment {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  std::uint32_t module = 0;  // index into module_list::modules
};

struct loaded_module {
  metadata_string path = {};  // as people know it
  metadata_string file = {};  // for open_file_of(): own_executable survives a deleted or moved one
  std::uintptr_t base = 0;    // what the loader added to the addresses in the file
  bool library = false;
  bool unloaded = false;           // is not there any more
  metadata_string build_id = {};   // in hex; empty if there is none, or more than one
  std::uintptr_t begin = 0;        // where it is mapped
  std::uintptr_t end = 0;
};

struct module_list {
  metadata_vector<loaded_module> modules = {};
  metadata_vector<module_segment> segments = {};  // sorted by address

  /// Index of the module that holds `address`, or npos.
  [[nodiscard]] std::size_t find(std::uintptr_t address) const noexcept;
  static constexpr std::size_t npos = static_cast<std::size_t>(-1);
};

/// Throws std::bad_alloc.
[[nodiscard]] module_list list_modules();

/// The file of a module, to be closed; -1 if it cannot be read or is another by now, by its build id: a library that
/// was built anew, or to which a relative path no longer leads, would give wrong names. Throws std::bad_alloc.
[[nodiscard]] int open_file_of(const loaded_module& m);

/// Changes whenever a module is loaded or unloaded. Never throws. O(1).
[[nodiscard]] std::uint64_t module_generation() noexcept;

/// A build id as people know it. Throws std::bad_alloc.
[[nodiscard]] metadata_string in_hex(std::span<const std::byte> build_id);

/// The exported function around `address` as it is linked, not demangled; empty if none is known.
[[nodiscard]] std::string_view exported_name(std::uintptr_t address) noexcept;

/// See the head of this file; not for the executable.
[[nodiscard]] bool is_library_module(std::string_view path) noexcept;

}  // namespace gpa::detail
