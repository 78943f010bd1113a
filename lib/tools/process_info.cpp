#include "tools/process_info.hpp"

#include "tools/read_document.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace gpa::tools {

namespace {

constexpr std::string_view separators = ":, \t\r\n";

std::string folder_of(pid_t pid)
{
  return "/proc/" + std::to_string(pid) + "/";
}

std::string text_of(pid_t pid, const char* file)
{
  std::ifstream in(folder_of(pid) + file, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

// Up to the next NUL, and takes it.
std::string_view take_word(std::string_view& rest)
{
  const std::string_view word = rest.substr(0, rest.find('\0'));
  rest.remove_prefix(std::min(rest.size(), word.size() + 1));
  return word;
}

std::string options_of(pid_t pid)
{
  constexpr std::string_view name = "GPA_OPTIONS=";
  const std::string environment = text_of(pid, "environ");
  for (std::string_view rest = environment; !rest.empty();)
    if (const std::string_view word = take_word(rest); word.starts_with(name))
      return std::string(word.substr(name.size()));  // the first one is what getenv() finds
  return {};
}

// As glibc's program_invocation_short_name.
std::string program_of(pid_t pid)
{
  const std::string arguments = text_of(pid, "cmdline");
  std::string_view rest = arguments;
  return std::string(file_name(take_word(rest)));
}

// What report_path is, or was before, by the setting at the front of `rest`, which is taken off.
std::string_view path_after_setting(std::string_view& rest, std::string_view before)
{
  const std::size_t key_end = std::min(rest.find_first_of("=:, \t\r\n"), rest.size());
  const std::string_view key = rest.substr(0, key_end);
  rest.remove_prefix(key_end);
  if (!rest.starts_with('=')) return before;
  rest.remove_prefix(1);
  const bool quoted = rest.starts_with('\'') || rest.starts_with('"');
  const std::string_view ends = quoted ? rest.substr(0, 1) : separators;
  if (quoted) rest.remove_prefix(1);
  const std::size_t end = rest.find_first_of(ends);
  const std::string_view value = rest.substr(0, end);
  rest.remove_prefix(std::min(rest.size(), value.size() + 1));  // with the quote or separator behind it
  const bool is_open = quoted && end == std::string_view::npos;
  return key == "report_path" && !is_open ? value : before;
}

std::string path_in(std::string_view options)
{
  std::string_view path;
  while (!options.empty()) {
    options.remove_prefix(std::min(options.find_first_not_of(separators), options.size()));
    path = path_after_setting(options, path);
  }
  return std::string(path);
}

// In one pass: what is put in is no pattern. Without a resource `%n` stays.
std::string filled_in(std::string_view pattern, pid_t pid, std::string resource, bool& has_resource)
{
  std::replace(resource.begin(), resource.end(), '/', '_');
  std::string path;
  for (std::size_t i = 0; i != pattern.size(); ++i) {
    const std::string_view two = pattern.substr(i, 2);
    if (two == "%n") has_resource = true;
    if (two == "%p") {
      path += std::to_string(pid);
    } else if (two == "%e") {
      path += program_of(pid);
    } else if (two == "%n" && !resource.empty()) {
      path += resource;
    } else if (two == "%%") {
      path += '%';
    } else {
      path += pattern[i];
      continue;
    }
    ++i;
  }
  return path;
}

}  // namespace

std::string status_of(pid_t pid, std::string_view key)
{
  std::istringstream status(text_of(pid, "status"));
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(key)) return line.substr(std::min(line.size(), line.find_first_not_of(" \t", key.size())));
  return {};
}

std::string report_path_of(pid_t pid, const std::string& given, const std::string& resource)
{
  const std::string pattern = given.empty() ? path_in(options_of(pid)) : given;
  if (pattern.empty())
    throw refusal("process " + std::to_string(pid) +
                  " has no report_path in its GPA_OPTIONS: name the file with --file");
  bool has_resource = false;
  std::string path = filled_in(pattern, pid, resource, has_resource);
  if (has_resource && resource.empty())
    throw refusal(path + " is one file for each resource: choose one with --resource=NAME");
  if (given.empty() && path.front() != '/') path = folder_of(pid) + "cwd/" + path;
  return path;
}

}  // namespace gpa::tools
