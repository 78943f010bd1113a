#include "trace/met_modules.hpp"

#include "os/metadata.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace gpa::detail {

namespace {

// Written once, then published.
struct entry {
  std::atomic<bool> ready;
  met_module module;
};

constexpr std::size_t table_bytes = most_met_modules * sizeof(entry);

constinit std::atomic<entry*> table{nullptr};
constinit std::atomic<std::size_t> taken{0};

entry* make_table() noexcept
{
  entry* known = table.load(std::memory_order_acquire);
  if (known != nullptr) return known;
  auto* const mine = static_cast<entry*>(metadata_allocate(table_bytes));
  if (mine == nullptr) return nullptr;
  if (table.compare_exchange_strong(known, mine, std::memory_order_acq_rel, std::memory_order_acquire)) return mine;
  metadata_free(mine, table_bytes);
  return known;
}

bool is(const met_module& m, const code_image& image, std::span<const std::byte> id, std::string_view path) noexcept
{
  if (m.begin != image.begin() || m.end != image.end() || m.id_bytes != id.size()) return false;
  return id.empty() ? m.path == path : std::equal(id.begin(), id.end(), m.id.begin());
}

bool is_known(const code_image& image, std::span<const std::byte> id, std::string_view path) noexcept
{
  for (std::size_t i = met_module_count(); i-- != 0;)
    if (const met_module* const m = met_module_of(i); m != nullptr && is(*m, image, id, path)) return true;
  return false;
}

// Empty when memory is refused.
std::string_view copied(std::string_view path) noexcept
{
  auto* const place = static_cast<char*>(metadata_allocate(path.size() + 1));
  if (place == nullptr) return {};
  std::memcpy(place, path.data(), path.size());  // zeroed behind it
  return {place, path.size()};
}

}  // namespace

void note_module(const code_image& image, std::uintptr_t pc) noexcept
{
  if (image.empty() || image.is_permanent()) return;
  const loaded_file file = file_around(pc);
  if (file.path == nullptr || code_image::around(pc) != image) return;
  const std::string_view path(file.path);
  auto id = image.build_id();
  if (id.size() > most_id_bytes) id = {};
  if (is_known(image, id, path)) return;
  entry* const entries = make_table();
  if (entries == nullptr) return;
  std::size_t mine = taken.load(std::memory_order_relaxed);  // a twin made by another thread meanwhile does no harm
  do {
    if (mine == most_met_modules) return;
  } while (!taken.compare_exchange_weak(mine, mine + 1, std::memory_order_relaxed));
  met_module& m = entries[mine].module;
  m.begin = image.begin();
  m.end = image.end();
  m.base = file.base;
  m.path = copied(path);
  m.id_bytes = id.size();
  std::copy(id.begin(), id.end(), m.id.begin());
  entries[mine].ready.store(true, std::memory_order_release);
}

std::size_t met_module_count() noexcept
{
  return taken.load(std::memory_order_relaxed);
}

const met_module* met_module_of(std::size_t number) noexcept
{
  const entry* const entries = table.load(std::memory_order_acquire);
  if (entries == nullptr || number >= most_met_modules) return nullptr;
  return entries[number].ready.load(std::memory_order_acquire) ? &entries[number].module : nullptr;
}

}  // namespace gpa::detail
