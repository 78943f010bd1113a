// What a gpa::resource is behind its front door: options, heaps, thread caches, limit, verdict. Outlives the resource
// object while blocks are live, so that frees that come too late are safe and told.
//
//    alive --deinit()--> deinitialised --~resource()--> dead --last block freed--> retired (registry.hpp)
//
// Hot paths (front_door.hpp) never get here: they find this thread's cache by the resource's id and go straight to a
// heap. Everything they do not find comes through the careful paths below, which know of limits, logs, tools, wrong
// threads and death. A resource with any of these to watch is never entered into a thread's ways, so its calls all
// come here; setting or clearing a limit changes the id, so that those who are on the hot path notice.
//
// Thread-safe, except where gpa::resource says otherwise.
#pragma once

#include <gpa/resource.hpp>

#include "allocation_numbers.hpp"
#include "base/attributes.hpp"
#include "base/mutex.hpp"
#include "blocks/owner.hpp"
#include "blocks/supply.hpp"
#include "blocks/thread_caches.hpp"
#include "checked/checked_heap.hpp"
#include "fast/fast_heap.hpp"
#include "late_handle.hpp"
#include "limit.hpp"
#include "profile/gate.hpp"
#include "profile/mistake_log.hpp"
#include "profile/profile.hpp"
#include "registry.hpp"
#include "reporter.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <optional>
#include <string_view>

namespace gpa::detail {

struct document;
struct leak_group;
struct site_counts;
class new_file;

/// When leaks are looked for: by detect_leaks(), at the end of the resource, after the last static destructor.
enum class leak_occasion : std::uint8_t { scan, deinit, destruction, exit };
[[nodiscard]] constexpr bool is_end(leak_occasion o) noexcept
{
  return o == leak_occasion::deinit || o == leak_occasion::destruction;
}

enum class life : std::uint8_t { alive, deinitialised, dead };

class core final : public owner {
 public:
  struct decided_options {
    gpa::options options;
    bool has_usual_quarantine;
  };
  /// Throws std::bad_alloc.
  [[nodiscard]] static core* create(front& f, const gpa::options& o, std::pmr::memory_resource* upstream, build b);
  /// The resource object is about to go.
  void end(const std::pmr::memory_resource& object) noexcept;
  static void destroy(core& c) noexcept;

  [[nodiscard]] std::uint64_t birth() const noexcept { return birth_; }
  [[nodiscard]] const gpa::options& options() const noexcept { return options_; }
  [[nodiscard]] std::pmr::memory_resource* upstream() const noexcept { return upstream_; }
  [[nodiscard]] std::pmr::memory_resource* handle() noexcept { return &handle_; }

  // What the hot path of front_door.hpp uses.
  [[nodiscard]] checked_heap& checked() noexcept { return checked_; }
  [[nodiscard]] void* allocate_unchecked(cache_header& k, std::size_t bytes, std::size_t alignment,
                                         const void* caller) noexcept;
  bool deallocate_unchecked(cache_header& k, void* p, std::size_t bytes, std::size_t alignment,
                            const void* caller) noexcept;

  [[nodiscard]] GPA_NOINLINE void* allocate_careful(std::size_t bytes, std::size_t alignment,
                                                    const void* caller) noexcept;
  GPA_NOINLINE void deallocate_careful(void* p, std::size_t bytes, std::size_t alignment,
                                       const void* caller) noexcept;
  [[nodiscard]] bool try_resize(void* p, std::size_t old_bytes, std::size_t new_bytes, std::size_t alignment,
                                const void* caller) noexcept;

  [[nodiscard]] check deinit(const void* caller) noexcept;
  std::size_t detect_leaks() noexcept;
  std::size_t verify(const void* caller, std::string_view words = "found by verify()") noexcept;
  void trim(const void* caller) noexcept;
  void release() noexcept;
  void ignore(const void* p, const void* caller) noexcept;
  [[nodiscard]] statistics stats() noexcept;
  void set_memory_limit(std::size_t bytes) noexcept;
  [[nodiscard]] std::size_t memory_limit() const noexcept { return limit_.bytes(); }
  /// process_resource() at exit: what is live, what static storage still points at counted apart.
  void report_at_exit() noexcept;

  // In core_profile.cpp.
  [[nodiscard]] snapshot take_snapshot();
  [[nodiscard]] traced_memory traced() noexcept;
  void reset_peak() noexcept;
  [[nodiscard]] gpa::stack_trace origin(const void* p) const noexcept;

  // In report_writing.cpp.
  /// All that a JSON document says, but for what needs names. Throws std::bad_alloc.
  [[nodiscard]] document describe(std::string_view reason);
  /// Puts what describe() gave, and was written since, in its place, unless a later one stands there. 0 or an errno.
  [[nodiscard]] int put_in_place(new_file& written, const document& d) noexcept;
  /// Where GPA_OPTIONS says, if it does; a warning where that fails.
  void write_wanted_report(std::string_view reason) noexcept;
  /// Whether GPA_OPTIONS has a say here.
  [[nodiscard]] bool heeds_environment() const noexcept { return options_.environment != environment::ignored; }

  void tell(gpa::report r) noexcept override;
  void heartbeat() noexcept override;

  registry_entry in_registry;

  // For the registry. Whoever enters keeps the resource from its end; false once that has begun.
  [[nodiscard]] bool enter() noexcept { return gate_.enter(); }
  void leave() noexcept { gate_.leave(); }
  [[nodiscard]] bool has_ended() const noexcept { return gate_.has_ended(); }
  void orphan(cache_header& k) noexcept;
  void thread_ended(cache_header& k) noexcept;
  [[nodiscard]] bool has_caches() noexcept;
  void drop_heaps() noexcept;
  void lock_for_fork() noexcept;
  void unlock_after_fork() noexcept;
  void become_child(std::uint32_t survivor) noexcept;

 private:
  friend class cache_lease;
  /// `tables`: where those of the heaps it uses have room.
  core(front& f, const decided_options& decided, std::pmr::memory_resource* upstream, std::byte* tables);
  ~core() = default;

  struct totals {
    std::int64_t live_blocks = 0;
    std::int64_t live_bytes = 0;
    std::uint64_t all_blocks = 0;
    std::uint64_t all_bytes = 0;
    std::int64_t unchecked_blocks = 0;  // live ones of the fast heap
    std::int64_t unchecked_bytes = 0;
    std::int64_t peak_blocks = 0;  // of any cache whose own is exact
    std::int64_t peak_bytes = 0;
  };
  [[nodiscard]] totals sum() noexcept;
  [[nodiscard]] bool may_hold_blocks() noexcept;
  void retire() noexcept;
  void note_peak(const totals& t) noexcept;
  [[nodiscard]] bool is_sampled() const noexcept { return options_.checks.interval() > 1; }
  [[nodiscard]] list_of<site_counts> sites();
  [[nodiscard]] list_of<site_counts> history();
  void note_allocation(const void* p, std::size_t bytes) noexcept;
  [[nodiscard]] std::uint64_t life_of(const void* p) const noexcept;

  [[nodiscard]] bool is_plain() const noexcept;
  void publish_id(std::uint64_t id) noexcept;
  [[nodiscard]] std::uint64_t new_id() const noexcept;
  void publish_new_id() noexcept;
  void add_orphan(cache_header& k) noexcept GPA_REQUIRES(lock_);
  void flush(cache_header& k) noexcept;
  void flush_caches() noexcept;
  void flush_orphans() noexcept;
  void list_lost_orphans() noexcept GPA_REQUIRES(lock_);
  GPA_COLD void note_crossing() noexcept;
  [[nodiscard]] bool check_thread(const void* caller, void* p, std::size_t bytes, std::size_t alignment,
                                  std::string_view reason = {}) noexcept;
  [[nodiscard]] cache_header* make_cache() noexcept;
  void name_owner(cache_header& k) const noexcept;
  [[nodiscard]] cache_header* adopt_or_make_cache() noexcept;
  [[nodiscard]] bool has_sole_cache() const noexcept { return !options_.thread_safe && options_.checks.is_never(); }
  [[nodiscard]] void* refuse(mistake kind, std::size_t bytes, std::size_t alignment, const void* caller) noexcept;
  [[nodiscard]] std::uint32_t capture(const void* caller) const noexcept;
  void late_free(void* p, std::size_t bytes, std::size_t alignment, const void* caller) noexcept;
  std::size_t tell_leaks(leak_occasion occasion) noexcept;
  GPA_COLD void tell_limit(std::size_t bytes, const void* caller) noexcept;
  void tell_unshown() noexcept;
  GPA_COLD void tell_of_upstream(std::size_t wanted) const noexcept;
  [[nodiscard]] gpa::report leak_report(const leak_group& g) noexcept;
  void keep_contents(gpa::report& r) noexcept;
  void tell_totals(const totals& t) noexcept;
  [[nodiscard]] bool peak_is_exact(const totals& t) const noexcept;
  void log_line(const char* what, const void* p, std::size_t bytes, std::size_t alignment, bool refused = false) noexcept;
  void log_refusal(std::size_t bytes, std::size_t alignment, std::uint64_t number) noexcept;
  [[nodiscard]] std::uint64_t number_allocation(std::size_t bytes, std::size_t alignment) noexcept;

  const gpa::options options_;
  std::pmr::memory_resource* const upstream_;
  const std::uint64_t birth_;
  std::atomic<front*> object_;  // the resource's; null once it is gone
  late_handle handle_;
  std::atomic<life> life_{life::alive};
  bool ending_ = false;  // in deinit()
  check verdict_ = check::ok;
  bool dropped_ GPA_GUARDED_BY(lock_) = false;
  const bool numbered_;  // allocations have numbers
  const bool watched_;   // numbers, logs or tools: every call is careful
  std::atomic<std::uint32_t> owning_thread_{0};  // thread_safe = false
  std::atomic<bool> retired_{false};
  std::atomic<std::uint64_t> late_blocks_{0};    // freed after deinit()
  std::atomic<std::uint64_t> late_bytes_{0};
  std::atomic<std::size_t> limits_told_{0};  // with report_limit, those that were not shown too
  std::atomic<std::size_t> peak_blocks_{0};
  std::atomic<std::size_t> peak_bytes_{0};
  std::int64_t inherited_blocks_ = 0;  // unchecked ones from before a fork
  std::uint32_t forks_ = 0;  // that this is the child of; counts may be off by what lost threads were about to do
  std::int64_t inherited_bytes_ = 0;
  limit limit_;
  std::atomic<bool> always_limited_;  // no allocation was made without a limit
  reporter reporter_;
  allocation_numbers numbers_;
  std::optional<profile> profile_;
  mistake_log log_;
  gate gate_;
  std::atomic<std::uint64_t> documents_{0};  // described so far
  mutex report_lock_;  // the child of a fork makes it anew: files are moved under it
  std::uint64_t newest_document_ GPA_GUARDED_BY(report_lock_) = 0;  // of those in their place

  mutex lock_;
  cache_header* caches_ GPA_GUARDED_BY(lock_) = nullptr;
  cache_header* orphans_ GPA_GUARDED_BY(lock_) = nullptr;
  std::atomic<bool> crossed_{false};         // thread_safe = false, and a call of another thread was carried out
  std::atomic<cache_header*> sole_{nullptr};  // thread_safe = false, without checks: every thread's

  supply supply_;
  supply sampled_supply_{supply::of_sampled_blocks()};
  checked_heap checked_;
  fast_heap fast_;
};

}  // namespace gpa::detail
