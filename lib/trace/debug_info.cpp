#include "trace/debug_info.hpp"

#include "trace/debug_files.hpp"
#include "trace/libdw.hpp"
#include "trace/unit_reader.hpp"

#include <unistd.h>

#include <cstdlib>
#include <new>
#include <string_view>
#include <utility>

namespace gpa::detail {

#if GPA_HAVE_LIBDW

namespace {

// Where memory is refused to it, libdw ends the process, unless this is called instead, with no lock of libdw's held. Its own
// frames are C, and have unwind tables.
__attribute__((noreturn)) void refuse_memory() { throw std::bad_alloc(); }  // of its type, to clang

struct unit_range {
  Dwarf_Addr begin = 0;
  Dwarf_Addr end = 0;
  Dwarf_Die unit = {};
};

struct opened_module {
  Dwfl_Module* handle = nullptr;
  bool asked = false;
  bool indexed = false;
  Dwarf_Addr bias = 0;                     // of every unit in `units`
  metadata_vector<unit_range> units = {};  // addresses as loaded
};

}  // namespace

struct debug_info::opened {
  const libdw_functions& dw;
  const module_list& modules;
  Dwfl_Callbacks callbacks = {};
  char* debug_directories = nullptr;  // null: the library's own default
  Dwfl* session = nullptr;
  metadata_vector<opened_module> opened_modules = {};

  opened(const libdw_functions& functions, const module_list& list) : dw(functions), modules(list)
  {
    opened_modules.resize(list.modules.size());
    callbacks.find_elf = &find_no_elf;
    callbacks.find_debuginfo = &find_debug_file;
    callbacks.section_address = dw.dwfl_offline_section_address;
    callbacks.debuginfo_path = &debug_directories;
    session = dw.dwfl_begin(&callbacks);
  }

  ~opened()
  {
    if (session != nullptr) dw.dwfl_end(session);
  }

  opened(const opened&) = delete;
  opened& operator=(const opened&) = delete;

  opened_module& open(std::size_t index)
  {
    opened_module& m = opened_modules[index];
    if (m.asked || session == nullptr) return m;
    m.asked = true;
    const loaded_module& loaded = modules.modules[index];
    const int file = open_file_of(loaded);
    if (file < 0) return m;
    dw.dwfl_report_begin_add(session);
    m.handle = dw.dwfl_report_elf(session, loaded.path.c_str(), loaded.file.c_str(), file, loaded.base, false);
    dw.dwfl_report_end(session, nullptr, nullptr);
    if (m.handle == nullptr) ::close(file);  // else it is the module's, and goes with it
    Dwarf_Addr bias = 0;
    if (Dwarf* const all = m.handle == nullptr ? nullptr : dw.dwfl_module_getdwarf(m.handle, &bias); all != nullptr)
      dw.dwarf_new_oom_handler(all, &refuse_memory);
    return m;
  }

  // The units' own ranges: for code whose compiler writes no table of them.
  void index(opened_module& m)
  {
    m.indexed = true;
    Dwarf_Die* unit = nullptr;
    while ((unit = dw.dwfl_module_nextcu(m.handle, unit, &m.bias)) != nullptr) {
      Dwarf_Addr base = 0;
      Dwarf_Addr begin = 0;
      Dwarf_Addr end = 0;
      std::ptrdiff_t at = 0;
      while ((at = dw.dwarf_ranges(unit, at, &base, &begin, &end)) > 0)
        m.units.push_back({begin + m.bias, end + m.bias, *unit});
    }
  }

  bool find_unit(opened_module& m, std::uintptr_t address, Dwarf_Die& unit, Dwarf_Addr& bias)
  {
    if (const Dwarf_Die* const found = dw.dwfl_module_addrdie(m.handle, address, &bias); found != nullptr) {
      unit = *found;
      // Beside units with a table, the code of one without is taken for its neighbour's.
      if (dw.dwarf_haspc(&unit, address - bias) > 0) return true;
    }
    if (!m.indexed) index(m);
    for (const unit_range& r : m.units) {
      if (address < r.begin || address >= r.end) continue;
      unit = r.unit;
      bias = m.bias;
      return true;
    }
    return false;
  }

  void describe(std::size_t module, std::uintptr_t address, frame_list& out)
  {
    opened_module& m = open(module);
    if (m.handle == nullptr) return;
    Dwarf_Die unit{};
    Dwarf_Addr bias = 0;
    const bool has_unit = find_unit(m, address, unit, bias);
    unit_reader r(dw, m.handle, unit, bias, address);
    if (has_unit) {
      r.append_frames(out);
      return;
    }
    metadata_string name = r.symbol_name();
    if (name.empty()) return;
    out.emplace_back();
    out.back().address = address;
    out.back().function = std::move(name);
  }
};

debug_info::debug_info(const module_list& modules)
{
  const libdw_functions* const dw = libdw();
  if (dw == nullptr) return;
  // malloc, unlike everything else of ours: leak checkers follow it to what libdw allocates.
  void* const place = std::malloc(sizeof(opened));
  if (place == nullptr) throw std::bad_alloc();
  try {
    state_ = new (place) opened(*dw, modules);
  } catch (...) {
    std::free(place);
    throw;
  }
}

debug_info::~debug_info()
{
  if (state_ == nullptr) return;
  state_->~opened();
  std::free(state_);
}

// What memory is refused for has no lines from then on.
void debug_info::describe(std::size_t module, std::uintptr_t address, frame_list& out)
{
  if (state_ == nullptr) return;
  const std::size_t before = out.size();
  try {
    state_->describe(module, address, out);
  } catch (const std::bad_alloc&) {
    out.erase(out.begin() + static_cast<std::ptrdiff_t>(before), out.end());
    state_->opened_modules[module].handle = nullptr;
  }
}

#else

struct debug_info::opened {
};
debug_info::debug_info(const module_list&) {}
debug_info::~debug_info() = default;
void debug_info::describe(std::size_t, std::uintptr_t, frame_list&) {}

#endif

}  // namespace gpa::detail
