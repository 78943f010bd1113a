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
  surveyor(const call_site& from, stack_layout& l) noexcept : from_(from), layout_(l)
  {
    l.chained = 0;
    l.own_count = 0;
    l.stop_count = 0;
  }

  [[nodiscard]] bool fits() const noexcept { return fits_; }
  void give_up() noexcept { fits_ = false; }

  void note_own_word(std::uintptr_t at, std::uintptr_t value) noexcept { add_own(at, value, from_.sp, 0); }
  void note_own_return(std::uintptr_t at, std::uintptr_t pc) noexcept { add_own(at, pc, from_.pc, 1); }

  void note_module(std::size_t frame, unsigned module) noexcept
  {
    if (module == module_) [[likely]]
      return;
    module_ = module;
    if (module == permanent_module) return;
    if (module == fleeting_module) fits_ = false;
    // Once a stack is enough: while the thread has a frame in it, it stays.
    for (std::size_t i = 0; i != layout_.stop_count; ++i)
      if (layout_.stops[i].module == module) return;
    add_stop({0, 0, static_cast<std::uint16_t>(module), narrow_frame(frame)});
  }

  void note_word(std::size_t frame, std::uintptr_t at, std::uintptr_t value) noexcept
  {
    add_stop({narrow(at - from_.sp), narrow(value - from_.sp), 0, narrow_frame(frame)});
  }

  void note_frame(std::size_t frame, std::uintptr_t slot) noexcept
  {
    if (frame == 0) {
      first_ = slot;
      layout_.first_at = narrow(slot - from_.sp);
    }
    const std::uintptr_t words = (slot - first_) / word_size;
    if (words > std::numeric_limits<std::uint16_t>::max()) [[unlikely]]
      fits_ = false;
    layout_.at[frame] = static_cast<std::uint16_t>(words);
  }

  void note_chain(std::size_t frame) noexcept { layout_.chained |= std::uint64_t{1} << frame; }

 private:
  static std::uint8_t narrow_frame(std::size_t frame) noexcept { return static_cast<std::uint8_t>(frame); }

  std::int32_t narrow(std::uintptr_t distance) noexcept
  {
    const auto n = static_cast<std::int64_t>(distance);
    if (n < std::numeric_limits<std::int32_t>::min() || n > std::numeric_limits<std::int32_t>::max()) fits_ = false;
    return static_cast<std::int32_t>(n);
  }

  void add_own(std::uintptr_t at, std::uintptr_t value, std::uintptr_t base, std::int32_t flag) noexcept
  {
    if (layout_.own_count == layout_.own.size()) {
      fits_ = false;
    } else {
      layout_.own[layout_.own_count++] = {narrow(at - from_.sp) | flag, narrow(value - base)};
    }
  }

  void add_stop(const stop& s) noexcept
  {
    if (layout_.stop_count == layout_.stops.size()) {
      fits_ = false;
    } else {
      layout_.stops[layout_.stop_count++] = s;
    }
  }

  const call_site& from_;
  stack_layout& layout_;
  std::uintptr_t first_ = 0;
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

}  // namespace

GPA_NO_SANITIZE bool walk_stack(const call_site& from, std::uintptr_t caller, std::size_t limit, walk_memory* memory,
                                walked_stack& out) noexcept
{
  rule_reader rules;
  recollection remembered(memory);
  surveyor notes(from, out.layout);
  std::uintptr_t slot = from.sp - word_size;  // where the return address `pc` stands
  std::uintptr_t pc = from.pc;
  std::uintptr_t bp = from.bp;
  std::uintptr_t bp_at = slot - word_size;  // where rbp's value was found; at first, where the capture saved it
  std::size_t own = 0;
  std::size_t count = 0;
  bool met = false;

  for (;;) {
    met = met || pc == caller;
    if (met) {
      notes.note_frame(count, slot);
      out.frames[count++] = pc;
      if (count == limit) break;
    } else if (++own > most_own_frames) {
      return false;
    }
    const std::size_t frame = count - 1;

    const unwind_rule rule = remembered.rule_of(slot, pc, rules);
    if (met) notes.note_module(frame, rule.module());
    const std::uintptr_t sp = slot + word_size;
    std::uintptr_t cfa = moved(sp, rule.offset());
    switch (rule.base()) {
      case cfa_base::sp: break;
      case cfa_base::bp: cfa = moved(bp, rule.offset()); break;
      case cfa_base::at_bp: {
        const std::uintptr_t at = moved(bp, rule.offset());
        if (bp < sp || at < sp || at % word_size != 0) return false;
        cfa = word_at(at);
        if (met) {
          notes.note_word(frame, bp_at, bp);
          notes.note_word(frame, at, cfa);
        } else {
          notes.give_up();  // no frame of ours is like that
        }
        break;
      }
      case cfa_base::end:
        if (!met) return false;
        out.count = count;
        out.fits = notes.fits();
        return true;
      default: return false;
    }
    if (cfa <= sp || cfa % word_size != 0) return false;

    const std::uintptr_t next = cfa - word_size;
    if (rule.base() == cfa_base::bp) {
      if (!met) {
        notes.note_own_word(bp_at, bp);
      } else if (bp_at == slot - word_size && bp == next - word_size) {
        notes.note_chain(frame);
      } else {
        notes.note_word(frame, bp_at, bp);
      }
    }
    if (rule.saves_bp()) {
      bp_at = moved(rule.base() == cfa_base::at_bp ? bp : cfa,
                    std::intptr_t{rule.bp_place()} * static_cast<std::intptr_t>(word_size));
      bp = word_at(bp_at);
    }
    pc = word_at(next);
    if (pc == 0) return false;
    if (!met && pc != caller) notes.note_own_return(next, pc);
    slot = next;
  }
  out.count = count;
  out.fits = notes.fits();
  return true;
}

}  // namespace gpa::detail
