// The unwind rule of every return address met so far: read from .eh_frame once, then two loads.
//
// One direct-mapped table for all threads, 128 KiB, mapped when the first stack is walked. A slot is {pc ^ scrambled
// rule, rule}, written in any order and without a lock: a reader that meets halves of two writers finds another pc and
// reads the tables itself. (A pc that fits by chance: one in 2^50 of such meetings.) Small programs touch the first 8
// KiB: the rest is used from the moment that half of that is taken, when most rules are read once more.
//
// Modules come and go, so a rule must not outlive the code it is about. Of modules that can be unloaded, a rule keeps
// a number: where the module stood and what its build id was, which every walk compares with what stands there now,
// once for frames in a row of the same module. That costs 5 to 10 ns. A module without a build id, or beyond the
// 4 094th, is read anew each time, for 100 ns a frame.
//
// Thread-safe.
#pragma once

#include "base/attributes.hpp"
#include "trace/unwind_rule.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace gpa::detail {

inline constexpr unsigned permanent_module = 0;
inline constexpr unsigned fleeting_module = (1u << module_bits) - 1;  // its rules are not kept

struct rule_slot {
  std::atomic<std::uint64_t> key;
  std::atomic<std::uint64_t> rule;
};

inline constexpr std::size_t rule_slots = std::size_t{1} << 13;
inline constexpr std::size_t first_rule_slots = std::size_t{1} << 9;
inline constexpr std::size_t rule_cache_bytes = rule_slots * sizeof(rule_slot);

/// Whether the module of this number, neither permanent nor fleeting, stands around `pc` now. `pc` must be a return
/// address on the calling thread's stack. Lock-free.
[[nodiscard]] bool module_is_there(unsigned module, std::uintptr_t pc) noexcept;

/// Null when memory is refused.
[[nodiscard]] rule_slot* make_rule_cache() noexcept;

/// Reads the rule of `pc` from its module's tables, and keeps it in `cache`, which may be null.
[[nodiscard]] GPA_COLD unwind_rule read_and_keep_rule(rule_slot* cache, std::uintptr_t pc) noexcept;

/// One thread's look at the cache during one walk.
class rule_reader {
 public:
  rule_reader() noexcept : cache_(all.load(std::memory_order_acquire)), slots_(slots_in_use())
  {
    if (cache_ == nullptr) [[unlikely]]
      cache_ = make_rule_cache();
  }

  /// The rule of a return address that stands on the calling thread's stack.
  [[nodiscard]] unwind_rule rule_of(std::uintptr_t pc) noexcept
  {
    if (cache_ != nullptr) [[likely]] {
      const rule_slot& slot = cache_[place_of(pc, slots_)];
      const std::uint64_t word = slot.rule.load(std::memory_order_relaxed);
      // Acquire: what the module's number stands for was written before.
      if ((slot.key.load(std::memory_order_acquire) ^ scrambled(word)) == pc) [[likely]] {
        const unwind_rule rule = unwind_rule::from_word(word);
        if (is_trusted(rule.module(), pc)) [[likely]]
          return rule;
      }
    }
    const unwind_rule rule = read_and_keep_rule(cache_, pc);
    trusted_ = rule.module() == fleeting_module ? permanent_module : rule.module();
    return rule;
  }

  /// Whether a rule of `pc` with this module number, kept somewhere else, still holds.
  [[nodiscard]] bool is_trusted(unsigned module, std::uintptr_t pc) noexcept
  {
    if (module == permanent_module || module == trusted_) [[likely]]
      return true;
    if (!module_is_there(module, pc)) return false;
    trusted_ = module;
    return true;
  }

  [[nodiscard]] static std::size_t slots_in_use() noexcept { return used_slots.load(std::memory_order_relaxed); }

  // In the first `slots` of the table, a power of two. Calls lie close together, and so do their slots. No two calls
  // end within four bytes, but for calls through a register in a row.
  static std::size_t place_of(std::uintptr_t pc, std::size_t slots) noexcept
  {
    return (pc >> 2 ^ pc >> 15) & (slots - 1);
  }
  static std::uint64_t scrambled(std::uint64_t word) noexcept
  {
    const std::uint64_t product = word * 0x9E3779B97F4A7C15U;
    return product ^ product >> 32;
  }

 private:
  friend rule_slot* make_rule_cache() noexcept;
  friend unwind_rule read_and_keep_rule(rule_slot* cache, std::uintptr_t pc) noexcept;

  static std::atomic<rule_slot*> all;
  static std::atomic<std::size_t> used_slots;

  rule_slot* cache_;
  std::size_t slots_;
  unsigned trusted_ = permanent_module;
};

}  // namespace gpa::detail
