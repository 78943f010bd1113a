#include "trace/rule_cache.hpp"

#include "os/metadata.hpp"
#include "os/pages.hpp"

#include <array>
#include <cstring>
#include <span>

namespace gpa::detail {

namespace {

constexpr std::size_t longest_build_id = 32;

// A module that may be unloaded, as it was when a rule was read from it. Written once, then published.
struct passing_module {
  std::atomic<bool> ready;
  code_image image;
  const std::byte* id;  // where the build id stood
  std::size_t id_bytes;
  std::array<std::byte, longest_build_id> id_copy;

  [[nodiscard]] bool is(const code_image& now, std::span<const std::byte> id_now) const noexcept
  {
    return image == now && id == id_now.data() && id_bytes == id_now.size() && has_same_id();
  }
  [[nodiscard]] bool has_same_id() const noexcept { return std::memcmp(id, id_copy.data(), id_bytes) == 0; }
};

constexpr std::size_t most_modules = fleeting_module;  // number 0 stays empty
constexpr std::size_t table_bytes = most_modules * sizeof(passing_module);

constinit std::atomic<passing_module*> modules{nullptr};
constinit std::atomic<std::uint32_t> next_module{1};
constinit std::atomic<std::uint32_t> taken{0};  // slots of the rule cache

// Of two threads that make the same table, one gives its own back.
template <class T>
T* make_once(std::atomic<T*>& place, std::size_t bytes) noexcept
{
  T* known = place.load(std::memory_order_acquire);
  if (known != nullptr) return known;
  auto* const mine = static_cast<T*>(metadata_allocate(bytes));
  if (mine == nullptr) return nullptr;
  if (place.compare_exchange_strong(known, mine, std::memory_order_acq_rel, std::memory_order_acquire)) return mine;
  metadata_free(mine, bytes);
  return known;
}

// Its number; `fleeting_module` when it cannot be recognised again.
unsigned number_of(const code_image& image) noexcept
{
  if (image.is_permanent()) return permanent_module;
  const auto id = image.build_id();
  if (id.empty() || id.size() > longest_build_id) return fleeting_module;
  passing_module* const table = make_once(modules, table_bytes);
  if (table == nullptr) return fleeting_module;
  const std::uint32_t end = next_module.load(std::memory_order_acquire);
  for (std::uint32_t i = 1; i != end && i != most_modules; ++i)
    if (table[i].ready.load(std::memory_order_acquire) && table[i].is(image, id)) return i;
  std::uint32_t mine = end;  // a twin made by another thread meanwhile costs one number
  do {
    if (mine == most_modules) return fleeting_module;
  } while (!next_module.compare_exchange_weak(mine, mine + 1, std::memory_order_acq_rel));
  passing_module& m = table[mine];
  m.image = image;
  m.id = id.data();
  m.id_bytes = id.size();
  std::memcpy(m.id_copy.data(), id.data(), id.size());
  m.ready.store(true, std::memory_order_release);
  return mine;
}

}  // namespace

constinit std::atomic<rule_slot*> rule_reader::all{nullptr};
constinit std::atomic<std::size_t> rule_reader::used_slots{first_rule_slots};

rule_slot* make_rule_cache() noexcept
{
  rule_slot* const made = make_once(rule_reader::all, rule_cache_bytes);
  if (made != nullptr) touch_pages(made, first_rule_slots * sizeof(rule_slot));
  return made;
}

bool module_is_there(unsigned module, std::uintptr_t pc) noexcept
{
  const passing_module* const table = modules.load(std::memory_order_acquire);
  const passing_module& m = table[module];
  // The loader's answer first: where it is the same module's place, the build id's is readable.
  return code_image::around(pc) == m.image && m.has_same_id();
}

unwind_rule read_and_keep_rule(rule_slot* cache, std::uintptr_t pc) noexcept
{
  const code_image image = code_image::around(pc);
  const unsigned module = image.empty() ? fleeting_module : number_of(image);
  const unwind_rule rule = read_rule(image, pc).with_module(module);
  if (cache == nullptr || module == fleeting_module) return rule;
  const std::uint64_t word = rule.word();
  std::atomic<std::size_t>& slots = rule_reader::used_slots;
  rule_slot& slot = cache[rule_reader::place_of(pc, slots.load(std::memory_order_relaxed))];
  if (slot.key.load(std::memory_order_relaxed) == 0 &&
      taken.fetch_add(1, std::memory_order_relaxed) == first_rule_slots / 2)
    slots.store(rule_slots, std::memory_order_relaxed);
  slot.rule.store(word, std::memory_order_relaxed);
  slot.key.store(pc ^ rule_reader::scrambled(word), std::memory_order_release);
  return rule;
}

}  // namespace gpa::detail
