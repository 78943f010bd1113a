// Birth, death and the totals of a resource. Its careful calls are in core_calls.cpp, its caches in core_caches.cpp, what
// it knows of call sites in core_profile.cpp; what it tells of leaks in core_leaks.cpp, of its limit in limit_report.cpp,
// and in JSON in report_writing.cpp.
#include "core.hpp"

#include "base/no_cancellation.hpp"
#include "base/tools.hpp"
#include "environment.hpp"
#include "leak_filter.hpp"
#include "os/metadata.hpp"
#include "os/pages.hpp"
#include "os/text.hpp"
#include "os/threads.hpp"
#include "output.hpp"
#include "registry.hpp"
#include "report_signal.hpp"
#include "trace/format.hpp"
#include "trace/interned.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>

namespace gpa::detail {

namespace {

constexpr std::size_t most_name = 63;

// Longer ones push what the program uses out of the cache, however large it is: lib/README.md has the figures.
std::size_t usual_quarantine() noexcept { return std::min(second_level_cache_bytes() / 2, std::size_t{256} << 10); }

// In one line of a report, whatever was given.
std::string_view printable_name(std::string_view given) noexcept
{
  std::array<char, most_name> name;
  const auto end = std::transform(given.begin(), given.end(), name.begin(), printable);
  return interned_name({name.data(), static_cast<std::size_t>(end - name.begin())});
}

// Who asked for it from outside would wait for a history that never comes. Once a process.
void warn_if_not_profiled(const gpa::options& o) noexcept
{
  if (o.environment == environment::ignored || environment_settings().profile != true || !o.checks.is_never()) return;
  static constinit std::atomic<bool> warned{false};
  if (warned.exchange(true, std::memory_order_relaxed)) return;
  text line;
  absl::Format(&line,
               "gpa: warning: GPA_OPTIONS: profile=1 keeps no history of resource \"%s\", whose blocks are not checked "
               "(checks=always has them checked)\n",
               o.name);
  line.write_to_stderr();
}

core::decided_options decide(const gpa::options& given, build b)
{
  gpa::options o = given;
  apply_environment(o);
  // A program may leave its directory later, and with strict=1 it may end here.
  if (environment_settings().has_leak_filter()) read_leak_filter();
  o.name = o.name.empty() ? std::string_view("resource") : printable_name(shortened_to(o.name, most_name));
  if (!o.checks.decided()) o.checks = b == build::release ? checks::never() : checks::always();
  warn_if_not_profiled(o);
  const bool usual = o.quarantine_bytes == default_quarantine;
  if (usual) o.quarantine_bytes = o.checks.is_never() ? 0 : usual_quarantine();  // two microseconds, the first time
  if (o.quarantine_bytes != unlimited) o.quarantine_bytes = std::min(o.quarantine_bytes, std::size_t{1} << 40);
  o.poison_bytes = std::max(o.poison_bytes, default_poison);
  o.stack_frames = std::min(o.stack_frames, max_stack_frames);
  if (o.leak_exit_status != 0 && o.leak_exit_status % 256 == 0) o.leak_exit_status = 1;  // no parent would see it
  return {o, usual};
}

// The tables of size classes lie behind the core, of the heaps it uses: a resource without checks has none of the checked
// heap, and the other way round.
template <class Heap>
constexpr std::size_t table_bytes = sizeof(typename Heap::class_slabs) * class_count;
static_assert(alignof(core) == 64 && table_bytes<checked_heap> % alignof(fast_heap::class_slabs) == 0);

std::size_t core_bytes(const checks& c) noexcept
{
  return sizeof(core) + (c.is_never() ? 0 : table_bytes<checked_heap>) + (c.is_always() ? 0 : table_bytes<fast_heap>);
}

template <class Heap>
std::span<typename Heap::class_slabs> make_table(std::byte*& at, bool wanted) noexcept
{
  if (!wanted) return {};
  auto* const first = reinterpret_cast<typename Heap::class_slabs*>(at);
  std::uninitialized_default_construct_n(first, class_count);
  at += table_bytes<Heap>;
  return {first, class_count};
}

std::pmr::memory_resource* upstream_or_pages(std::pmr::memory_resource* upstream) noexcept
{
  return upstream == nullptr ? page_resource() : upstream;
}

}  // namespace

core::core(front& f, const decided_options& decided, std::pmr::memory_resource* upstream, std::byte* tables)
    : options_(decided.options),
      upstream_(upstream_or_pages(upstream)),
      birth_(next_number()),
      object_(&f),
      numbered_(options_.log_operations || environment_settings().break_at != 0),
      watched_(numbered_ || tools_present()),
      limit_(options_.memory_limit),
      always_limited_(options_.memory_limit != unlimited),
      reporter_(options_),
      supply_(upstream_ == page_resource() ? nullptr : upstream_,
              options_.checks.is_never() ? fast_heap::least_huge : huge_page_size,
              options_.checks.is_always() ? stock::closed : stock::open),
      checked_(*this, is_sampled() ? sampled_supply_ : supply_,
               quarantine_rule::of(options_.quarantine_bytes, decided.has_usual_quarantine), options_,
               make_table<checked_heap>(tables, !options_.checks.is_never())),
      fast_(*this, supply_, make_table<fast_heap>(tables, !options_.checks.is_always()))
{
  if (options_.profile && !options_.checks.is_never()) profile_.emplace();
  name_ = options_.name;
  for (front* const door : {&f, &handle_.door}) {
    door->way = place_of_way(birth_);
    door->heart = this;
    door->birth = birth_;
  }
  publish_new_id();
}

core* core::create(front& f, const gpa::options& o, std::pmr::memory_resource* upstream, build b)
{
  const no_cancellation steady;
  const decided_options decided = decide(o, b);
  const std::size_t bytes = core_bytes(decided.options.checks);
  void* const place = metadata_allocate(bytes);
  if (place == nullptr) throw std::bad_alloc();
  core* made = nullptr;
  try {
    made = new (place) core(f, decided, upstream, static_cast<std::byte*>(place) + sizeof(core));
    register_core(*made);
  } catch (...) {
    if (made != nullptr) made->~core();
    metadata_free(place, bytes);
    throw;
  }
  watch_exit_status(made->options_.leak_exit_status);
  answer_report_signal();
  tools_create_pool(made);
  tools_add_root(made, sizeof(core));  // what the user's handler holds
  return made;
}

void core::destroy(core& c) noexcept
{
  const std::size_t bytes = core_bytes(c.options_.checks);
  tools_forget_root(&c, sizeof(core));
  c.~core();
  metadata_free(&c, bytes);
}

void core::publish_id(std::uint64_t id) noexcept
{
  if (front* const f = object_.load(std::memory_order_acquire); f != nullptr) f->id.store(id, std::memory_order_relaxed);
  handle_.door.id.store(id, std::memory_order_relaxed);
}

// Careful are the ids of resources that a thread must not get back to by its table of caches: that asks nobody.
std::uint64_t core::new_id() const noexcept
{
  constinit static std::atomic<std::uint64_t> ids{0};
  const bool asks_for_thread = !options_.thread_safe && !options_.checks.is_never();
  const bool careful = watched_ || limit_.is_set() || profile_.has_value() || asks_for_thread;
  return make_id(ids.fetch_add(1, std::memory_order_relaxed) + 1, careful);
}

void core::publish_new_id() noexcept { publish_id(new_id()); }

void core::end(const std::pmr::memory_resource& object) noexcept
{
  const no_cancellation steady;
  static_cast<void>(deinit(nullptr));
  life_.store(life::dead, std::memory_order_relaxed);
  object_.store(nullptr, std::memory_order_release);
  std::pmr::memory_resource* const chosen = std::pmr::get_default_resource();
  if (chosen == &object || chosen == &handle_) {
    std::pmr::set_default_resource(nullptr);
    text line;
    absl::Format(&line,
                 "gpa: warning: resource \"%s\" is destroyed while it is the default resource; "
                 "new_delete_resource() is the default again\n",
                 options_.name);
    write_out(line, options_.name);
  }
  if (!may_hold_blocks() || !supply_.from_system()) retire();
}

// Whoever destroys the object and whoever frees its last block late may both see that nothing is left.
void core::retire() noexcept
{
  if (!retired_.exchange(true, std::memory_order_acq_rel)) retire_core(*this);
}

// Threads go on meanwhile. All allocations are read before all frees, so that the sum never tells more than was live when
// the first reading ended: a block that moves from one thread's count to another's on the way would be a false peak. (But
// for the bytes of one block of a thread that lost its CPU as it met the end of a word: blocks/counting_word.hpp.)
core::totals core::sum() noexcept
{
  totals t;
  const mutex_guard guard(lock_);
  const auto each_part = [first = caches_](auto count) {
    for (const cache_header* k = first; k != nullptr; k = k->next)
      for (const cache_header* part = k; part != nullptr; part = part->partner) count(part->counts, part->checked);
  };
  std::uint64_t unchecked_blocks = 0;
  std::uint64_t unchecked_bytes = 0;
  each_part([&](const tally& counts, bool checked) {
    const auto [blocks, bytes] = counts.allocated();
    t.all_blocks += blocks;
    t.all_bytes += bytes;
    unchecked_blocks += checked ? 0 : blocks;
    unchecked_bytes += checked ? 0 : bytes;
  });
  std::atomic_thread_fence(std::memory_order_acquire);
  std::uint64_t freed_blocks = late_blocks_.load(std::memory_order_relaxed);
  std::uint64_t freed_bytes = late_bytes_.load(std::memory_order_relaxed);
  each_part([&](const tally& counts, bool checked) {
    const auto [blocks, bytes] = counts.freed();
    freed_blocks += blocks;
    freed_bytes += bytes;
    unchecked_blocks -= checked ? 0 : blocks;
    unchecked_bytes -= checked ? 0 : bytes;
  });
  t.live_blocks = static_cast<std::int64_t>(t.all_blocks - freed_blocks);
  t.live_bytes = static_cast<std::int64_t>(t.all_bytes - freed_bytes);
  t.unchecked_blocks = static_cast<std::int64_t>(unchecked_blocks);
  t.unchecked_bytes = static_cast<std::int64_t>(unchecked_bytes);
  for (const cache_header* k = caches_; k != nullptr && !crossed_.load(std::memory_order_relaxed); k = k->next) {
    t.peak_blocks = std::max(t.peak_blocks, k->peak_blocks.load(std::memory_order_relaxed));
    t.peak_bytes = std::max(t.peak_bytes, k->peak_bytes.load(std::memory_order_relaxed));
  }
  return t;
}

// As sum(), but the frees first: never fewer than are live when this begins.
bool core::may_hold_blocks() noexcept
{
  const mutex_guard guard(lock_);
  const auto total = [first = caches_](auto count) {
    std::uint64_t n = 0;
    for (const cache_header* k = first; k != nullptr; k = k->next)
      for (const cache_header* part = k; part != nullptr; part = part->partner) n += count(part->counts);
    return n;
  };
  const std::uint64_t freed =
      late_blocks_.load(std::memory_order_relaxed) +
      total([](const tally& counts) { return counts.freed().blocks; });
  std::atomic_thread_fence(std::memory_order_acquire);
  const std::uint64_t allocated = total([](const tally& counts) { return counts.allocated().blocks; });
  return static_cast<std::int64_t>(allocated - freed) > 0;
}

void core::note_peak(const totals& t) noexcept
{
  const auto raise = [](std::atomic<std::size_t>& peak, std::int64_t now) {
    const std::size_t seen = now > 0 ? static_cast<std::size_t>(now) : 0;
    std::size_t known = peak.load(std::memory_order_relaxed);
    while (known < seen && !peak.compare_exchange_weak(known, seen, std::memory_order_relaxed)) {
    }
  };
  raise(peak_blocks_, std::max(t.live_blocks, t.peak_blocks));
  raise(peak_bytes_, std::max(t.live_bytes, t.peak_bytes));
  if (profile_.has_value() && options_.checks.is_always()) {
    const whole_peak known = profile_->peak();
    raise(peak_blocks_, known.blocks);
    raise(peak_bytes_, known.bytes);
  }
}

void core::heartbeat() noexcept { note_peak(sum()); }

statistics core::stats() noexcept
{
  const totals t = sum();
  note_peak(t);
  const auto count = [](std::int64_t n) { return n > 0 ? static_cast<std::size_t>(n) : 0; };
  statistics s;
  s.live_blocks = count(t.live_blocks);
  s.live_bytes = count(t.live_bytes);
  s.peak_blocks = peak_blocks_.load(std::memory_order_relaxed);
  s.peak_bytes = peak_bytes_.load(std::memory_order_relaxed);
  s.total_blocks = t.all_blocks;
  s.total_bytes = t.all_bytes;
  s.held_bytes = checked_.held_bytes() + fast_.held_bytes();
  s.mistakes = reporter_.mistakes();
  s.upstream_calls = supply_.calls();
  return s;
}

void core::set_memory_limit(std::size_t bytes) noexcept
{
  const mutex_guard guard(lock_);
  const bool begins = bytes != unlimited && !limit_.is_set();
  if (begins) limit_.begin();
  limit_.set(bytes);
  if (bytes == unlimited) always_limited_.store(false, std::memory_order_relaxed);
  if (life_.load(std::memory_order_relaxed) != life::alive) return;
  publish_new_id();  // hot paths come to the careful path, or return to their own
  if (!begins) return;
  for (cache_header* k = caches_; k != nullptr; k = k->next) limit_.catch_up_for(*k);
}

void core::tell(gpa::report r) noexcept
{
  const no_cancellation steady;
  // A pointer that is no block's has no number; that an old block began there says nothing.
  if (numbered_ && r.kind != mistake::invalid_pointer) r.number = numbers_.of(r.address);
  if (!environment_settings().contents) r.memory = {};
  log_.add(r);
  if (!reporter_.tell(r)) return;
  // After deinit() only its history is still known: without one, the report of the end says more than another would.
  if (life_.load(std::memory_order_relaxed) == life::alive || profile_.has_value()) write_wanted_report("abort");
  tools_end_quiet();
  std::abort();
}

check core::deinit(const void* caller) noexcept
{
  if (life_.load(std::memory_order_relaxed) != life::alive || ending_) return verdict_;
  const no_cancellation steady;
  ending_ = true;  // until all is told, a handler may use the resource as ever, but not end it again
  const tools_quiet quiet;
  const std::size_t leaked = tell_leaks(caller != nullptr ? leak_occasion::deinit : leak_occasion::destruction);
  if (leaked != 0) demand_exit_status(options_.leak_exit_status);
  const std::uint32_t here = caller != nullptr ? capture(caller) : 0;
  checked_.verify({gpa::stack_trace(here, this_thread_number()),
                   caller != nullptr ? "found by deinit()" : "found when the resource ended"});
  tell_unshown();
  verdict_ = leaked != 0 ? check::leak : reporter_.mistakes() != 0 ? check::misuse : check::ok;
  write_wanted_report("deinit");
  gate_.end();
  publish_id(dead_id);
  life_.store(life::deinitialised, std::memory_order_relaxed);
  checked_.bury();
  if (sum().unchecked_blocks <= 0 || !supply_.from_system()) {
    fast_.release();
  } else {
    flush_caches();
    fast_.bury();
  }
  supply_.end();
  if (verdict_ == check::ok && reporter_.mistakes() != 0) verdict_ = check::misuse;  // of an upstream that was given memory back
  return verdict_;
}

}  // namespace gpa::detail
