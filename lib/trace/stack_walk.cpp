#include "trace/stack_walk.hpp"

#include "base/attributes.hpp"
#include "trace/rule_cache.hpp"

#include <atomic>
#include <limits>

namespace gpa::detail {

namespace {

constexpr std::uintptr_t word_size = sizeof(std::uintptr_t);

GPA_NO_SANITIZE inline std::uintptr_t word_at(std::uintptr_t address) noexcept
{
  return *reinterpret_cast<const std::uintptr_t*>(address);
}

// Fills in a layout while the walk goes on. What does not fit makes the whole of it unfit, and later notes are void.
class surveyor {
 public:
  surveyor(const call_site& from, walked_stack& out) noexcept : from_(from), out_(out) {}

  void note_own_word(std::uintptr_t at, std::uintptr_t value) noexcept { add_own(at, value, from_.sp, 0); }
  void note_own_return(std::uintptr_t at, std::uintptr_t pc) noexcept { add_own(at, pc, from_.pc, 1); }
  void note_first(std::uintptr_t at) noexcept { out_.layout.first_at = narrow(at - from_.sp); }

  void note_module(unsigned module) noexcept
  {
    if (module == module_) return;
    module_ = module;
    if (module == fleeting_module) out_.fits = false;
    if (module != permanent_module) add_stop({0, 0, static_cast<std::uint16_t>(module), here()});
  }

  void note_word(std::uintptr_t at, std::uintptr_t value) noexcept
  {
    add_stop({narrow(at - from_.sp), narrow(value - from_.sp), 0, here()});
  }

  void note_step(std::uintptr_t slot, std::uintptr_t next, frame_step flag) noexcept
  {
    const std::uintptr_t words = (next - slot) / word_size;
    if (words >= bp_below) out_.fits = false;
    out_.layout.steps[here()] = static_cast<frame_step>(words | flag);
  }

 private:
  [[nodiscard]] std::uint8_t here() const noexcept { return static_cast<std::uint8_t>(out_.count - 1); }

  std::int32_t narrow(std::uintptr_t distance) noexcept
  {
    const auto n = static_cast<std::int64_t>(distance);
    if (n < std::numeric_limits<std::int32_t>::min() || n > std::numeric_limits<std::int32_t>::max())
      out_.fits = false;
    return static_cast<std::int32_t>(n);
  }

  void add_own(std::uintptr_t at, std::uintptr_t value, std::uintptr_t base, std::int32_t flag) noexcept
  {
    stack_layout& l = out_.layout;
    if (l.own_count == l.own.size()) {
      out_.fits = false;
    } else {
      l.own[l.own_count++] = {narrow(at - from_.sp) | flag, narrow(value - base)};
    }
  }

  void add_stop(const stop& s) noexcept
  {
    stack_layout& l = out_.layout;
    if (l.stop_count == l.stops.size()) {
      out_.fits = false;
    } else {
      l.stops[l.stop_count++] = s;
    }
  }

  const call_site& from_;
  walked_stack& out_;
  unsigned module_ = permanent_module;
};

// The last walk's rules, found by where their return addresses stand; this walk's, kept for the next.
class recollection {
 public:
  explicit recollection(walk_memory* memory) noexcept : memory_(memory)
  {
    if (memory_ == nullptr || memory_->busy) {
      memory_ = nullptr;
      return;
    }
    memory_->busy = true;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    last_ = &memory_->lists[memory_->last];
    now_ = &memory_->lists[1 - memory_->last];
    now_->count = 0;
  }
  ~recollection()
  {
    if (memory_ == nullptr) return;
    memory_->last = static_cast<std::uint8_t>(1 - memory_->last);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    memory_->busy = false;
  }
  recollection(const recollection&) = delete;
  recollection& operator=(const recollection&) = delete;

  [[nodiscard]] unwind_rule rule_of(std::uintptr_t slot, std::uintptr_t pc, rule_reader& rules) noexcept
  {
    if (memory_ == nullptr) return rules.rule_of(pc);
    while (next_ != last_->count && last_->frames[next_].slot < slot) ++next_;
    unwind_rule rule;
    if (next_ != last_->count && last_->frames[next_].slot == slot && last_->frames[next_].pc == pc &&
        rules.is_trusted(last_->frames[next_].rule.module, pc)) [[likely]] {
      rule = last_->frames[next_].rule;
    } else {
      rule = rules.rule_of(pc);
      if (rule.module == fleeting_module) return rule;
    }
    now_->frames[now_->count++] = {slot, pc, rule};
    return rule;
  }

 private:
  walk_memory* memory_;
  const walk_memory::frame_list* last_ = nullptr;
  walk_memory::frame_list* now_ = nullptr;
  std::size_t next_ = 0;
};

}  // namespace

GPA_NO_SANITIZE bool walk_stack(const call_site& from, std::uintptr_t caller, std::size_t limit,
                                walk_memory* memory, walked_stack& out) noexcept
{
  rule_reader rules;
  recollection remembered(memory);
  surveyor notes(from, out);
  std::uintptr_t slot = from.sp - word_size;  // where the return address `pc` stands
  std::uintptr_t pc = from.pc;
  std::uintptr_t bp = from.bp;
  std::uintptr_t bp_at = slot - word_size;  // where rbp's value was found; at first, where the capture saved it
  std::size_t own = 0;
  bool met = false;

  for (;;) {
    if (!met && pc == caller) {
      met = true;
      notes.note_first(slot);
    }
    if (met) {
      out.frames[out.count++] = pc;
      if (out.count == limit) return true;
    } else if (++own > most_own_frames) {
      return false;
    }

    const unwind_rule rule = remembered.rule_of(slot, pc, rules);
    const cfa_base how = rule.how();
    if (met) notes.note_module(rule.module);
    if (how == cfa_base::unknown) return false;
    if (how == cfa_base::end) return met;

    const std::uintptr_t sp = slot + word_size;
    const auto offset = static_cast<std::uintptr_t>(std::intptr_t{rule.offset});
    std::uintptr_t cfa = (how == cfa_base::sp ? sp : bp) + offset;
    if (how == cfa_base::at_bp) {
      if (bp < sp || cfa < sp || cfa % word_size != 0) return false;
      if (met) {
        notes.note_word(bp_at, bp);
        notes.note_word(cfa, word_at(cfa));
      } else {
        out.fits = false;  // none of ours is
      }
      cfa = word_at(cfa);
    }
    if (cfa <= sp || cfa % word_size != 0) return false;

    const std::uintptr_t next = cfa - word_size;
    frame_step chained = 0;
    if (how == cfa_base::bp) {
      if (!met) {
        notes.note_own_word(bp_at, bp);
      } else if (bp_at == slot - word_size && bp == next - word_size) {
        chained = bp_below;
      } else {
        notes.note_word(bp_at, bp);
      }
    }
    if (rule.bp_moved != 0) {
      const std::uintptr_t base = how == cfa_base::at_bp ? bp : cfa;
      bp_at = base + static_cast<std::uintptr_t>(std::intptr_t{rule.bp_place} * std::intptr_t{word_size});
      bp = word_at(bp_at);
    }
    if (met) notes.note_step(slot, next, chained);
    pc = word_at(next);
    if (!met && pc != caller) notes.note_own_return(next, pc);
    if (pc == 0) return false;
    slot = next;
  }
}

}  // namespace gpa::detail
