#include "blocks/thread_caches.hpp"

#include "os/metadata.hpp"
#include "trace/stack_cache.hpp"

namespace gpa::detail {

__thread thread_state my_thread __attribute__((tls_model("initial-exec"))) = {};

namespace {

constexpr std::uint32_t first_rows = 64;

std::size_t table_bytes(std::uint32_t rows) noexcept { return rows * sizeof(thread_table_row); }

void put(thread_table_row* table, std::uint32_t rows, std::uint64_t birth, cache_header* cache) noexcept
{
  std::uint64_t i = birth * 0x9E3779B97F4A7C15U >> 32;
  while (table[i & (rows - 1)].birth != 0) ++i;
  table[i & (rows - 1)] = {birth, cache};
}

// Leaves out what died, then has room for at least as many again.
bool rebuild_table(const thread_exit_handler& handler) noexcept
{
  thread_state& state = my_thread;
  std::uint32_t alive = 0;
  for (std::uint32_t i = 0; i != state.rows; ++i)
    if (state.table[i].birth != 0 && handler.is_alive(state.table[i].birth)) ++alive;
  std::uint32_t rows = first_rows;
  while (rows < (alive + 1) * 4) rows *= 2;
  auto* const table = static_cast<thread_table_row*>(metadata_allocate(table_bytes(rows)));
  if (table == nullptr) return false;
  std::uint32_t used = 0;
  for (std::uint32_t i = 0; i != state.rows; ++i) {
    const thread_table_row row = state.table[i];
    if (row.birth == 0 || !handler.is_alive(row.birth)) continue;
    put(table, rows, row.birth, row.cache);
    ++used;
  }
  if (state.table != nullptr) metadata_free(state.table, table_bytes(state.rows));
  state.table = table;
  state.rows = rows;
  state.used = used;
  return true;
}

struct exit_hook {
  const thread_exit_handler* handler = nullptr;

  ~exit_hook()
  {
    thread_state& state = my_thread;
    thread_table_row* const table = state.table;
    const std::uint32_t rows = state.rows;
    state = thread_state{};
    state.phase = thread_phase::gone;
    end_stack_cache();
    if (table == nullptr) return;
    for (std::uint32_t i = 0; i != rows; ++i)
      if (table[i].birth != 0) handler->orphan(table[i].birth, table[i].cache);
    metadata_free(table, table_bytes(rows));
  }
};

void arm_exit_hook(const thread_exit_handler& handler) noexcept
{
  thread_local exit_hook hook;
  hook.handler = &handler;
}

}  // namespace

bool remember_cache(std::uint64_t birth, cache_header* cache, const thread_exit_handler& handler) noexcept
{
  thread_state& state = my_thread;
  if (state.phase == thread_phase::gone) return false;
  if ((state.used + 1) * 4 > state.rows * 3 && !rebuild_table(handler)) return false;
  put(state.table, state.rows, birth, cache);
  ++state.used;
  if (state.phase == thread_phase::fresh) {
    state.phase = thread_phase::attached;
    arm_exit_hook(handler);
    begin_stack_cache();
  }
  return true;
}

}  // namespace gpa::detail
