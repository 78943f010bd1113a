#include "blocks/thread_caches.hpp"

#include "os/metadata.hpp"
#include "trace/stack_cache.hpp"

#include <cstdlib>

extern "C" {
extern void* __dso_handle __attribute__((visibility("hidden")));
int __cxa_thread_atexit_impl(void (*)(void*), void*, void*) noexcept;  // glibc's; what the C++ library calls
}

namespace gpa::detail {

__thread thread_state my_thread __attribute__((tls_model("initial-exec"))) = {};

void cache_header::remember_rise(const live_count& live) noexcept
{
  const auto raise = [](std::atomic<std::int64_t>& known, std::int64_t now) {
    if (now > known.load(std::memory_order_relaxed)) known.store(now + now / 64, std::memory_order_relaxed);
  };
  raise(known_blocks, live.blocks);
  raise(known_bytes, live.bytes);
}

std::ptrdiff_t place_of_way(std::uint64_t birth) noexcept
{
  return reinterpret_cast<const std::byte*>(&my_thread.ways[birth % way_count]) -
         static_cast<const std::byte*>(__builtin_thread_pointer());
}

namespace {

constexpr std::uint64_t first_rows = 32;

std::size_t table_bytes(std::uint64_t rows) noexcept
{
  return sizeof(thread_table) + (rows - 1) * sizeof(thread_table_row);
}

void put(thread_table& table, std::uint64_t birth, cache_header* cache) noexcept
{
  std::uint64_t i = thread_table::first_try(birth);
  while (table.rows[i & table.last_row].birth != 0) ++i;
  table.rows[i & table.last_row] = {birth, cache};
  ++table.used;
}

// Leaves out what died, then has room for at least as many again.
bool rebuild_table(const thread_exit_handler& handler) noexcept
{
  thread_table* const old = my_thread.table;
  const std::uint64_t old_rows = old == nullptr ? 0 : old->last_row + 1;
  std::uint64_t alive = 0;
  for (std::uint64_t i = 0; i != old_rows; ++i)
    if (old->rows[i].birth != 0 && handler.is_alive(old->rows[i].birth)) ++alive;
  std::uint64_t rows = first_rows;
  while (rows < (alive + 1) * 4) rows *= 2;
  auto* const fresh = static_cast<thread_table*>(metadata_allocate(table_bytes(rows)));
  if (fresh == nullptr) return false;
  fresh->last_row = rows - 1;
  fresh->freed = bytes_freed_by_thread();
  for (std::uint64_t i = 0; i != old_rows; ++i) {
    const thread_table_row row = old->rows[i];
    if (row.birth != 0 && handler.is_alive(row.birth)) put(*fresh, row.birth, row.cache);
  }
  if (old != nullptr) metadata_free(old, table_bytes(old_rows));
  my_thread.table = fresh;
  return true;
}

void leave_thread(void* handler) noexcept
{
  thread_state& state = my_thread;
  thread_table* const table = state.table;
  // Scopes may last longer: of static storage, or thread_local and made before the first allocation.
  state = {.ways = {}, .table = nullptr, .ignoring = state.ignoring, .phase = thread_phase::gone, .tag = state.tag};
  end_stack_cache();
  if (table == nullptr) return;
  for (std::uint64_t i = 0; i <= table->last_row; ++i)
    if (table->rows[i].birth != 0)
      static_cast<const thread_exit_handler*>(handler)->orphan(table->rows[i].birth, table->rows[i].cache);
  metadata_free(table, table_bytes(table->last_row + 1));
}

// As for a thread_local object with a destructor, but without the 16 bytes of thread-local storage that one takes; and
// without abi::__cxa_thread_atexit(), whose call of the same function the loader looks up in every library first.
// False: malloc has no memory to remember it by; glibc, which asks calloc, would end the process. A piece as large as is
// asked for here no thread of glibc's keeps to itself when it is freed: so calloc finds memory.
bool arm_exit_hook(const thread_exit_handler& handler) noexcept
{
  void* const enough = std::malloc(2048);
  if (enough == nullptr) return false;
  asm("" : : "r"(enough) : "memory");  // or compilers would leave both calls out
  std::free(enough);
  __cxa_thread_atexit_impl(leave_thread, const_cast<thread_exit_handler*>(&handler), &__dso_handle);
  return true;
}

// The row of what was put last is nobody's from now on.
void forget_cache(thread_table& table, std::uint64_t birth) noexcept
{
  for (std::uint64_t i = thread_table::first_try(birth);; ++i) {
    thread_table_row& row = table.rows[i & table.last_row];
    if (row.birth != birth) continue;
    row = {.birth = thread_table::no_birth, .cache = nullptr};
    break;
  }
  empty_ways();
}

}  // namespace

bool remember_cache(std::uint64_t birth, cache_header* cache, const thread_exit_handler& handler) noexcept
{
  thread_state& state = my_thread;
  if (state.phase == thread_phase::gone) return false;
  const thread_table* const table = state.table;
  const bool full = table == nullptr || (table->used + 1) * 4 > (table->last_row + 1) * 3;
  if (full && !rebuild_table(handler)) return false;
  put(*state.table, birth, cache);
  if (state.phase == thread_phase::fresh) {
    state.phase = thread_phase::attached;  // first: the program's malloc may be a resource
    if (!arm_exit_hook(handler)) {
      state.phase = thread_phase::fresh;
      forget_cache(*state.table, birth);
      return false;
    }
    begin_stack_cache();
  }
  return true;
}

}  // namespace gpa::detail
