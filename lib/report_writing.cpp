#include "report_writing.hpp"

#include "base/errno_keeper.hpp"
#include "base/no_cancellation.hpp"
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
  write_out(line, name);
}

void fill(new_file& file, document& d)
{
  for (listed_mistake& m : d.mistakes) m.fingerprint = fingerprint_of_report(m.report);
  write_document(d, file);
}

// What a resource writes itself is worth more than what others wrote of it, even a moment later: that does not know why.
constexpr std::uint64_t own = std::uint64_t{1} << 63;

// Of a resource that was looked at from outside.
struct described {
  std::uint64_t birth;
  document words;
};

// 0 or an errno. If nobody remembers the resource any more, the report of its end stands in the file, and stays.
int write_described(described& d)
{
  text path;
  append_wanted_path(path, d.words.name);
  new_file file(path.view());
  fill(file, d.words);
  const pinned_core c(d.birth);
  return c ? c->put_in_place(file, d.words) : 0;
}

}  // namespace

document core::describe(std::string_view reason)
{
  document d{.reason = reason,
             .order = documents_.fetch_add(1) + 1,
             .name = options_.name,
             .checks = options_.checks,
             .stack_frames = options_.stack_frames};
  d.totals = stats();
  d.peak_is_exact = peak_is_exact(sum());
  d.memory_limit = memory_limit();
  d.estimated = is_sampled();
  d.profiled = profile_.has_value();
  if (d.profiled) d.peak_age = profile_->peak().age;
  d.sites = sites();
  for (const gpa::report& r : log_.copy(d.mistakes_missing)) d.mistakes.push_back({r});
  return d;
}

int core::put_in_place(new_file& written, const document& d) noexcept
{
  const mutex_guard guard(report_lock_);
  if (d.order < newest_document_) return 0;
  newest_document_ = d.order;
  return written.finish();
}

int write_document(document& d, std::string_view path)
{
  const no_cancellation steady;
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
    d.order |= own;
    if (d.profiled && life_.load(std::memory_order_relaxed) != life::alive) d.sites = history();
    text path;
    append_wanted_path(path, d.name);
    new_file file(path.view());
    fill(file, d);
    error = put_in_place(file, d);
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
  list_of<std::uint64_t> births;
  list_of<described> all;
  list_births(births);
  for (const std::uint64_t birth : births) {
    std::string_view name;
    core* const c = enter_core(birth, name);
    if (c == nullptr) {
      if (!name.empty()) tell_unwritten(name, EBUSY);
      continue;
    }
    try {
      if (c->heeds_environment()) all.push_back({birth, c->describe(reason)});
    } catch (const std::bad_alloc&) {
      tell_unwritten(c->options().name, ENOMEM);
    }
    c->leave();
  }
  for (described& d : all) {
    int error = ENOMEM;
    try {
      error = write_described(d);
    } catch (const std::bad_alloc&) {
      // Told below.
    }
    if (error != 0) tell_unwritten(d.words.name, error);
  }
}

}  // namespace gpa::detail
