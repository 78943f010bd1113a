#include "os/threads.hpp"

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>

#include "base/bits.hpp"
#include "os/pages.hpp"

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
constinit thread_entry first_entries[first_threads] = {};
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

std::uint32_t bounded(std::uint64_t number) noexcept
{
  return number < unknown_thread ? static_cast<std::uint32_t>(number) : unknown_thread;
}

const thread_entry* entry_of(std::uint32_t number) noexcept
{
  if (number < first_threads) return first_entries + number;
  const thread_entry* const entries = table.load(std::memory_order_acquire);
  return entries == nullptr || number >= unknown_thread ? nullptr : entries + number;
}

}  // namespace

constinit thread_local std::uint32_t this_thread_cached_number = 0;

std::uint32_t number_this_thread() noexcept
{
  const std::uint32_t number = bounded(next_number.fetch_add(1, std::memory_order_relaxed));
  this_thread_cached_number = number;
  if (number == unknown_thread) return number;
  if (thread_entry* const entries = number < first_threads ? first_entries : map_table(); entries != nullptr) {
    thread_entry& entry = entries[number];
    ::prctl(PR_GET_NAME, entry.name);  // neither call fails, so errno is left alone
    entry.system.store(static_cast<std::uint64_t>(::syscall(SYS_gettid)), std::memory_order_release);
  }
  return number;
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
  if (!inherited_blocks_are_reported())
    first_number.store(bounded(next_number.load(std::memory_order_relaxed)), std::memory_order_relaxed);
  this_thread_cached_number = 0;
}

}  // namespace gpa::detail
