// The careful paths: what an allocation, a free or a resize goes through when the hot path did not find it plain, and a
// free after the end. And the calls that go over the whole heap: verify(), trim(), ignore(), release().
#include "base/bits.hpp"
#include "base/tools.hpp"
#include "cache_lease.hpp"
#include "core.hpp"
#include "environment.hpp"
#include "os/metadata.hpp"
#include "os/threads.hpp"
#include "output.hpp"
#include "registry.hpp"
#include "sampling.hpp"
#include "trace/format.hpp"
#include "trace/headline.hpp"
#include "trace/interned.hpp"

namespace gpa::detail {

namespace {

constexpr std::size_t most_bytes = std::size_t{1} << 47;

// Opens to us the slot of a block that is about to be freed rightly: its poison goes over what is closed to the user.
void open_slot_of(const judgement& j) noexcept
{
  if (j.right && j.in_slab != nullptr) tools_open(j.block, j.in_slab->slot_bytes);
}

// Closes the slot again. Only this thread can hand it out yet: it stands in our own ring.
void close_slot_of(const judgement& j) noexcept
{
  if (j.right && j.in_slab != nullptr) tools_close(j.block, j.in_slab->slot_bytes);
}

}  // namespace

bool core::is_plain() const noexcept
{
  return !watched_ && !limit_.is_set() && !profile_.has_value() && !crossed_.load(std::memory_order_relaxed) &&
         my_thread.ignoring == 0 && my_thread.tag == 0 &&
         life_.load(std::memory_order_relaxed) == life::alive;
}

std::uint32_t core::capture(const void* caller) const noexcept { return capture_stack(options_.stack_frames, caller); }

void* core::refuse(mistake kind, std::size_t bytes, std::size_t alignment, const void* caller) noexcept
{
  gpa::report r;
  r.kind = kind;
  r.resource = options_.name;
  r.given_bytes = bytes;
  r.given_alignment = alignment;
  r.here = gpa::stack_trace(capture(caller), this_thread_number());
  tell(r);
  return nullptr;
}

// False: another thread owns a resource that is not thread-safe, and that was told. A resource without a live block
// changes hands.
bool core::check_thread(const void* caller, void* p, std::size_t bytes, std::size_t alignment,
                        std::string_view reason) noexcept
{
  if (options_.thread_safe || options_.checks.is_never()) return true;
  const std::uint32_t self = this_thread_serial();
  std::uint32_t owner_now = owning_thread_.load(std::memory_order_relaxed);
  if (owner_now == self) return true;
  // Of two that come at once one is the wrong one.
  if ((owner_now == 0 || !may_hold_blocks()) &&
      owning_thread_.compare_exchange_strong(owner_now, self, std::memory_order_relaxed)) {
    if (owner_now != 0) publish_new_id();  // the owner before must notice
    return true;
  }
  note_crossing();
  gpa::report r;
  r.kind = mistake::wrong_thread;
  r.resource = options_.name;
  r.reason = reason;
  r.address = p;
  r.given_bytes = bytes;
  r.given_alignment = alignment;
  r.here = gpa::stack_trace(capture(caller), this_thread_number());
  if (p != nullptr) r.allocated = origin(p);  // whose block it is
  tell(r);
  return false;
}

// From now on a block may be counted where it was made and its free elsewhere: what each cache knows of the peak is no
// more the peak of all, which every allocation looks at instead.
void core::note_crossing() noexcept
{
  if (crossed_.load(std::memory_order_relaxed)) return;
  heartbeat();
  crossed_.store(true, std::memory_order_relaxed);
  publish_new_id();
}

void core::log_line(const char* what, const void* p, std::size_t bytes, std::size_t alignment, bool refused) noexcept
{
  text line;
  absl::Format(&line, "gpa: resource \"%s\": %s %d bytes aligned to %d at %p", options_.name, what, bytes, alignment,
               p);
  if (const std::uint64_t number = numbers_.of(p); number != 0) absl::Format(&line, ", allocation no. %d", number);
  line.append(refused ? ", refused\n" : "\n");
  write_out(line, options_.name);
}

void core::log_refusal(std::size_t bytes, std::size_t alignment, std::uint64_t number) noexcept
{
  text line;
  absl::Format(&line, "gpa: resource \"%s\": allocate %d bytes aligned to %d refused", options_.name, bytes, alignment);
  if (number != 0) absl::Format(&line, ", allocation no. %d", number);
  line.append("\n");
  write_out(line, options_.name);
}

// Stops where GPA_OPTIONS=break_at says: a debugger's breakpoint is at gpa_on_mistake().
std::uint64_t core::number_allocation(std::size_t bytes, std::size_t alignment) noexcept
{
  const std::uint64_t number = numbers_.next();
  if (number == environment_settings().break_at) {
    text line;
    absl::Format(&line, "gpa: resource \"%s\": break_at: allocation no. %d, of %d bytes aligned to %d\n", options_.name,
                 number, bytes, alignment);
    write_out(line, options_.name);
    gpa_on_mistake();
  }
  return number;
}

void* core::allocate_unchecked(cache_header& k, std::size_t bytes, std::size_t alignment, const void* caller) noexcept
{
  auto& fast = static_cast<fast_cache&>(k);
  if (k.partner != nullptr && k.counts.is_due()) [[unlikely]] {
    const std::uint64_t gap = sampling_gap(k.dice, options_.checks.interval());
    k.counts.set_due(gap);
    void* const p = checked_.allocate(static_cast<checked_cache&>(*k.partner), bytes, alignment, caller);
    if (p != nullptr) return p;
    k.counts.set_due(gap + 1);  // the range of picked blocks is full: this one is none
  }
  return fast_.allocate(fast, bytes, alignment);
}

bool core::deallocate_unchecked(cache_header& k, void* p, std::size_t bytes, std::size_t alignment,
                                const void* caller) noexcept
{
  if (k.exact_peak) k.note_own_peak();
  if (k.partner != nullptr) {
    const region* const r = region_of(p);
    if (r == nullptr || r->owner != this || r->kind == region_kind::checked_slab ||
        r->kind == region_kind::checked_large)
      return checked_.deallocate(static_cast<checked_cache&>(*k.partner), p, bytes, alignment, caller);
  }
  fast_.deallocate(static_cast<fast_cache&>(k), p, bytes, alignment);
  return true;
}

void* core::allocate_careful(std::size_t bytes, std::size_t alignment, const void* caller) noexcept
{
  const bool over = life_.load(std::memory_order_relaxed) != life::alive;
  if (over || !is_power_of_two(alignment)) {
    if (options_.log_operations) log_refusal(bytes, alignment, 0);
    return refuse(over ? mistake::use_after_deinit : mistake::invalid_alignment, bytes, alignment, caller);
  }
  const bool right_thread = check_thread(caller, nullptr, bytes, alignment);
  const std::uint64_t number = numbered_ ? number_allocation(bytes, alignment) : 0;
  const auto refused = [&] {
    if (options_.log_operations) log_refusal(bytes, alignment, number);
    return nullptr;
  };
  if (bytes >= most_bytes || alignment >= most_bytes) return refused();
  const std::uint64_t id = handle_.door.id.load(std::memory_order_relaxed);
  const cache_lease lease(*this);
  cache_header* const k = lease.cache();
  if (k == nullptr) return refused();
  if (right_thread && !lease.is_borrowed() && is_plain()) set_way(id, handle_.door.way, k);
  const bool limited = limit_.is_set();
  if (limited && !limit_.reserve(*k, bytes)) {
    tell_limit(bytes, caller);
    return refused();
  }
  const tools_quiet quiet;
  void* const p = k->checked ? checked_.allocate(static_cast<checked_cache&>(*k), bytes, alignment, caller)
                             : allocate_unchecked(*k, bytes, alignment, caller);
  if (limited) limit_.settle(*k, bytes);
  if (p == nullptr) {
    if (const std::size_t wanted = supply_.tell_misaligned(); wanted != 0) tell_of_upstream(wanted);
    return refused();
  }
  if (my_thread.ignoring != 0) static_cast<void>(checked_.ignore(p));
  if (profile_.has_value() || my_thread.tag != 0) note_allocation(p, bytes);
  if (limited || crossed_.load(std::memory_order_relaxed)) heartbeat();
  if (numbered_) numbers_.put(p, number);
  if (watched_) {
    tools_open(p, bytes);
    tools_pool_allocate(this, p, bytes);
    if (options_.log_operations) log_line("allocate", p, bytes, alignment);
  }
  return p;
}

void core::tell_of_upstream(std::size_t wanted) const noexcept
{
  text line;
  absl::Format(&line,
               "gpa: warning: the upstream of resource \"%s\" returned memory that is not aligned to %d bytes; it was given "
               "back, and the allocation refused\n",
               options_.name, wanted);
  write_out(line, options_.name);
}

void core::deallocate_careful(void* p, std::size_t bytes, std::size_t alignment, const void* caller) noexcept
{
  if (life_.load(std::memory_order_relaxed) != life::alive) {
    late_free(p, bytes, alignment, caller);
    return;
  }
  const bool right_thread = check_thread(caller, p, bytes, alignment);
  const std::uint64_t id = handle_.door.id.load(std::memory_order_relaxed);
  const cache_lease lease(*this);
  cache_header* const k = lease.cache();
  if (k == nullptr) return;  // no memory for a cache: the block stays where it is, and is counted as live
  if (right_thread && !lease.is_borrowed() && is_plain()) set_way(id, handle_.door.way, k);
  const bool limited = limit_.is_set();
  if (limited) limit_.catch_up(*k);
  judgement told_tools;
  if (watched_) {
    told_tools = judge(p, bytes, alignment, this);
    if (options_.log_operations) log_line("deallocate", p, bytes, alignment, !told_tools.right);
    if (told_tools.right) tools_pool_free(this, p);
    if (told_tools.right && told_tools.place == pointer_place::fast) tools_close(p, bytes);
    open_slot_of(told_tools);
  }
  const tools_quiet quiet;
  const std::uint64_t life = life_of(p);
  const bool freed = k->checked
                         ? checked_.deallocate(static_cast<checked_cache&>(*k), p, bytes, alignment, caller)
                         : deallocate_unchecked(*k, p, bytes, alignment, caller);
  if (watched_) close_slot_of(told_tools);
  if (freed && life != 0) profile_->freed(p, bytes, life, this_thread_serial());
  if (freed && limited) limit_.catch_up(*k);
}

// Whether a block in that region could be so large where it stands. Spans of the fast heap may grow.
static bool may_hold(const region* r, std::size_t bytes) noexcept
{
  if (r == nullptr || r->kind == region_kind::fast_large) return r != nullptr;
  return bytes <= (r->kind == region_kind::checked_large ? r->bytes : r->slot_bytes);
}

bool core::try_resize(void* p, std::size_t old_bytes, std::size_t new_bytes, std::size_t alignment,
                      const void* caller) noexcept
{
  if (life_.load(std::memory_order_relaxed) != life::alive) {
    static_cast<void>(refuse(mistake::use_after_deinit, new_bytes, alignment, caller));
    return false;
  }
  if (!check_thread(caller, p, old_bytes, alignment, resized_from_elsewhere) && !options_.thread_safe) return false;
  const cache_lease lease(*this);
  cache_header* const k = lease.cache();
  if (k == nullptr) return false;
  const bool limited = limit_.is_set();
  const bool grows = new_bytes > old_bytes;
  const region* const r = region_of(p);
  if (limited && !grows) limit_.catch_up(*k);
  // Reserved only where there may be room, or others would be refused meanwhile for nothing.
  const bool reserved =
      limited && grows && new_bytes < most_bytes && may_hold(r, new_bytes) && limit_.reserve(*k, new_bytes - old_bytes);
  const bool possible = new_bytes < most_bytes && (!limited || !grows || reserved);
  const tools_quiet quiet;
  if (k->exact_peak) k->note_own_peak();
  bool done = false;
  const bool fast = r != nullptr && r->owner == this &&
                    (r->kind == region_kind::fast_slab || r->kind == region_kind::fast_large);
  if (k->checked || (k->partner != nullptr && !fast)) {
    // To what it has, where more is out of the question: a mistake in the call is told all the same.
    const std::size_t wanted = possible ? new_bytes : old_bytes;
    done = checked_.try_resize(lease.checked(), p, old_bytes, wanted, alignment, caller) && possible;
  } else if (possible && fast && fast_.resize(static_cast<fast_cache&>(*k), p, old_bytes, new_bytes, alignment)) {
    k->counts.count_resize(old_bytes, new_bytes);
    done = true;
  }
  if (reserved) limit_.settle(*k, new_bytes - old_bytes);
  if (limited && !grows && done) limit_.catch_up(*k);
  if (done && watched_) {
    tools_pool_free(this, p);
    tools_pool_allocate(this, p, new_bytes);
    tools_open(p, new_bytes);  // not empty: the contents stay
    if (options_.log_operations) log_line("resize", p, new_bytes, alignment);
  }
  if (done && profile_.has_value()) profile_->resized(old_bytes, new_bytes, life_of(p));
  if (done) heartbeat();
  return done;
}

// A free after deinit() or after the end of the resource: safe, and told.
void core::late_free(void* p, std::size_t bytes, std::size_t alignment, const void* caller) noexcept
{
  const std::uint32_t trace = capture(caller);
  const std::uint32_t self = this_thread_number();
  for (;;) {
    const judgement j = judge(p, bytes, alignment, this);
    const bool unknown = !j.right && j.place == pointer_place::foreign;  // its memory has been given back
    gpa::report r = report_of(j, *this, p, bytes, alignment);
    if (j.right || unknown) r.kind = mistake::use_after_deinit;
    if (unknown) {  // so what the caller says of it is all that can be said
      r.reason = memory_is_gone;
      r.bytes = r.total_bytes = bytes;
      r.alignment = alignment;
    }
    r.here = gpa::stack_trace(trace, self);
    if (j.right) {
      if (watched_) {
        tools_pool_free(this, p);
        tools_close(p, bytes);  // before its pages go back, which opens them
      }
      if (j.small != nullptr || j.large != nullptr) {
        if (!checked_.free_buried(j, trace, static_cast<std::uint16_t>(self))) continue;
      } else {
        fast_.free_buried(p);
      }
      late_blocks_.fetch_add(1, std::memory_order_relaxed);
      late_bytes_.fetch_add(bytes, std::memory_order_relaxed);
    }
    if (options_.log_operations) log_line("deallocate", p, bytes, alignment, !j.right);
    tell(r);
    if (j.right && life_.load(std::memory_order_relaxed) == life::dead && !may_hold_blocks()) retire();
    return;
  }
}

std::size_t core::verify(const void* caller, std::string_view words) noexcept
{
  if (life_.load(std::memory_order_relaxed) != life::alive) return 0;
  const tools_quiet quiet;
  return checked_.verify({gpa::stack_trace(capture(caller), this_thread_number()), words});
}

void core::trim(const void* caller) noexcept
{
  if (life_.load(std::memory_order_relaxed) != life::alive) return;
  if (!options_.checks.is_never()) verify(caller, "found by trim()");
  const tools_quiet quiet;
  const cache_lease lease(*this);
  cache_header* const k = lease.cache();
  if (k == nullptr) return;
  flush(*k);
  flush_orphans();
  if (!options_.checks.is_never()) checked_.trim();
  if (!options_.checks.is_always()) fast_.trim();
  empty_stocks();
  metadata_trim();
}

void core::ignore(const void* p, const void* caller) noexcept
{
  if (options_.checks.is_never() || checked_.ignore(p)) return;
  // Of single blocks without checks nothing is known, and another resource may stand on one of them.
  if (region_of(p) != nullptr && !options_.checks.is_always()) return;
  gpa::report r = report_of(judge(p, 0, 1, this), *this, p, 0, 0);
  r.kind = mistake::invalid_pointer;
  if (r.reason.empty())
    r.reason = r.owner.empty() ? "no live block, so there is nothing to ignore"
                               : interned_format("memory of resource \"%s\"", r.owner);
  r.here = gpa::stack_trace(capture(caller), this_thread_number());
  tell(r);
}

void core::release() noexcept
{
  note_peak(sum());
  gate_.close();
  tools_destroy_pool(this);
  tools_create_pool(this);
  {
    const mutex_guard guard(lock_);
    for (cache_header* k = caches_; k != nullptr; k = k->next) {
      for (cache_header* part = k; part != nullptr; part = part->partner) {
        if (part->checked) {
          checked_heap::reset_cache(static_cast<checked_cache&>(*part));
        } else {
          fast_heap::reset_cache(static_cast<fast_cache&>(*part));
        }
        part->counts.free_all();
      }
      limit::forget(*k);
    }
    late_blocks_.store(0, std::memory_order_relaxed);
    late_bytes_.store(0, std::memory_order_relaxed);
    limit_.restart();
  }
  if (profile_.has_value()) profile_->forget_live();
  checked_.release();
  fast_.release();
  supply_.start_over();
  if (!has_ended()) gate_.open();
}

}  // namespace gpa::detail
