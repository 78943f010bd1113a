#include "trace/annotation.hpp"

#include "base/errno_keeper.hpp"
#include "trace/format.hpp"
#include "trace/frames.hpp"
#include "trace/headline.hpp"

namespace gpa::detail {

namespace {

// Workflow commands end at a line's end; a property also at a comma or colon.
void append_escaped(text& out, std::string_view words, std::string_view special)
{
  for (const char c : words) {
    if (special.find(c) == std::string_view::npos) {
      out.append(1, c);
    } else {
      absl::Format(&out, "%%%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
    }
  }
}

}  // namespace

void append_annotation(text& out, const report& r, std::string_view workspace, stack_teller tell) noexcept
{
  const errno_keeper keeper;
  text line;
  try {
    told_stack stack = tell(r.kind == mistake::leak ? r.allocated : r.here);
    if (stack.frames.empty()) stack = tell(r.freed);
    if (stack.frames.empty()) stack = tell(r.allocated);
    line.append("::error ");
    if (const frame* const f = first_worth_showing(stack.frames); f != nullptr && f->line != 0) {
      const metadata_string directory = workspace.empty() ? current_directory() : shortened_path(workspace, {});
      line.append("file=");
      append_escaped(line, shortened_path(f->file, directory), "%\r\n:,");
      absl::Format(&line, ",line=%d,", f->line);
      if (f->column != 0) absl::Format(&line, "col=%d,", f->column);
    }
    line.append("title=");
    append_rule(line, r.kind);
    line.append("::");
    text headline;
    append_headline(headline, r);
    append_escaped(line, headline.view(), "%\r\n");
    line.append("\n");
  } catch (...) {
    return;
  }
  out.append(line.view());
}

void append_annotation(text& out, const report& r, std::string_view workspace) noexcept
{
  append_annotation(out, r, workspace, &name_stack);
}

}  // namespace gpa::detail
