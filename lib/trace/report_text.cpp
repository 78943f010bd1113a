#include "trace/report_text.hpp"

#include "base/errno_keeper.hpp"
#include "trace/color.hpp"
#include "trace/depot.hpp"
#include "trace/format.hpp"
#include "trace/frames.hpp"
#include "trace/headline.hpp"
#include "trace/libdw.hpp"
#include "trace/memory_text.hpp"
#include "trace/naming.hpp"
#include "trace/short_names.hpp"
#include "trace/stack_text.hpp"

namespace gpa::detail {

namespace {

class writer {
 public:
  writer(text& out, const report& r, stack_teller tell, const report_style& style)
      : out_(out),
        r_(r),
        paint_(out, style.color),
        stacks_(out, style),
        lines_hint_(style.lines_hint),
        allocated_(tell(r.allocated)),
        freed_(tell(r.freed)),
        here_(tell(r.here))
  {
  }

  void write()
  {
    append_error();
    if (r_.kind != mistake::leak) {
      append_note(freed_, r_.kind == mistake::double_free ? "first freed" : "freed", false);
      append_note(allocated_, "allocated", r_.alignment != 0);
    }
    append_closing();
  }

 private:
  void append_error()
  {
    const told_stack& stack = r_.kind == mistake::leak ? allocated_ : here_;
    stacks_.append_location(place());
    paint_.put(color::error, "error:");
    out_.append(" ");
    paint_.begin(color::headline);
    append_headline(out_, r_);
    paint_.end();
    out_.append(" [");
    paint_.begin(color::error);
    append_rule(out_, r_.kind);
    paint_.end();
    out_.append("]\n");
    stacks_.append_stack(stack);
    if (r_.kind == mistake::leak) {
      append_first_block();
      if (is_elsewhere(allocated_)) append_thread_line(r_.blocks == 1 ? "allocated" : "the first allocated", allocated_);
    }
    if (r_.kind == mistake::wrong_thread && here_.thread != 0) append_thread_line("called", here_);
    if (!r_.reason.empty() && !headline_has_reason(r_)) absl::Format(&out_, "    %s\n", r_.reason);
    if (r_.damaged != 0 && r_.memory.count != 0) append_damage();
  }

  // What the headline points at. Of damage that nobody looked for there is no call to tell, only whose block it was.
  [[nodiscard]] const told_stack& place() const noexcept
  {
    if (r_.kind == mistake::leak) return allocated_;
    if (!here_.frames.empty()) return here_;
    return freed_.frames.empty() ? allocated_ : freed_;
  }

  void append_damage()
  {
    append_dump(out_, r_.memory, r_.bytes, paint_);
    text meanings;
    append_meanings(meanings, r_.memory, r_.damaged);
    if (!meanings.empty()) absl::Format(&out_, "    the bytes written read as %s\n", meanings.view());
  }

  void append_note(const told_stack& stack, std::string_view what, bool with_size)
  {
    if (stack.frames.empty()) {
      if (is_elsewhere(stack)) append_thread_line(what, stack);
      return;
    }
    stacks_.append_location(stack);
    paint_.put(color::note, "note:");
    absl::Format(&out_, " %s here", what);
    if (with_size) absl::Format(&out_, ", with size %d and alignment %d", r_.bytes, r_.alignment);
    if (is_elsewhere(stack)) stacks_.append_thread(stack);
    out_.append("\n");
    stacks_.append_stack(stack);
  }

  void append_closing()
  {
    if (r_.number != 0) append_number();
    if (r_.kind != mistake::leak) {
      out_.append("    ");
      if (!r_.resource.empty()) absl::Format(&out_, "resource \"%s\": ", r_.resource);
      absl::Format(&out_, "%s; ", consequence(r_));
      append_anchor();
      out_.append("\n");
    }
    if (r_.kind == mistake::leak) append_ways_on_from_leak();
    if (allocated_.frames.empty() && freed_.frames.empty() && here_.frames.empty()) append_hint_without_stacks();
    if (lines_hint_) append_hint_without_lines();
  }

  void append_number()
  {
    absl::Format(&out_, "    allocation no. %d", r_.number);
    if (r_.blocks > 1 && r_.last_number != 0) absl::Format(&out_, ", of the last block no. %d", r_.last_number);
    absl::Format(&out_, "; GPA_OPTIONS=break_at=%d stops there\n", r_.number);
  }

  // A heading of the README, as its links spell it.
  void append_anchor()
  {
    out_.append("see README.md#");
    append_dashed(out_, to_string(r_.kind));
  }

  void append_ways_on_from_leak()
  {
    out_.append("    ");
    append_anchor();
    const frame* const f = first_worth_showing(allocated_.frames);
    if (f != nullptr && !f->library && !f->function.empty()) {
      const std::string_view pattern = suppression_pattern(*f);
      // "order" is a part of too many names, so one without a namespace is tied to its beginning and its parameters.
      const bool tied = pattern.find("::") == std::string_view::npos;
      if (pattern != "main")  // which is in every stack
        absl::Format(&out_, "; suppress with: leak:%s%s%s", tied ? "^" : "",
                     std::string_view(shortened_pattern(pattern)), tied ? "(" : "");
    }
    out_.append("\n");
  }

  void append_hint_without_stacks()
  {
    if (r_.kind == mistake::leak && !r_.reason.empty()) return;  // which says why there is no stack
    if (depot_is_full()) {
      absl::Format(&out_, "    hint: %s\n", depot_shortage());
    } else {
      out_.append("    hint: options::stack_frames = 0 keeps no call stacks\n");
    }
  }

  // Whose code it is, and has no lines: one is enough, as the others are mostly of the same program.
  void append_hint_without_lines()
  {
    const frame* const f = first_worth_showing(place().frames);
    if (f == nullptr || f->library || f->line != 0 || f->module.empty() || !current_naming().symbols) return;
    out_.append("    hint: no source lines: ");
    if (const std::string_view why = why_no_libdw(); !why.empty()) {
      out_.append(why);
    } else {
      const std::string_view module(f->module);
      out_.append(module.substr(module.rfind('/') + 1));
      out_.append(" was compiled without -g, its debug file was not found, or the file is another by now");
    }
    out_.append("\n");
  }

  void append_first_block()
  {
    if (r_.address == nullptr) return;
    absl::Format(&out_, "    %s: %d %s aligned to %d at 0x%x", r_.blocks == 1 ? "block" : "first block", r_.bytes,
                 bytes_word(r_.bytes), r_.alignment, reinterpret_cast<std::uintptr_t>(r_.address));
    if (r_.blocks > 1 && r_.last != nullptr)
      absl::Format(&out_, ", last at 0x%x", reinterpret_cast<std::uintptr_t>(r_.last));
    out_.append("\n");
    if (r_.memory.count == 0) return;
    out_.append("    holds: ");
    append_preview(out_, r_.memory);
    out_.append("\n");
  }

  [[nodiscard]] bool is_elsewhere(const told_stack& stack) const noexcept
  {
    return stack.thread != 0 && here_.thread != 0 && stack.thread != here_.thread;
  }

  void append_thread_line(std::string_view what, const told_stack& stack)
  {
    absl::Format(&out_, "    %s", what);
    stacks_.append_thread(stack);
    out_.append("\n");
  }

  text& out_;
  const report& r_;
  painter paint_;
  stack_writer stacks_;
  bool lines_hint_;
  told_stack allocated_;
  told_stack freed_;
  told_stack here_;
};

// When memory is refused: the words, and addresses nobody named.
void append_bare_report(text& out, const report& r) noexcept
{
  out.append("gpa: error: ");
  append_headline(out, r);
  out.append(" [");
  append_rule(out, r.kind);
  out.append("]\n");
  for (const stack_trace& stack : {r.here, r.freed, r.allocated}) {
    const auto addresses = stack.addresses();
    if (addresses.empty()) continue;
    out.append("   ");
    for (const std::uintptr_t address : addresses) absl::Format(&out, " 0x%x", address - 1);
    out.append("\n");
  }
}

void append_totals(text& out, const leak_summary& s, const report_style& style) noexcept
{
  const painter paint(out, style.color);
  paint.put(color::headline, "SUMMARY:");
  absl::Format(&out, " gpa: %d %s %s in %d %s from %d place%s", s.bytes, bytes_word(s.bytes),
               s.at_exit ? "still live at exit" : "leaked", s.blocks, blocks_word(s.blocks), s.groups,
               s.groups == 1 ? "" : "s");
  absl::Format(&out, " (resource \"%s\", peak %s%d %s, %d allocation%s)\n", s.resource,
               s.peak_is_exact ? "" : "at least ", s.peak_bytes, bytes_word(s.peak_bytes), s.total_blocks,
               s.total_blocks == 1 ? "" : "s");
}

void append_not_counted(text& out, std::size_t bytes, std::size_t blocks, std::string_view why) noexcept
{
  if (blocks == 0) return;
  absl::Format(&out, "note: not counted: %d %s in %d %s that %s\n", bytes, bytes_word(bytes), blocks,
               blocks_word(blocks), why);
}

}  // namespace

void append_report(text& out, const report& r, stack_teller tell, const report_style& style) noexcept
{
  const errno_keeper keeper;
  text whole;
  try {
    writer(whole, r, tell, style).write();
  } catch (...) {
    append_bare_report(out, r);
    return;
  }
  out.append(whole.view());
}

void append_report(text& out, const report& r, const report_style& style) noexcept
{
  append_report(out, r, &name_stack, style);
}

void append_leak_summary(text& out, const leak_summary& s, const report_style& style) noexcept
{
  const errno_keeper keeper;
  if (s.groups > s.groups_shown) {
    const std::size_t rest = s.groups - s.groups_shown;
    absl::Format(&out, "(%d more place%s not shown)\n", rest, rest == 1 ? "" : "s");
  }
  if (s.blocks != 0) append_totals(out, s, style);
  append_not_counted(out, s.reachable_bytes, s.reachable_blocks, "static storage still points at");
  append_not_counted(out, s.suppressed_bytes, s.suppressed_blocks, "a suppression matches");
  for (const suppression_use& use : s.suppressions_used)
    absl::Format(&out, "    leak:%s: %d %s in %d %s\n", use.pattern, use.bytes, bytes_word(use.bytes), use.blocks,
                 blocks_word(use.blocks));
  append_not_counted(out, s.known_bytes, s.known_blocks, "the baseline knows");
  if (s.still_usable && s.blocks != 0)
    out.append(s.destroyed ? "note: if these are still in use, the resource must outlive them; a later free is safe, and "
                             "reported, through r.allocator()\n"
                           : "note: if these are still in use, end their scope before deinit(); a later free is safe, and "
                             "reported\n");
  if (s.upstream_gone && s.blocks != 0)
    out.append("note: the upstream took its memory back: later access to these blocks is undefined\n");
}

}  // namespace gpa::detail
