#include "tools/symbols.hpp"

#include "tools/plain_text.hpp"
#include "tools/read_document.hpp"
#include "trace/debug_info.hpp"
#include "trace/frames.hpp"
#include "trace/libdw.hpp"
#include "trace/modules.hpp"
#include "trace/names.hpp"
#include "trace/symbol_table.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

namespace gpa::tools {

namespace {

using detail::debug_info;
using detail::frame_list;
using detail::module_list;

bool needs_names(const frame& f)
{
  return f.module != none &&
         std::all_of(f.calls.begin(), f.calls.end(), [](const call& c) { return c.file.empty() && !c.library; });
}

bool can_look_up()
{
#if GPA_HAVE_LIBDW
  return detail::libdw() != nullptr;
#else
  return false;
#endif
}

// A pipe would be waited for, and a device may do anything.
bool is_regular(const std::string& path)
{
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

// Empty where there is none.
detail::metadata_string build_id_in(const std::string& path)
{
  if (!is_regular(path)) return {};
  return detail::in_hex(detail::build_id_of_file(path.c_str()));
}

std::vector<std::string> candidates_for(const module& m, const symbol_files& where)
{
  std::vector<std::string> paths = where.binaries;
  for (const std::string& directory : where.directories) {
    if (m.build_id.size() > 2) {
      const std::string base = directory + "/.build-id/" + m.build_id.substr(0, 2) + "/" + m.build_id.substr(2);
      paths.push_back(base + ".debug");
      paths.push_back(base);
    }
    paths.push_back(directory + "/" + std::string(file_name(m.path)));
    paths.push_back(directory + "/" + std::string(file_name(m.path)) + ".debug");
  }
  paths.push_back(m.path);
  return paths;
}

std::optional<std::string> file_of(const module& m, const symbol_files& where)
{
  // Without a build id nothing tells one build from another: only a file given by its name is believed.
  if (m.build_id.empty()) {
    for (const std::string& path : where.binaries)
      if (file_name(path) == file_name(m.path) && is_regular(path)) return path;
    return std::nullopt;
  }
  for (std::string& path : candidates_for(m, where))
    if (build_id_in(path) == std::string_view(m.build_id)) return std::move(path);
  return std::nullopt;
}

std::vector<call> named(debug_info& info, const module_list& list, std::size_t module, std::uint64_t address)
{
  frame_list frames;
  info.describe(module, static_cast<std::uintptr_t>(address), frames);
  std::vector<call> calls;
  for (detail::frame& f : frames) {
    f.function = detail::readable_name(f.function);
    f.module = list.modules[module].path;
    // Files may say anything, too.
    calls.push_back({.function = without_controls(f.function),
                     .file = without_controls(f.file),
                     .line = f.line,
                     .column = f.column,
                     .inlined = f.inlined,
                     .library = detail::is_library_frame(f, list.modules[module].library)});
  }
  return calls;
}

}  // namespace

std::vector<std::string> look_up_symbols(document& d, const symbol_files& where)
{
  const auto without_names = [&d] {
    std::vector<std::size_t> count(d.modules.size());
    for (const frame& f : d.frames)
      if (needs_names(f)) ++count[f.module];
    return count;
  };
  const std::vector<std::size_t> wanted = without_names();

  std::vector<std::string> notes;
  module_list list;
  std::vector<bool> found(d.modules.size());
  const auto note = [&](std::size_t module, std::size_t frames, const std::string& why) {
    notes.push_back("no lines for " + counted(frames, "frame") + " of " + d.modules[module].path + ": " + why);
  };
  for (std::size_t i = 0; i != d.modules.size(); ++i) {
    detail::loaded_module& m = list.modules.emplace_back();
    m.path = std::string_view(d.modules[i].path);
    m.base = static_cast<std::uintptr_t>(d.modules[i].base);
    m.library = is_library(d, d.modules[i]);
    // System libraries have names enough; their debug information is large and seldom there.
    if (wanted[i] == 0 || m.library) continue;
    if (!can_look_up()) {
      note(i, wanted[i], "libdw is not there");
      continue;
    }
    const std::optional<std::string> file = file_of(d.modules[i], where);
    found[i] = file.has_value();
    if (found[i]) {
      m.file = std::string_view(*file);
    } else {
      note(i, wanted[i],
           d.modules[i].build_id.empty() ? "it has no build id; name its file with --binary"
                                         : "no file with build id " + d.modules[i].build_id);
    }
  }
  debug_info info(list);
  for (frame& f : d.frames) {
    if (!needs_names(f) || !found[f.module]) continue;
    std::vector<call> calls = named(info, list, f.module, f.address);
    if (!calls.empty()) f.calls = std::move(calls);
  }
  const std::vector<std::size_t> still = without_names();
  for (std::size_t i = 0; i != d.modules.size(); ++i)
    if (found[i] && still[i] != 0)
      note(i, still[i], std::string(list.modules[i].file) + " has no debug information of them (-g, or --debug-dir)");
  return notes;
}

std::vector<std::string> useless_files(const std::vector<const document*>& reports, const symbol_files& where)
{
  std::vector<std::string> notes;
  const auto is_directory = [](const std::string& path) {
    std::error_code ignored;
    return std::filesystem::is_directory(path, ignored);
  };
  for (const std::string& path : where.binaries) {
    const detail::metadata_string id = build_id_in(path);
    const auto is_of = [&](const document* d) {
      return std::any_of(d->modules.begin(), d->modules.end(), [&](const module& m) {
        return m.build_id.empty() ? file_name(path) == file_name(m.path) : std::string_view(id) == m.build_id;
      });
    };
    if (::access(path.c_str(), R_OK) != 0) {
      notes.push_back("--binary=" + path + ": " + std::strerror(errno));
    } else if (is_directory(path)) {
      notes.push_back("--binary=" + path + ": it is a folder; that is --debug-dir");
    } else if (!is_regular(path)) {
      notes.push_back("--binary=" + path + ": it is no regular file");
    } else if (std::none_of(reports.begin(), reports.end(), is_of)) {
      notes.push_back("--binary=" + path + ": " +
                      (id.empty() ? "it has no build id" : "no module of the report has its build id, " + std::string(id)));
    }
  }
  for (const std::string& path : where.directories) {
    if (::access(path.c_str(), X_OK) != 0) {
      notes.push_back("--debug-dir=" + path + ": " + std::strerror(errno));
    } else if (!is_directory(path)) {
      notes.push_back("--debug-dir=" + path + ": it is no folder");
    }
  }
  return notes;
}

void shorten_paths(document& d)
{
  const detail::metadata_string directory = detail::current_directory();
  for (frame& f : d.frames)
    for (call& c : f.calls)
      if (!c.file.empty()) c.file = std::string(detail::shortened_path(c.file, directory));
}

}  // namespace gpa::tools
