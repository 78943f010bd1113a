#include "tools/sources.hpp"

#include "tools/document.hpp"
#include "tools/plain_text.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <sstream>
#include <string_view>

namespace gpa::tools {

namespace {

constexpr std::size_t largest_file = std::size_t{8} << 20;

bool is_utf8(std::string_view text) noexcept
{
  while (!text.empty()) {
    const std::size_t length = character_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

// Whoever wrote the report chose its paths, and the page may be passed on: what is no source of C or C++ has no place
// in it. Headers of a standard library have no suffix.
bool is_source(std::string_view path) noexcept
{
  constexpr std::array<std::string_view, 22> suffixes = {
      ".c",   ".cc",  ".cpp", ".cxx", ".c++", ".C",  ".h",   ".hh",  ".hpp",  ".hxx", ".h++",
      ".inl", ".ipp", ".tcc", ".tpp", ".inc", ".cu", ".cuh", ".ixx", ".cppm", ".mm",  ".m"};
  const std::string_view name = file_name(path);
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return path.find("/include/c++/") != std::string_view::npos;
  return std::find(suffixes.begin(), suffixes.end(), name.substr(dot)) != suffixes.end();
}

// Empty where it is no file to show.
std::string text_of(const std::string& path)
{
  // A link has the name of what it leads to.
  std::error_code error;
  const std::string real = std::filesystem::canonical(path, error).native();
  if (error || !is_source(real)) return {};
  // A pipe would be waited for, and a device is none to read from.
  const int file = ::open(real.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK);
  if (file < 0) return {};
  struct stat s {};
  std::string text;
  if (::fstat(file, &s) == 0 && S_ISREG(s.st_mode) && static_cast<std::size_t>(s.st_size) <= largest_file) {
    text.resize(static_cast<std::size_t>(s.st_size));
    const ssize_t count = ::read(file, text.data(), text.size());
    text.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
  }
  ::close(file);
  return text;
}

std::vector<std::string> read_lines(const std::string& path)
{
  std::vector<std::string> lines;
  std::istringstream in(text_of(path));
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
