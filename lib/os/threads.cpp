#include "os/threads.hpp"

#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <ctime>

#include "base/bits.hpp"
#include "os/pages.hpp"
#include "os/text.hpp"

namespace gpa::detail {

namespace {

constexpr std::size_t name_bytes = 16;  // what the kernel keeps of a thread's name, with its end

/// Written once, by the thread it describes. `system` is stored last: who reads it sees the name.
struct thread_entry {
  std::atomic<std::uint64_t> system;
  char name[name_bytes];
};
static_assert(sizeof(thread_entry) == 24);

constexpr std::size_t table_bytes = round_up(unknown_thread * sizeof(thread_entry), granule_size);

constexpr std::uint32_t first_threads = 64;
// Aligned so, tables stand in front of the small variables, and these on fewer pages.
alignas(64) constinit thread_entry first_entries[first_threads] = {};
constinit std::atomic<thread_entry*> table{nullptr};  // of the others, indexed by number: 1.5 MiB of addresses, touched
                                                      // as needed
constinit std::atomic<std::uint64_t> next_number{1};  // 64 bits: nobody starts so many threads
constinit std::atomic<std::uint32_t> first_number{1};
constinit std::atomic<bool> with_inherited{false};

/// Null when memory is refused: then threads have numbers and no names.
thread_entry* map_table() noexcept
{
  thread_entry* known = table.load(std::memory_order_acquire);
  if (known != nullptr) return known;
  // A fresh page is zeroed, which is what a table of unknown threads looks like.
  auto* const mine = static_cast<thread_entry*>(map_pages(table_bytes, page_size));
  if (mine == nullptr) return nullptr;
  if (table.compare_exchange_strong(known, mine, std::memory_order_acq_rel, std::memory_order_acquire)) return mine;
  unmap_pages(mine, table_bytes);
  return known;
}

constexpr std::uint64_t last_serial = 0xFFFFFFFF;

// Of a thread Linux asks with a system call; glibc knows it, and tells it in the number of the thread's clock: the
// complement, above three bits that say which clock. Nobody promises that, so the first thread compares.
std::uint64_t number_in_clock() noexcept
{
  clockid_t clock = 0;
  if (::pthread_getcpuclockid(::pthread_self(), &clock) != 0) return 0;
  return static_cast<std::uint32_t>(~(clock >> 3));
}

std::uint64_t ask_for_system_number() noexcept
{
  enum class clock_tells : std::uint8_t { unknown, yes, no };
  constinit static std::atomic<clock_tells> tells{clock_tells::unknown};
  const clock_tells known = tells.load(std::memory_order_relaxed);
  if (known == clock_tells::yes) return number_in_clock();
  const auto asked = static_cast<std::uint64_t>(::syscall(SYS_gettid));  // does not fail, so errno is left alone
  if (known == clock_tells::unknown)
    tells.store(number_in_clock() == asked ? clock_tells::yes : clock_tells::no, std::memory_order_relaxed);
  return asked;
}

const thread_entry* entry_of(std::uint32_t number) noexcept
{
  if (number < first_threads) return first_entries + number;
  const thread_entry* const entries = table.load(std::memory_order_acquire);
  return entries == nullptr || number >= unknown_thread ? nullptr : entries + number;
}

}  // namespace

constinit thread_local std::uint32_t this_thread_cached_serial = 0;

std::uint32_t number_this_thread() noexcept
{
  const std::uint64_t number = next_number.fetch_add(1, std::memory_order_relaxed);
  const auto serial = static_cast<std::uint32_t>(std::min(number, last_serial));
  this_thread_cached_serial = serial;
  if (serial >= unknown_thread) return serial;
  if (thread_entry* const entries = serial < first_threads ? first_entries : map_table(); entries != nullptr) {
    thread_entry& entry = entries[serial];
    ::prctl(PR_GET_NAME, entry.name);  // does not fail
    for (char* c = entry.name; *c != '\0'; ++c) *c = printable(*c);
    entry.system.store(ask_for_system_number(), std::memory_order_release);
  }
  return serial;
}

std::uint64_t system_thread(std::uint32_t number) noexcept
{
  const thread_entry* const entry = entry_of(number);
  return entry == nullptr ? 0 : entry->system.load(std::memory_order_acquire);
}

std::string_view thread_name(std::uint32_t number) noexcept
{
  const thread_entry* const entry = entry_of(number);
  if (entry == nullptr || entry->system.load(std::memory_order_acquire) == 0) return {};
  return entry->name;
}

std::uint32_t first_number_of_this_process() noexcept
{
  return first_number.load(std::memory_order_relaxed);
}

void report_inherited_blocks(bool wanted) noexcept
{
  with_inherited.store(wanted, std::memory_order_relaxed);
}

bool inherited_blocks_are_reported() noexcept
{
  return with_inherited.load(std::memory_order_relaxed);
}

void renumber_threads_after_fork() noexcept
{
  if (!inherited_blocks_are_reported()) {
    constexpr std::uint64_t above_all = unknown_thread + 1;
    const std::uint64_t next = next_number.load(std::memory_order_relaxed);
    first_number.store(static_cast<std::uint32_t>(std::min(next, above_all)), std::memory_order_relaxed);
  }
  this_thread_cached_serial = 0;
}

}  // namespace gpa::detail
