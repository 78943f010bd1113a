#include "leak_filter.hpp"

#include "base/errno_keeper.hpp"
#include "base/mutex.hpp"
#include "baseline.hpp"
#include "environment.hpp"
#include "os/files.hpp"
#include "os/metadata.hpp"
#include "suppressions.hpp"
#include "trace/format.hpp"
#include "trace/frames.hpp"
#include "trace/headline.hpp"
#include "trace/interned.hpp"
#include "trace/symbolize.hpp"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>

namespace gpa::detail {

namespace {

struct filter {
  suppressions unwanted;
  baseline known;
};

void complain_of_file(text& complaints, std::string_view key, std::string_view path, std::string_view what) noexcept
{
  absl::Format(&complaints, "gpa: warning: %s=%s cannot be %s (%s)\n", key, path, what, ::strerrordesc_np(errno));
}

// Settings are views into one long text, and the system wants a path that ends.
class c_path {
 public:
  explicit c_path(std::string_view path) noexcept
  {
    whole_.append(path);
    whole_.append(1, '\0');
  }
  [[nodiscard]] const char* get() const noexcept { return whole_.view().data(); }

 private:
  text whole_;
};

// What the file holds, for the rest of the process; empty, and told, where it cannot be read.
std::string_view content_of(std::string_view key, std::string_view path, text& complaints) noexcept
{
  if (path.empty()) return {};
  text content;
  if (append_file(content, c_path(path).get())) return interned_name(content.view());
  if (errno == ENOENT && key == "baseline" && path == environment_settings().write_baseline) return {};  // it is to be made
  complain_of_file(complaints, key, path, "read");
  return {};
}

filter read_filter(text& complaints) noexcept
{
  const settings& s = environment_settings();
  filter f;
  try {
    f.unwanted = suppressions(content_of("suppressions", s.suppressions, complaints), s.suppressions, complaints);
    f.known = baseline(content_of("baseline", s.baseline, complaints), s.baseline, complaints);
  } catch (const std::bad_alloc&) {
    text note;  // no complaint of the files
    note.append("gpa: warning: no memory for all suppressions and the baseline\n");
    note.write_to_stderr();
  }
  return f;
}

constinit std::atomic<const filter*> known_filter{nullptr};

// As for other words that are wrong.
void tell_complaints(const text& complaints) noexcept
{
  if (!environment_settings().strict) return complaints.write_to_stderr();
  constexpr std::string_view warning = "gpa: warning: ";
  text errors;
  for (std::string_view rest = complaints.view(); !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n') + 1);
    rest.remove_prefix(line.size());
    errors.append("gpa: error: ");
    errors.append(line.substr(line.starts_with(warning) ? warning.size() : 0));
  }
  errors.write_to_stderr();
  ::_exit(2);
}

// Never destroyed: the last leaks are told after the last static destructor. Threads may read the files at once, and one
// of them is believed: a child of a fork meanwhile waits for nobody. Null: no memory for it.
const filter* environment_filter() noexcept
{
  const filter* known = known_filter.load(std::memory_order_acquire);
  if (known != nullptr) return known;
  void* const place = metadata_allocate(sizeof(filter));
  if (place == nullptr) return nullptr;
  text complaints;
  auto* const fresh = new (place) filter(read_filter(complaints));
  if (known_filter.compare_exchange_strong(known, fresh, std::memory_order_acq_rel)) {
    if (!complaints.empty()) tell_complaints(complaints);
    return fresh;
  }
  std::destroy_at(fresh);
  metadata_free(place, sizeof(filter));
  return known;
}

using fingerprints = hash_set<std::uint64_t>;

constinit mutex written_lock;
alignas(fingerprints) std::byte written_storage[sizeof(fingerprints)];
constinit fingerprints* written GPA_GUARDED_BY(written_lock) = nullptr;  // never destroyed

// Whether this process has not written the fingerprint yet.
bool is_first(std::uint64_t fingerprint)
{
  const mutex_guard guard(written_lock);
  if (written == nullptr) written = new (written_storage) fingerprints;
  return written->insert(fingerprint).second;
}

void write_to_baseline(std::string_view path, std::uint64_t fingerprint, const gpa::report& leak,
                       const frame_list& stack)
{
  if (!is_first(fingerprint)) return;
  text line;
  absl::Format(&line, "%016x ", fingerprint);
  append_headline(line, leak);
  if (const frame* const f = first_worth_showing(stack); f != nullptr && !f->function.empty())
    absl::Format(&line, ": %s", std::string_view(f->function));
  line.append("\n");
  if (append_to_file(c_path(path).get(), line)) return;
  static constinit std::atomic<bool> warned{false};
  if (warned.exchange(true, std::memory_order_relaxed)) return;
  text complaint;
  complain_of_file(complaint, "write_baseline", path, "written");
  complaint.write_to_stderr();
}

}  // namespace

void read_leak_filter() noexcept
{
  static_cast<void>(environment_filter());
}

void leak_filter_lock() noexcept GPA_ACQUIRE(written_lock)
{
  written_lock.lock();
}

void leak_filter_unlock() noexcept GPA_RELEASE(written_lock)
{
  written_lock.unlock();
}

leak_verdict fate_of(const gpa::report& leak) noexcept
{
  const settings& s = environment_settings();
  if (!s.has_leak_filter() && s.write_baseline.empty()) return {};
  const errno_keeper keeper;
  const filter* const f = environment_filter();
  if (f == nullptr) return {};
  try {
    const frame_list stack = symbolize(leak.allocated.addresses());
    if (stack.empty()) return {};
    if (const std::string_view p = f->unwanted.match(stack); !p.empty()) return {leak_fate::suppressed, p};
    const std::uint64_t fingerprint = fingerprint_of(stack);
    if (f->known.contains(fingerprint)) return {leak_fate::known, {}};
    if (!s.write_baseline.empty()) write_to_baseline(s.write_baseline, fingerprint, leak, stack);
  } catch (...) {
    // No memory for names: better told than lost.
  }
  return {};
}

}  // namespace gpa::detail
