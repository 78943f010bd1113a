#include "trace/stack_walk.hpp"

#include "base/attributes.hpp"
#include "trace/code_image.hpp"
#include "trace/rule_cache.hpp"

#include <atomic>
#include <limits>
#include <span>

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
  surveyor(const call_site& from, stack_layout& l) noexcept : base_(stack_layout::base_of(from.sp)), layout_(l)
  {
    l.count = 0;
    l.stop_count = 0;
  }

  [[nodiscard]] bool fits() const noexcept { return fits_; }

  void note_word(std::uintptr_t at, std::uintptr_t value) noexcept
  {
    const std::uintptr_t words = (at - base_) / word_size;
    if (layout_.count == layout_.values.size() || words > std::numeric_limits<std::uint16_t>::max() ||
        value >> 48 != 0) [[unlikely]] {
      fits_ = false;
      return;
    }
    layout_.values[layout_.count] = value;
    layout_.places[layout_.count++] = static_cast<std::uint16_t>(words);
  }

  // The last of the frames has no caller.
  void leave_out_bottom(std::span<const std::uintptr_t> frames) noexcept
  {
    const std::size_t needless = words_of_bottom(frames);
    if (needless > layout_.count) return;
    for (std::size_t i = 1; i <= needless; ++i)
      if (layout_.values[layout_.count - i] != frames[frames.size() - i]) return;  // one that goes by rbp
    layout_.count = static_cast<std::uint16_t>(layout_.count - needless);
  }

  void note_module(std::uintptr_t pc, unsigned module) noexcept
  {
    if (module == module_) [[likely]]
      return;
    module_ = module;
    if (module == permanent_module) return;
    if (module == fleeting_module) fits_ = false;
    // Once a stack is enough: while the thread has a frame in it, it stays.
    for (std::size_t i = 0; i != layout_.stop_count; ++i)
      if (layout_.stops[i].module == module) return;
    if (layout_.stop_count == layout_.stops.size()) {
      fits_ = false;
    } else {
      layout_.stops[layout_.stop_count++] = {pc, static_cast<std::uint16_t>(module), layout_.count};
    }
  }

 private:
  // Of the frames below main(), all but the innermost need none.
  static std::size_t words_of_bottom(std::span<const std::uintptr_t> frames) noexcept
  {
    const std::size_t n = frames.size();
    const bool is_main =
        n >= 3 && is_in_start(frames[n - 1]) && is_in_c_library(frames[n - 2]) && is_in_c_library(frames[n - 3]);
    return is_main ? 2 : 0;
  }

  std::uintptr_t base_;
  stack_layout& layout_;
  unsigned module_ = permanent_module;
  bool fits_ = true;
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
    walk_memory::frame_list& last = memory_->lists[memory_->last];
    next_ = last.frames.data();
    end_ = next_ + last.count;
    now_ = memory_->lists[1 - memory_->last].frames.data();
  }
  ~recollection()
  {
    if (memory_ == nullptr) return;
    memory_->last = static_cast<std::uint8_t>(1 - memory_->last);
    walk_memory::frame_list& last = memory_->lists[memory_->last];
    last.count = static_cast<std::size_t>(now_ - last.frames.data());
    std::atomic_signal_fence(std::memory_order_seq_cst);
    memory_->busy = false;
  }
  recollection(const recollection&) = delete;
  recollection& operator=(const recollection&) = delete;

  [[nodiscard]] unwind_rule rule_of(std::uintptr_t slot, std::uintptr_t pc, rule_reader& rules) noexcept
  {
    while (next_ != end_ && next_->slot < slot) ++next_;
    if (next_ != end_ && next_->slot == slot && next_->pc == pc && rules.is_trusted(next_->rule.module(), pc))
      return keep(slot, pc, next_->rule);
    const unwind_rule rule = rules.rule_of(pc);
    if (memory_ == nullptr || rule.module() == fleeting_module) return rule;
    return keep(slot, pc, rule);
  }

 private:
  unwind_rule keep(std::uintptr_t slot, std::uintptr_t pc, unwind_rule rule) noexcept
  {
    *now_++ = {slot, pc, rule};
    return rule;
  }

  walk_memory* memory_;
  const walk_memory::frame* next_ = nullptr;  // of the last walk
  const walk_memory::frame* end_ = nullptr;
  walk_memory::frame* now_ = nullptr;
};

constexpr std::uintptr_t moved(std::uintptr_t address, std::intptr_t bytes) noexcept
{
  return address + static_cast<std::uintptr_t>(bytes);
}

// Who has no need for the words.
struct no_survey {
  void note_word(std::uintptr_t, std::uintptr_t) noexcept {}
};

// A frame that a walk stands in: where its caller's registers are, once its rule is known.
struct walker {
  std::uintptr_t slot;   // where the return address `pc` stands
  std::uintptr_t pc;
  std::uintptr_t bp;
  std::uintptr_t bp_at;  // where rbp's value was found; at first, where the capture saved it

  explicit walker(const call_site& from) noexcept
      : slot(from.sp - word_size), pc(from.pc), bp(from.bp), bp_at(slot - word_size)
  {}

  [[nodiscard]] call_site here() const noexcept { return {slot + word_size, pc, bp}; }

  // To the caller's frame. False: by another rule than these, or not further out.
  template <class Notes>
  [[nodiscard, gnu::always_inline]] GPA_NO_SANITIZE bool go_out(unwind_rule rule, Notes& notes) noexcept
  {
    const std::uintptr_t sp = slot + word_size;
    std::uintptr_t cfa = moved(sp, rule.offset());
    switch (rule.base()) {
      case cfa_base::sp: break;
      case cfa_base::bp:
        cfa = moved(bp, rule.offset());
        notes.note_word(bp_at, bp);
        break;
      case cfa_base::at_bp: {
        const std::uintptr_t at = moved(bp, rule.offset());
        if (bp < sp || at < sp || at % word_size != 0) return false;
        cfa = word_at(at);
        notes.note_word(bp_at, bp);
        notes.note_word(at, cfa);
        break;
      }
      default: return false;
    }
    if (cfa <= sp || cfa % word_size != 0) return false;

    const std::uintptr_t next = cfa - word_size;
    if (rule.saves_bp()) {
      bp_at = moved(rule.base() == cfa_base::at_bp ? bp : cfa,
                    std::intptr_t{rule.bp_place()} * static_cast<std::intptr_t>(word_size));
      bp = word_at(bp_at);
    }
    pc = word_at(next);
    if (pc == 0) return false;
    notes.note_word(next, pc);
    slot = next;
    return true;
  }
};

}  // namespace

GPA_NO_SANITIZE bool walk_stack(const call_site& from, std::uintptr_t caller, std::size_t limit, walk_memory* memory,
                                walked_stack& out) noexcept
{
  rule_reader rules;
  recollection remembered(memory);
  surveyor notes(from, out.layout);
  walker at(from);
  std::size_t own = 0;
  std::size_t count = 0;
  bool met = false;
  out.cut = false;

  for (;;) {
    met = met || at.pc == caller;
    if (met) {
      out.frames[count++] = at.pc;
      if (count == limit) {
        out.cut = true;
        out.rest = at.here();
        break;
      }
    } else if (++own > most_own_frames) {
      return false;
    }
    const unwind_rule rule = remembered.rule_of(at.slot, at.pc, rules);
    notes.note_module(at.pc, rule.module());
    if (rule.base() == cfa_base::end || rule.base() == cfa_base::lost) {
      if (!met) return false;
      if (notes.fits()) notes.leave_out_bottom({out.frames.data(), count});
      break;
    }
    if (!at.go_out(rule, notes)) return false;
  }
  out.count = count;
  out.fits = notes.fits();
  return true;
}

GPA_NO_SANITIZE bool leads_to_the_end(const call_site& rest) noexcept
{
  constexpr std::size_t very_far = 4'096;
  rule_reader rules;
  no_survey none;
  walker at(rest);
  for (std::size_t frames = 0; frames != very_far; ++frames) {
    // Beyond what is kept nobody has gone so far: the last word of a fiber's stack may be anything, and is not looked
    // at.
    if (code_image::around(at.pc).empty()) return false;
    const unwind_rule rule = rules.rule_of(at.pc);
    if (rule.base() == cfa_base::end) return true;
    if (!at.go_out(rule, none)) return false;
  }
  return false;
}

}  // namespace gpa::detail
