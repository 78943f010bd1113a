#include "trace/stack_text.hpp"

#include "trace/capture.hpp"
#include "trace/depot.hpp"
#include "trace/format.hpp"
#include "trace/frames.hpp"
#include "trace/names.hpp"
#include "trace/naming.hpp"
#include "trace/short_names.hpp"
#include "trace/source_line.hpp"
#include "trace/symbolize.hpp"
#include "trace/unwind_rule.hpp"

#include <algorithm>

namespace gpa::detail {

namespace {

// Below this a stack of an unoptimised program may end inside the standard library: measured, median 9, worst 29.
constexpr std::size_t few_addresses = 12;

// Whether the stack goes on to where the thread began. Frames have the address inside the call, a byte before.
bool is_complete(const frame_list& frames) noexcept
{
  if (frames.empty()) return false;
  const std::uintptr_t outermost = frames.back().address + 1;
  const code_image image = code_image::around(outermost);  // the C library's, which stays
  return image.is_permanent() && read_rule(image, outermost).base() == cfa_base::end;
}

// Whether it comes from what destroys objects that nobody's code destroys.
bool is_at_exit(const frame_list& frames) noexcept
{
  return std::any_of(frames.begin(), frames.end(), [](const frame& f) {
    const std::string_view name(f.function);
    return name == "__call_tls_dtors" || name == "__cxa_finalize" || name == "__run_exit_handlers" || name == "exit";
  });
}

bool ends_in_main(const frame_list& frames) noexcept { return function_path(frames.back().function) == "main"; }

}  // namespace

told_stack name_stack(const stack_trace& stack)
{
  const auto addresses = stack.addresses();
  return {symbolize(addresses), addresses.size(), stack.thread(), stack.thread_name()};
}

stack_writer::stack_writer(text& out, const report_style& style)
    : out_(out), style_(style), paint_(out, style.color), directory_(current_directory())
{}

void stack_writer::append_thread(const told_stack& stack)
{
  absl::Format(&out_, " by thread %d", stack.thread);
  if (!stack.thread_name.empty()) absl::Format(&out_, " \"%s\"", stack.thread_name);
}

void stack_writer::append_location(const told_stack& stack)
{
  const frame* const f = first_worth_showing(stack.frames);
  paint_.begin(color::location);
  if (f == nullptr) {
    out_.append("gpa");
  } else if (f->line != 0) {
    append_place(*f);
  } else {
    append_offset(*f);
  }
  out_.append(":");
  paint_.end();
  out_.append(" ");
}

void stack_writer::append_place(const frame& f)
{
  out_.append(shown_path(f.file, directory_));
  if (f.line != 0) absl::Format(&out_, ":%d", f.line);
  if (f.line != 0 && f.column != 0) absl::Format(&out_, ":%d", f.column);
}

void stack_writer::append_offset(const frame& f)
{
  if (f.module.empty()) {
    absl::Format(&out_, "0x%x", f.address);
  } else {
    absl::Format(&out_, "%s+0x%x", std::string_view(shown_path(f.module, directory_)), f.offset);
  }
}

void stack_writer::append_stack(const told_stack& stack)
{
  const frame* const first = first_worth_showing(stack.frames);
  if (first == nullptr) return;
  // Of a relative name the compiler kept the directory to itself: below ours another file may have that name.
  if (style_.source && first->line != 0 && first->file.starts_with('/'))
    append_excerpt(out_, first->file.c_str(), first->line, first->column, paint_);

  const auto begin = stack.frames.begin();
  const auto end = begin + static_cast<std::ptrdiff_t>(frames_to_main(stack.frames));
  const auto is_library = [](const frame& f) { return f.library; };
  const bool all_library = std::all_of(begin, end, is_library);  // then they are all there is to see
  std::size_t shown = 0;
  for (auto f = begin; f != end; ++f)
    if (all_library || style_.all_frames || !f->library) append_frame(shown++, *f);
  const auto hidden = std::count_if(begin, end, is_library);
  if (!all_library && !style_.all_frames && hidden != 0)
    absl::Format(&out_, "    (+%d library frame%s)\n", hidden, hidden == 1 ? "" : "s");
  if (!all_library && stack.addresses >= few_addresses && end == stack.frames.end() && !ends_in_main(stack.frames) &&
      !is_complete(stack.frames))
    absl::Format(&out_, "    (the call stack goes on: %d frames were kept%s)\n", stack.addresses,
                 stack.addresses < max_stack_frames ? ", up to 64 with options::stack_frames" : "");
  if (stack.addresses == 1 && depot_is_full()) {
    absl::Format(&out_, "    hint: %s, and this one may have been cut\n", depot_shortage());
  } else if (all_library && is_at_exit(stack.frames)) {
    out_.append("    hint: a destructor of something static or thread_local, run at the end of its thread or of the "
                "program\n");
  } else if (all_library && is_complete(stack.frames)) {
    out_.append("    hint: a call at the end of an optimised function leaves no frame of that function, except with "
                "-fno-optimize-sibling-calls\n");
  } else if (all_library && stack.addresses < few_addresses) {
    absl::Format(&out_, "    hint: %d frame%s did not reach your code: raise options::stack_frames\n", stack.addresses,
                 stack.addresses == 1 ? "" : "s");
  }
}

void stack_writer::append_frame(std::size_t number, const frame& f)
{
  absl::Format(&out_, "    #%d 0x%x", number, f.address);
  if (!f.function.empty()) {
    const metadata_string name = style_.all_frames ? f.function : shortened_name(f.function);
    absl::Format(&out_, " in %s", std::string_view(name));
  }
  if (!f.file.empty()) {
    out_.append(" ");
    append_place(f);
  } else if (!f.module.empty()) {
    out_.append(" (");
    append_offset(f);
    out_.append(")");
    if (!f.build_id.empty()) absl::Format(&out_, " (BuildId: %s)", std::string_view(f.build_id));
  }
  out_.append(f.inlined ? " (inlined)\n" : "\n");
}

}  // namespace gpa::detail
