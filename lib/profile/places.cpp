#include "profile/places.hpp"

#include "os/text.hpp"
#include "profile/profile.hpp"
#include "trace/format.hpp"
#include "trace/frames.hpp"
#include "trace/naming.hpp"
#include "trace/symbolize.hpp"

#include <algorithm>
#include <utility>

namespace gpa::detail {

namespace {

constexpr std::string_view no_stack = "(no call stack)";
constexpr std::string_view no_tag = "(no tag)";

std::string size_class_name(std::size_t most)
{
  // The class before it ends a sixteenth of the power of two below earlier, or 16 bytes.
  std::size_t step = 16;
  while (most > 1024 && most - 1 >= step * 16) step *= 2;
  text words;
  absl::Format(&words, "%d to %d bytes", most == 16 ? 0 : most - step + 1, most);
  return std::string(words.view());
}

// "app+0x2f4a": what there is without debug information.
metadata_string module_and_offset(const frame& f)
{
  text words;
  if (f.module.empty()) {
    absl::Format(&words, "0x%x", f.address);
  } else {
    absl::Format(&words, "%s+0x%x", std::string_view(f.module).substr(f.module.rfind('/') + 1), f.offset);
  }
  return metadata_string(words.view());
}

frame_list stack_to_main(const gpa::stack_trace& s)
{
  frame_list frames = symbolize(s.addresses());
  frames.resize(frames_to_main(frames));
  return frames;
}

}  // namespace

// As it is shown, or in full.
bool places::path_matches(std::string_view path, std::string_view pattern) const
{
  return glob_matches(shown_path(path, directory_), pattern) || glob_matches(shortened_path(path, {}), pattern);
}

frame_list shortened_stack(const gpa::stack_trace& s)
{
  frame_list frames = stack_to_main(s);
  const metadata_string directory = current_directory();
  for (frame& f : frames)
    if (!f.file.empty()) f.file = shown_path(f.file, directory);
  return frames;
}

const places::place& places::find(const gpa::stack_trace& s)
{
  const auto known = known_.find(s.id());
  if (known != known_.end()) return known->second;
  place p;
  const frame_list frames = stack_to_main(s);
  if (const frame* const f = first_worth_showing(frames); f != nullptr) {
    p.full = f->file;
    if (!f->file.empty()) p.file = shown_path(f->file, directory_);
    p.function = f->function;
    p.line = f->line;
    if (p.file.empty()) {
      p.elsewhere = module_and_offset(*f);
      p.module = f->module.empty() ? std::string_view("(no file)") : std::string_view(f->module).substr(f->module.rfind('/') + 1);
    }
  } else {
    p.elsewhere = p.module = no_stack;
  }
  return known_.emplace(s.id(), std::move(p)).first->second;
}

std::string places::place_of(const gpa::site& s, gpa::by key)
{
  if (key == by::tag) return std::string(s.tag.empty() ? no_tag : s.tag);
  if (key == by::size_class) return size_class_name(s.size_class);
  const place& p = find(s.allocated);
  if (key == by::function) return std::string(p.function.empty() ? p.elsewhere : p.function);
  if (p.file.empty()) return std::string(key == by::file ? p.module : p.function.empty() ? p.elsewhere : p.function);
  text words;
  words.append(p.file);
  if (key != by::file && p.line != 0) absl::Format(&words, ":%d", p.line);
  return std::string(words.view());
}

bool places::file_matches(const gpa::site& s, const gpa::snapshot_filter& f)
{
  if (!f.any_frame) return path_matches(find(s.allocated).full, f.pattern);
  const frame_list frames = stack_to_main(s.allocated);
  return std::any_of(frames.begin(), frames.end(),
                     [&](const frame& one) { return !one.library && path_matches(one.file, f.pattern); });
}

// Where a '*' took too little it takes one character more: the last one only, as what stands before it has matched.
bool glob_matches(std::string_view text, std::string_view pattern) noexcept
{
  std::size_t t = 0;
  std::size_t p = 0;
  std::size_t star = std::string_view::npos;
  std::size_t taken = 0;
  while (t != text.size()) {
    if (p != pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = t;
    } else if (p != pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++taken;
    } else {
      return false;
    }
  }
  while (p != pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace gpa::detail
