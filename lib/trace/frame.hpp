// A named line of a call stack while we work on it: gpa::stack_frame in metadata memory, so that a report allocates
// nothing from the heap it reports about.
#pragma once

#include "os/metadata.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace gpa::detail {

using metadata_string = std::basic_string<char, std::char_traits<char>, metadata_allocator<char>>;
template <class T>
using metadata_vector = std::vector<T, metadata_allocator<T>>;

/// As gpa::stack_frame.
struct frame {
  std::uintptr_t address = 0;
  metadata_string function = {};
  metadata_string file = {};
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  metadata_string module = {};
  std::uintptr_t offset = 0;
  metadata_string build_id = {};  // of the module, in hex; only where the file is not known
  bool inlined = false;
  bool library = false;
};

using frame_list = metadata_vector<frame>;

}  // namespace gpa::detail
