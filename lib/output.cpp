#include "output.hpp"

#include "base/errno_keeper.hpp"
#include "base/no_cancellation.hpp"
#include "environment.hpp"
#include "os/files.hpp"
#include "path_pattern.hpp"
#include "trace/annotation.hpp"
#include "trace/format.hpp"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

namespace gpa::detail {

namespace {

void warn_once(std::string_view path, int error) noexcept
{
  static constinit std::atomic<bool> warned{false};
  if (warned.exchange(true, std::memory_order_relaxed)) return;
  text line;
  absl::Format(&line, "gpa: warning: log_path=%s cannot be written (%s); reports go to stderr\n", path,
               ::strerrordesc_np(error));
  line.write_to_stderr();
}

// False where texts go to stderr.
bool write_to_log(const text& t, std::string_view resource) noexcept
{
  const std::string_view pattern = environment_settings().log_path;
  if (pattern.empty()) return false;
  text path;
  append_path(path, pattern, resource);
  path.append(1, '\0');
  if (append_to_file(path.view().data(), t)) return true;
  warn_once(path.view().data(), errno);
  return false;
}

bool is_wanted(when w, bool here) noexcept
{
  return w == when::always || (w == when::automatic && here);
}

}  // namespace

void write_out(const text& t, std::string_view resource) noexcept
{
  write_out(text(), t, resource);
}

void write_out(const text& annotations, const text& t, std::string_view resource) noexcept
{
  const no_cancellation steady;
  const errno_keeper keeper;
  if (write_to_log(t, resource)) {
    if (!annotations.empty()) annotations.write_to_stderr();
  } else if (annotations.empty()) {
    t.write_to_stderr();
  } else {
    text both;
    both.append(annotations.view());
    both.append(t.view());
    both.write_to_stderr();
  }
}

report_style style_of_output() noexcept
{
  const errno_keeper keeper;
  const settings& s = environment_settings();
  const bool on_terminal = s.log_path.empty() && !s.color_unwanted && ::isatty(STDERR_FILENO) == 1;
  return {.color = is_wanted(s.color, on_terminal), .source = s.source, .all_frames = s.view == view::all};
}

void append_wanted_annotation(text& annotations, const gpa::report& r) noexcept
{
  const settings& s = environment_settings();
  if (is_wanted(s.annotations, s.in_github)) append_annotation(annotations, r, s.workspace);
}

}  // namespace gpa::detail
