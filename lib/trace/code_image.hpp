// A loaded module as the unwinder needs it: its unwind tables, what of it may be read, and its build id.
//
// Found with _dl_find_object(), which takes no lock and allocates nothing, unlike dl_iterate_phdr(); the executable, of
// which it may know pieces only, where the kernel says it is. The address asked about is a return address on the
// caller's own stack, so its module cannot go away meanwhile.
//
// Immutable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace gpa::detail {

/// As what the loader has a module.
struct loaded_file {
  const char* path = nullptr;  // good while the module is there; null: of no module
  std::uintptr_t base = 0;     // what the loader added to the addresses in the file
};

class code_image {
 public:
  /// An empty image: of no module.
  code_image() noexcept = default;
  /// What is known without the loader; for tests. `begin` is where an ELF file is mapped.
  code_image(std::uintptr_t begin, std::uintptr_t end, std::uintptr_t unwind_header) noexcept
      : begin_(begin), end_(end), unwind_header_(unwind_header)
  {}

  /// The module around `pc`, empty if there is none. Lock-free; never allocates.
  [[nodiscard]] static code_image around(std::uintptr_t pc) noexcept;

  [[nodiscard]] bool empty() const noexcept { return begin_ == end_; }
  [[nodiscard]] std::uintptr_t begin() const noexcept { return begin_; }
  [[nodiscard]] std::uintptr_t end() const noexcept { return end_; }
  /// Where .eh_frame_hdr starts; 0 if the module has none.
  [[nodiscard]] std::uintptr_t unwind_header() const noexcept { return unwind_header_; }

  /// The bytes from `address` to the end of the file's readable segment around it; empty outside of all.
  [[nodiscard]] std::span<const std::byte> readable_from(std::uintptr_t address) const noexcept;

  /// Empty if the linker wrote none.
  [[nodiscard]] std::span<const std::byte> build_id() const noexcept;

  /// Whether it can never be unloaded while gpa is there: the executable, gpa's own module, and the C and C++
  /// libraries that gpa depends on. Other modules may be, as far as we can know.
  [[nodiscard]] bool is_permanent() const noexcept;

  friend bool operator==(const code_image&, const code_image&) noexcept = default;

 private:
  std::uintptr_t begin_ = 0;
  std::uintptr_t end_ = 0;
  std::uintptr_t unwind_header_ = 0;
};

/// Whether `pc` lies in the C library: false in a program that is linked statically. Looks at two numbers.
[[nodiscard]] bool is_in_c_library(std::uintptr_t pc) noexcept;

/// Whether the program was linked with -static: no loader has started it, and the C library is part of it.
[[nodiscard]] bool is_static_program() noexcept;

/// Whether `pc` lies in _start, where the program begins.
[[nodiscard]] bool is_in_start(std::uintptr_t pc) noexcept;

/// The file of the module around `pc`. Lock-free; never allocates.
[[nodiscard]] loaded_file file_around(std::uintptr_t pc) noexcept;

/// The build id among the notes of an ELF file; empty if there is none.
[[nodiscard]] std::span<const std::byte> find_build_id(std::span<const std::byte> notes) noexcept;

}  // namespace gpa::detail
