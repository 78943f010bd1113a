#include "profile/stack_tables.hpp"

#include "profile/json.hpp"
#include "trace/depot.hpp"
#include "trace/modules.hpp"
#include "trace/symbolize.hpp"

#include <span>

namespace gpa::detail {

namespace {

void write_module(json& out, const module_list& loaded, std::size_t index)
{
  const loaded_module& m = loaded.modules[index];
  out.line().begin_object().key("path").string(m.path).key("build_id").string(m.build_id);
  out.key("base").address(m.base).end_object();
}

}  // namespace

std::size_t stack_tables::number_of(std::uint32_t trace)
{
  if (const auto found = numbers_.find(trace); found != numbers_.end()) return found->second;
  const auto frames = depot_frames(trace);
  const std::string_view bytes(reinterpret_cast<const char*>(frames.data()), frames.size_bytes());
  const auto [place, fresh] = known_.try_emplace(bytes, stacks_.size());
  const std::size_t number = place->second;
  numbers_.emplace(trace, number);
  if (!fresh) return number;
  stacks_.push_back(trace);
  for (const std::uintptr_t address : frames)
    if (frame_numbers_.try_emplace(address, frames_.size()).second) frames_.push_back(address);
  return number;
}

// An address of a stack stands behind its call; what is written lies inside the call, as in every report.
list_of<std::size_t> stack_tables::modules_of_frames(const module_list& loaded) const
{
  list_of<std::size_t> modules;
  modules.reserve(frames_.size());
  for (const std::uintptr_t address : frames_) modules.push_back(loaded.find(address - 1));
  return modules;
}

void stack_tables::write_frame(json& out, std::uintptr_t address, std::size_t module, std::uintptr_t base) const
{
  out.line().begin_object().key("pc").address(address - 1).key("module");
  if (module == module_list::npos) {
    out.null();
  } else {
    out.number(module);
  }
  out.key("rel").address(address - 1 - base).key("calls").begin_array();
  for (const frame& f : symbolize({&address, 1})) {
    if (f.function.empty() && f.file.empty()) continue;
    out.begin_object().key("function").string(f.function).key("file").string(f.file).key("line").number(f.line);
    out.key("column").number(f.column).key("inlined").boolean(f.inlined).key("library").boolean(f.library).end_object();
  }
  out.end_array().end_object();
}

void stack_tables::write(json& out) const
{
  const module_list loaded = list_modules();
  const list_of<std::size_t> modules = modules_of_frames(loaded);
  list_of<std::size_t> numbers(loaded.modules.size(), module_list::npos);  // of modules that are written
  std::size_t next = 0;
  out.key("modules").begin_array();
  for (const std::size_t module : modules) {
    if (module == module_list::npos || numbers[module] != module_list::npos) continue;
    numbers[module] = next++;
    write_module(out, loaded, module);
  }
  out.line().end_array().line().key("frames").begin_array();
  for (std::size_t i = 0; i != frames_.size(); ++i) {
    const bool known = modules[i] != module_list::npos;
    write_frame(out, frames_[i], known ? numbers[modules[i]] : module_list::npos,
                known ? loaded.modules[modules[i]].base : 0);
  }
  out.line().end_array().line().key("traces").begin_array();
  for (const std::uint32_t stack : stacks_) {
    out.line().begin_array();
    for (const std::uintptr_t address : depot_frames(stack)) out.number(frame_numbers_.find(address)->second);
    out.end_array();
  }
  out.line().end_array();
}

}  // namespace gpa::detail
