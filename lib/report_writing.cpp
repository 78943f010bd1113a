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

#include <cerrno>
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

void append_wanted_path(text& path, std::string_view name) noexcept
{
  append_path(path, environment_settings().report_path, name);
}

void tell_unwritten(std::string_view name, int error) noexcept
{
  text path;
  append_wanted_path(path, name);
  text line;
  absl::Format(&line, "gpa: warning: the report %s of resource \"%s\" is not written (%s)\n", path.view(), name,
               ::strerrordesc_np(error));
  write_out(line);
}

void fill(new_file& file, document& d)
{
  for (listed_mistake& m : d.mistakes) m.fingerprint = fingerprint_of_report(m.report);
  write_document(d, file);
}

// As told by who looked from outside. If the resource has ended since, the report of its end stands in the file, or is
// about to: it is the newer one, and stays.
void write_from_outside(std::uint64_t birth, document& d)
{
  text path;
  append_wanted_path(path, d.name);
  new_file file(path.view());
  fill(file, d);
  core* const c = enter_core(birth);
  if (c == nullptr) return;
  const int error = file.finish();
  c->leave();
  if (error != 0) tell_unwritten(d.name, error);
}

}  // namespace

document core::describe(std::string_view reason)
{
  document d{
      .reason = reason, .name = options_.name, .checks = options_.checks, .stack_frames = options_.stack_frames};
  d.totals = stats();
  d.memory_limit = memory_limit();
  d.estimated = is_sampled();
  d.profiled = profile_.has_value();
  if (d.profiled) d.peak_age = profile_->peak().age;
  d.sites = sites();
  for (const gpa::report& r : log_.copy(d.mistakes_missing)) d.mistakes.push_back({r});
  return d;
}

int write_document(document& d, std::string_view path)
{
  new_file file(path);
  fill(file, d);
  return file.finish();
}

void core::write_wanted_report(std::string_view reason) noexcept
{
  if (environment_settings().report_path.empty() || !heeds_environment()) return;
  const errno_keeper keeper;
  int error = ENOMEM;
  try {
    document d = describe(reason);
    text path;
    append_wanted_path(path, d.name);
    error = write_document(d, path.view());
  } catch (const std::bad_alloc&) {
    // Told below.
  }
  if (error != 0) tell_unwritten(options_.name, error);
}

// Who unloads a library holds the loader's lock while its resources end, and names are looked up under that lock. So all
// are left before the first name is.
void write_all_reports(std::string_view reason) noexcept
{
  if (environment_settings().report_path.empty()) return;
  const errno_keeper keeper;
  struct described {
    std::uint64_t birth;
    document words;
  };
  list_of<core*> all;
  list_of<described> documents;
  enter_cores(all);
  for (core* const c : all) {
    try {
      if (c->heeds_environment()) documents.push_back({c->birth(), c->describe(reason)});
    } catch (const std::bad_alloc&) {
      tell_unwritten(c->options().name, ENOMEM);
    }
    c->leave();
  }
  for (described& d : documents) {
    try {
      write_from_outside(d.birth, d.words);
    } catch (const std::bad_alloc&) {
      tell_unwritten(d.words.name, ENOMEM);
    }
  }
}

}  // namespace gpa::detail
