#include "report_writing.hpp"

#include "base/errno_keeper.hpp"
#include "baseline.hpp"
#include "core.hpp"
#include "environment.hpp"
#include "os/new_file.hpp"
#include "output.hpp"
#include "path_pattern.hpp"
#include "profile/document.hpp"
#include "registry.hpp"
#include "trace/format.hpp"
#include "trace/symbolize.hpp"

#include <cstring>
#include <new>

namespace gpa::detail {

namespace {

// The stack a headline is about: of a leak the allocation, else where it was noticed.
std::uint64_t fingerprint_of_report(const gpa::report& r)
{
  const gpa::stack_trace& s = r.kind == mistake::leak || r.here.empty() ? r.allocated : r.here;
  return fingerprint_of(symbolize(s.addresses()));
}

}  // namespace

int core::write_report(std::string_view path, std::string_view reason)
{
  document d{.reason = reason, .options = options_};
  d.totals = stats();
  d.memory_limit = memory_limit();
  d.estimated = is_sampled();
  d.profiled = profile_.has_value();
  if (d.profiled) d.peak_age = profile_->peak().age;
  d.sites = sites();
  for (const gpa::report& r : log_.copy(d.mistakes_missing)) d.mistakes.push_back({r, fingerprint_of_report(r)});
  new_file file(path);
  write_document(d, file);
  return file.finish();
}

void core::write_wanted_report(std::string_view reason) noexcept
{
  const settings& s = environment_settings();
  if (s.report_path.empty() || options_.environment == environment::ignored) return;
  const errno_keeper keeper;
  text path;
  append_path(path, s.report_path, options_.name);
  int error = ENOMEM;
  try {
    error = write_report(path.view(), reason);
  } catch (const std::bad_alloc&) {
    // Told below.
  }
  if (error == 0) return;
  text line;
  absl::Format(&line, "gpa: warning: the report %s of resource \"%s\" is not written (%s)\n", path.view(),
               options_.name, ::strerrordesc_np(error));
  write_out(line);
}

void write_all_reports(std::string_view reason) noexcept
{
  if (environment_settings().report_path.empty()) return;
  list_of<core*> all;
  enter_cores(all);
  for (core* const c : all) {
    c->write_wanted_report(reason);
    c->leave();
  }
}

}  // namespace gpa::detail
