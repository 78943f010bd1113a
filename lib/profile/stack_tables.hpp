// The tables of a JSON document that sites and mistakes point into: stacks, frames, modules, each once.
//
// Frames are numbered as they come, named when they are written. Not thread-safe.
#pragma once

#include "os/containers.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gpa::detail {

class json;
struct module_list;

class stack_tables {
 public:
  /// Of a stack of the depot: equal ones have the same number, whatever their tags. Throws std::bad_alloc.
  [[nodiscard]] std::size_t number_of(std::uint32_t trace);

  /// "modules", "frames" and "traces", of all stacks numbered so far. Throws std::bad_alloc.
  void write(json& out) const;

 private:
  [[nodiscard]] list_of<std::size_t> modules_of_frames(const module_list& loaded) const;
  void write_frame(json& out, std::uintptr_t address, std::size_t module, std::uintptr_t base) const;

  hash_map<std::string_view, std::size_t> known_;  // the addresses' bytes: the depot keeps them for ever
  hash_map<std::uint32_t, std::size_t> numbers_;   // the same, by the depot's numbers
  hash_map<std::uintptr_t, std::size_t> frame_numbers_;
  list_of<std::uint32_t> stacks_;       // one depot number each
  list_of<std::uintptr_t> frames_;      // return addresses
};

}  // namespace gpa::detail
