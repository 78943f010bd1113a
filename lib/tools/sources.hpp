// Lines of source files around the places that a page shows, as far as the files are here, have the suffix of a C or
// C++ source, and there is room.
//
// Not thread-safe.
#pragma once

#include "tools/json_writer.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace gpa::tools {

class source_lines {
 public:
  /// Lines shown above and below a place.
  static constexpr std::uint32_t around = 4;
  /// Of all lines together; of one line.
  static constexpr std::size_t most_bytes = std::size_t{2} << 20;
  static constexpr std::size_t longest_line = 240;

  /// The lines around `line` of the file numbered `number`, if there is room.
  void ask(std::size_t number, const std::string& path, std::uint32_t line);

  [[nodiscard]] bool is_full() const noexcept { return bytes_ >= most_bytes; }

  /// {"number": {"line": "text"}}
  void write(json_writer& json) const;

 private:
  struct file {
    bool is_read = false;
    std::vector<std::string> lines = {};
    std::map<std::uint32_t, std::size_t> shown = {};  // line -> index into lines
  };

  std::map<std::size_t, file> files_ = {};
  std::size_t bytes_ = 0;
};

}  // namespace gpa::tools
