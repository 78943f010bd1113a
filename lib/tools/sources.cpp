#include "tools/sources.hpp"

#include "tools/plain_text.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace gpa::tools {

namespace {

constexpr std::uintmax_t largest_file = std::uintmax_t{8} << 20;

bool is_utf8(std::string_view text) noexcept
{
  while (!text.empty()) {
    const std::size_t length = character_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::vector<std::string> read_lines(const std::string& path)
{
  std::error_code error;
  std::vector<std::string> lines;
  // A pipe or a device of that name would never end.
  if (!std::filesystem::is_regular_file(path, error) || std::filesystem::file_size(path, error) > largest_file)
    return lines;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (line.size() > source_lines::longest_line) {
      std::size_t end = source_lines::longest_line;
      while (end != 0 && (static_cast<unsigned char>(line[end]) & 0xC0) == 0x80) --end;  // not inside a character
      line.resize(end);
      line += "...";
    }
    if (!is_utf8(line)) line = std::string(line.size(), '?');
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace

void source_lines::ask(std::size_t number, const std::string& path, std::uint32_t line)
{
  if (is_full()) return;
  file& f = files_[number];
  if (!f.is_read) {
    f.lines = read_lines(path);
    f.is_read = true;
  }
  if (line > f.lines.size()) return;
  const std::size_t first = line > around ? line - around : 1;
  const std::size_t last = std::min<std::size_t>(f.lines.size(), std::size_t{line} + around);
  for (std::size_t i = first; i <= last; ++i)
    if (f.shown.try_emplace(static_cast<std::uint32_t>(i), i - 1).second) bytes_ += f.lines[i - 1].size() + 16;
}

void source_lines::write(json_writer& json) const
{
  json.begin_object();
  for (const auto& [number, f] : files_) {
    if (f.shown.empty()) continue;
    json.key(std::to_string(number)).begin_object();
    for (const auto& [line, index] : f.shown) json.member(std::to_string(line), f.lines[index]);
    json.end_object();
  }
  json.end_object();
}

}  // namespace gpa::tools
