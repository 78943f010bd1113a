// What /proc tells of a process that is watched: its state, and the file that it writes its reports to.
//
// GPA_OPTIONS is read as the library reads it: settings are separated by colons, commas or white space, a value that
// has those stands in quotes, the last one counts. In a path `%p` is the process id, `%e` the program's name, `%n` the
// resource's, `%%` a percent sign.
//
// Thread-safe.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

namespace gpa::tools {

/// What stands behind `key` in the status of a process; empty where there is none.
[[nodiscard]] std::string status_of(pid_t pid, std::string_view key);

/// Where the reports of `resource` are, by `given` or else by the environment the process began with. Throws refusal
/// where neither says so.
[[nodiscard]] std::string report_path_of(pid_t pid, const std::string& given, const std::string& resource);

}  // namespace gpa::tools
