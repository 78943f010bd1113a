// What gpa-report was asked to do. The door to Abseil's flags.
#pragma once

#include "tools/exports.hpp"
#include "tools/symbols.hpp"

#include <string>
#include <vector>

namespace gpa::tools {

enum class action { convert, diff, top, watch, say };

struct command {
  gpa::tools::action action = action::convert;
  std::string words = {};  // of action::say: the help, or the version
  std::vector<std::string> files = {};
  std::string pid = {};
  std::string to = {};      // text, html, ...
  std::string output = {};  // empty = stdout
  text_request request = {};
  bool measure_is_given = false;
  symbol_files symbols = {};
  std::string watched_file = {};
  std::string resource = {};
  double interval = 2;      // seconds between two looks
  std::uint64_t times = 0;  // looks; 0 = until it is interrupted
};

/// Throws refusal.
[[nodiscard]] command parse_command_line(int count, char** arguments);

}  // namespace gpa::tools
