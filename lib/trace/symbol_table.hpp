// Names of functions from a module's own symbol table: what is left where libdw is not there, and enough to know the
// function, exported or not. Nothing but reads of the file; a table of a million symbols costs 24 MB while it is open.
//
// Immutable once loaded.
#pragma once

#include "os/containers.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gpa::detail {

class elf_file;

class symbol_table {
 public:
  symbol_table() = default;
  /// Empty where the file cannot be read, is no ELF file of this machine, or was stripped; then its dynamic symbols are
  /// all there is. Throws std::bad_alloc.
  [[nodiscard]] static symbol_table of_file(const char* path);
  /// Of one that is open, and stays so.
  [[nodiscard]] static symbol_table of_file(int descriptor);

  /// The function around an address as the file has it (the module's base subtracted), as it is linked, not demangled;
  /// empty if none is known.
  [[nodiscard]] std::string_view function_at(std::uintptr_t address) const noexcept;
  [[nodiscard]] bool empty() const noexcept { return functions_.empty(); }

 private:
  struct function {
    std::uintptr_t begin;
    std::uint32_t size;
    std::uint32_t name;  // offset in names_
  };
  explicit symbol_table(const elf_file& file);

  list_of<function> functions_;  // by address
  list_of<char> names_;
};

/// As the linker wrote it into the file; empty if there is none, or no such file. Throws std::bad_alloc.
[[nodiscard]] list_of<std::byte> build_id_of_file(const char* path);
/// Of one that is open, and stays so.
[[nodiscard]] list_of<std::byte> build_id_of_file(int descriptor);

}  // namespace gpa::detail
