#include "trace/frames.hpp"

#include "trace/names.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>

// Where gpa was built from; given by the build. Without it a statically linked gpa is known by its namespace alone.
#ifndef GPA_SOURCE_DIR
#define GPA_SOURCE_DIR ""
#endif

namespace gpa::detail {

namespace {

constexpr std::string_view source_directory = GPA_SOURCE_DIR;

// Parts of paths no user's file has: where compilers keep their headers.
constexpr std::array<std::string_view, 4> library_parts = {"/include/c++/", "/lib/gcc/", "/lib/clang/",
                                                           "/libstdc++-v3/"};

constexpr std::array<std::string_view, 3> library_namespaces = {"std::", "__gnu_cxx::", "__cxxabiv1::"};

// What of gpa may stand on a stack; users may have a namespace of that name, too.
constexpr std::array<std::string_view, 4> own_scopes = {"gpa::detail::", "gpa::resource::", "gpa::stack_trace::",
                                                        "gpa::default_resource_guard::"};
constexpr std::array<std::string_view, 4> own_functions = {"gpa::page_resource", "gpa::process_resource",
                                                           "gpa::to_string", "gpa_on_mistake"};

constexpr std::array<std::string_view, 6> start_up = {
    "_start", "__libc_start_main", "__libc_start_call_main", "__libc_start_main_impl", "start_thread", "clone3"};

bool contains(std::string_view text, std::string_view part) noexcept
{
  return text.find(part) != std::string_view::npos;
}

bool is_in_source(std::string_view file, std::string_view folder) noexcept
{
  return !source_directory.empty() && file.starts_with(source_directory) &&
         file.substr(source_directory.size()).starts_with(folder);
}

bool is_library_file(std::string_view file)
{
  const metadata_string path = shortened_path(file, {});
  if (path.starts_with("/usr/include/") || path.starts_with("/usr/local/include/")) return true;
  if (is_in_source(path, "/lib/") || is_in_source(path, "/include/") || contains(path, "/include/gpa/")) return true;
  return std::any_of(library_parts.begin(), library_parts.end(),
                     [&path](std::string_view part) { return contains(path, part); });
}

bool is_own_function(std::string_view path) noexcept
{
  return std::find(own_functions.begin(), own_functions.end(), path) != own_functions.end() ||
         std::any_of(own_scopes.begin(), own_scopes.end(),
                     [path](std::string_view own) { return path.starts_with(own); });
}

// By name, where the build mapped our source directory to another: then its files still lie in lib and include.
bool is_own_file_elsewhere(std::string_view file)
{
  const metadata_string path = shortened_path(file, {});
  return !is_in_source(path, "/") && (path.starts_with("lib/") || path.starts_with("../lib/") ||
                                      path.starts_with("include/gpa/") || contains(path, "/lib/"));
}

// libstdc++ 12's demangler cannot read some names of its own library: "_ZZSt5apply...", "_ZNKSt6vector...".
bool is_mangled_library_name(std::string_view path) noexcept
{
  if (!path.starts_with("_Z")) return false;
  path.remove_prefix(2);
  while (path.starts_with('Z')) path.remove_prefix(1);  // of what is inside a function
  if (path.starts_with('N')) {
    path.remove_prefix(1);
    while (!path.empty() && std::string_view("rVKRO").find(path.front()) != std::string_view::npos) path.remove_prefix(1);
  }
  constexpr std::array<std::string_view, 9> library_prefixes = {"St", "Sa", "Sb", "Ss", "Si", "So", "Sd", "9__gnu_cxx", "10__cxxabiv1"};
  return std::any_of(library_prefixes.begin(), library_prefixes.end(),
                     [path](std::string_view known) { return path.starts_with(known); });
}

bool is_library_function(std::string_view path, std::string_view file)
{
  if (std::find(start_up.begin(), start_up.end(), path) != start_up.end()) return true;
  const bool own = is_own_function(path);
  // With a file, the file decides: users specialise std::hash, and gpa's own tests live in its namespace.
  if (!file.empty()) return own && is_own_file_elsewhere(file);
  return own || is_mangled_library_name(path) ||
         std::any_of(library_namespaces.begin(), library_namespaces.end(),
                            [path](std::string_view known) { return path.starts_with(known); });
}

}  // namespace

bool is_library_frame(const frame& f, bool in_library_module) noexcept
try {
  return in_library_module || is_library_function(function_path(f.function), f.file) ||
         (!f.file.empty() && is_library_file(f.file));
} catch (...) {
  return false;  // no memory: shown rather than hidden
}

metadata_string shortened_path(std::string_view path, std::string_view directory)
{
  const bool absolute = path.starts_with('/');
  metadata_string result;
  result.reserve(path.size());
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    if (part.empty() || part == ".") continue;
    const std::size_t before = result.rfind('/');
    const std::string_view last =
        std::string_view(result).substr(before == metadata_string::npos ? 0 : before + 1);
    if (part == ".." && !last.empty() && last != "..") {
      result.resize(before == metadata_string::npos ? 0 : before);
      continue;
    }
    if (part == ".." && absolute) continue;
    if (absolute || !result.empty()) result.push_back('/');
    result.append(part);
  }
  if (absolute && result.empty()) result.push_back('/');
  const std::string_view whole(result);
  if (directory.size() > 1 && whole.starts_with(directory) && whole.substr(directory.size()).starts_with('/'))
    result.erase(0, directory.size() + 1);
  return result;
}

metadata_string current_directory()
{
  std::array<char, 4096> buffer;
  return ::getcwd(buffer.data(), buffer.size()) != nullptr ? metadata_string(buffer.data()) : metadata_string();
}

std::string_view suppression_pattern(const frame& f) noexcept
{
  std::string_view name = f.function;
  if (name.empty()) return std::string_view(f.module).substr(f.module.rfind('/') + 1);
  const std::size_t close = name.rfind(')');
  if (close == std::string_view::npos) return name;
  std::size_t depth = 0;
  for (std::size_t i = close + 1; i-- != 0;) {
    if (name[i] == ')') ++depth;
    if (name[i] != '(' || --depth != 0) continue;
    const std::string_view before = name.substr(0, i);
    const bool parameters = i != 0 && before.back() != ' ' && before.back() != ':' && !before.ends_with("operator");
    return parameters ? before : name;  // of "(anonymous namespace)::f" and "operator()<int>" all is the name
  }
  return name;
}

std::size_t frames_to_main(const frame_list& frames) noexcept
{
  for (std::size_t i = 0; i != frames.size(); ++i)
    if (!frames[i].library && function_path(frames[i].function) == "main") return i + 1;
  return frames.size();
}

const frame* first_worth_showing(const frame_list& frames) noexcept
{
  const auto first = [&frames](auto&& good) -> const frame* {
    const auto found = std::find_if(frames.begin(), frames.end(), good);
    return found != frames.end() ? &*found : nullptr;
  };
  if (const frame* const f = first([](const frame& g) { return !g.library && g.line != 0; })) return f;
  if (const frame* const f = first([](const frame& g) { return !g.library; })) return f;
  if (const frame* const f = first([](const frame& g) { return !g.function.empty(); })) return f;
  return frames.empty() ? nullptr : &frames.front();
}

}  // namespace gpa::detail
