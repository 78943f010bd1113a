// What debug information says of one address: the functions around it, inlined ones too, and its line. By libdw, in the unit
// that debug_info.cpp found for it.
#pragma once

#include "trace/libdw.hpp"

#if GPA_HAVE_LIBDW

#include "trace/frame.hpp"
#include "trace/names.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace gpa::detail {

struct source_place {
  std::string_view file = {};
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};

inline std::string_view view_of(const char* s) noexcept
{
  return s != nullptr ? std::string_view(s) : std::string_view();
}

inline bool is_relative(std::string_view file) noexcept
{
  return !file.empty() && file.front() != '/' && file.front() != '<';  // "<artificial>" is no file
}

inline std::uint32_t positive(Dwarf_Word value) noexcept
{
  return value < 0x80000000 ? static_cast<std::uint32_t>(value) : 0;
}

// One address in one unit. Dwarf_Die values point into libdw's memory and are copied freely.
class unit_reader {
 public:
  unit_reader(const libdw_functions& dw, Dwfl_Module* module, Dwarf_Die unit, Dwarf_Addr bias, std::uintptr_t address)
      : dw_(dw), module_(module), unit_(unit), pc_(address - bias), address_(address)
  {
  }

  // Only with a unit.

  void append_frames(frame_list& out)
  {
    source_place place = line_table_entry();
    directory_ = text_of(unit_, DW_AT_comp_dir);
    enter_split_unit();
    if (directory_.empty()) directory_ = text_of(unit_, DW_AT_comp_dir);
    metadata_vector<Dwarf_Die> chain;
    if (!find_functions(unit_, chain, false)) find_functions(unit_, chain, true);
    if (chain.empty()) {
      append(out, symbol_name(), place, false);
      return;
    }
    for (Dwarf_Die& function : chain) {
      const bool inlined = dw_.dwarf_tag(&function) == DW_TAG_inlined_subroutine;
      append(out, function_name(function, inlined), place, inlined);
      if (inlined) place = call_site(function);
    }
  }

  /// The ELF symbol around the address, demangled; empty if there is none.
  metadata_string symbol_name() const
  {
    GElf_Off offset = 0;
    GElf_Sym symbol{};
    const char* const name =
        dw_.dwfl_module_addrinfo(module_, address_, &offset, &symbol, nullptr, nullptr, nullptr);
    const bool inside = symbol.st_size == 0 ? offset == 0 : offset < symbol.st_size;
    return name != nullptr && inside ? demangled(name) : metadata_string();
  }

 private:
  void append(frame_list& out, metadata_string function, const source_place& place, bool inlined) const
  {
    frame f;
    f.address = address_;
    f.function = std::move(function);
    if (is_relative(place.file) && directory_.starts_with('/')) f.file.append(directory_).append(1, '/');
    f.file.append(place.file);
    f.line = place.line;
    f.column = place.column;
    f.inlined = inlined;
    out.push_back(std::move(f));
  }

  source_place line_table_entry()
  {
    source_place place;
    Dwarf_Line* const entry = dw_.dwarf_getsrc_die(&unit_, pc_);
    if (entry == nullptr) return place;
    int number = 0;
    place.file = view_of(dw_.dwarf_linesrc(entry, nullptr, nullptr));
    if (dw_.dwarf_lineno(entry, &number) == 0 && number > 0) place.line = static_cast<std::uint32_t>(number);
    if (dw_.dwarf_linecol(entry, &number) == 0 && number > 0) place.column = static_cast<std::uint32_t>(number);
    return place;
  }

  void enter_split_unit()
  {
    Dwarf_Half version = 0;
    std::uint8_t kind = 0;
    Dwarf_Die split{};
    if (dw_.dwarf_cu_info(unit_.cu, &version, &kind, nullptr, &split, nullptr, nullptr, nullptr) == 0 &&
        kind == DW_UT_skeleton && split.cu != nullptr)
      unit_ = split;
  }

  // The functions around the address, innermost first. Down from the unit: dwarf_getscopes() loses them under LTO.
  // With `everywhere` also in functions that are elsewhere: g++ leaves the members of their lambdas and local classes there.
  bool find_functions(Dwarf_Die parent, metadata_vector<Dwarf_Die>& chain, bool everywhere)
  {
    Dwarf_Die child{};
    if (dw_.dwarf_child(&parent, &child) != 0) return false;
    do {
      switch (dw_.dwarf_tag(&child)) {
        case DW_TAG_subprogram:
        case DW_TAG_inlined_subroutine:
          if (dw_.dwarf_haspc(&child, pc_) <= 0) {
            if (everywhere && find_functions(child, chain, true)) return true;
            break;
          }
          find_functions(child, chain, everywhere);
          chain.push_back(child);
          return true;
        case DW_TAG_lexical_block:
          if (dw_.dwarf_haspc(&child, pc_) <= 0) {
            if (everywhere && find_functions(child, chain, true)) return true;
            break;
          }
          find_functions(child, chain, everywhere);
          return true;
        case DW_TAG_namespace:
        case DW_TAG_class_type:
        case DW_TAG_structure_type:
          if (find_functions(child, chain, everywhere)) return true;
          break;
        default: break;
      }
    } while (dw_.dwarf_siblingof(&child, &child) == 0);
    return false;
  }

  metadata_string function_name(Dwarf_Die& function, bool inlined) const
  {
    Dwarf_Attribute attribute{};
    if (dw_.dwarf_attr_integrate(&function, DW_AT_linkage_name, &attribute) != nullptr ||
        dw_.dwarf_attr_integrate(&function, DW_AT_MIPS_linkage_name, &attribute) != nullptr) {
      const char* const linked = dw_.dwarf_formstring(&attribute);
      metadata_string name = linked != nullptr ? demangled(linked) : metadata_string();
      if (!name.empty() && !name.starts_with("_Z")) return name;  // generic lambdas defeat the demangler
    }
    // Static functions, and everything under -g1: the symbol has namespaces and parameters.
    if (!inlined)
      if (metadata_string name = symbol_name(); name.find('(') != metadata_string::npos) return name;
    return qualified_name(function);
  }

  Dwarf_Die origin(Dwarf_Die die) const
  {
    Dwarf_Attribute attribute{};
    Dwarf_Die next{};
    for (const unsigned name : {DW_AT_abstract_origin, DW_AT_specification})
      while (dw_.dwarf_attr(&die, name, &attribute) != nullptr &&
             dw_.dwarf_formref_die(&attribute, &next) != nullptr)
        die = next;
    return die;
  }

  metadata_string qualified_name(const Dwarf_Die& function) const
  {
    Dwarf_Die source = origin(function);
    metadata_string name(view_of(dw_.dwarf_diename(&source)));
    if (name.empty()) return name;
    Dwarf_Die* scopes = nullptr;
    const int count = dw_.dwarf_getscopes_die(&source, &scopes);
    for (int i = 1; i < count; ++i) {
      if (dw_.dwarf_tag(&scopes[i]) == DW_TAG_subprogram) {  // its own scopes are where it was declared
        metadata_string outer = qualified_name(scopes[i]);
        if (!outer.empty()) name = outer.append("::").append(name);
        break;
      }
      std::string_view unnamed;
      switch (dw_.dwarf_tag(&scopes[i])) {
        case DW_TAG_namespace: unnamed = "(anonymous namespace)"; break;
        case DW_TAG_class_type:
        case DW_TAG_structure_type: unnamed = "{lambda}"; break;
        default: continue;
      }
      Dwarf_Die scope = origin(scopes[i]);
      const std::string_view named = view_of(dw_.dwarf_diename(&scope));
      metadata_string outer(named.empty() ? unnamed : named);
      if (!outer.empty()) name = outer.append("::").append(name);
    }
    std::free(scopes);
    return name;
  }

  source_place call_site(Dwarf_Die& inlined)
  {
    source_place place;
    Dwarf_Files* files = nullptr;
    std::size_t count = 0;
    if (dw_.dwarf_getsrcfiles(&unit_, &files, &count) == 0) {
      const Dwarf_Word file = number(inlined, DW_AT_call_file);
      if (file < count) place.file = view_of(dw_.dwarf_filesrc(files, file, nullptr, nullptr));
    }
    place.line = positive(number(inlined, DW_AT_call_line));
    place.column = positive(number(inlined, DW_AT_call_column));
    return place;
  }

  std::string_view text_of(Dwarf_Die& die, unsigned name) const
  {
    Dwarf_Attribute attribute{};
    return dw_.dwarf_attr(&die, name, &attribute) != nullptr ? view_of(dw_.dwarf_formstring(&attribute))
                                                              : std::string_view();
  }

  Dwarf_Word number(Dwarf_Die& die, unsigned name) const
  {
    Dwarf_Attribute attribute{};
    Dwarf_Word value = 0;
    const bool given = dw_.dwarf_attr(&die, name, &attribute) != nullptr;
    return given && dw_.dwarf_formudata(&attribute, &value) == 0 ? value : 0;
  }

  const libdw_functions& dw_;
  Dwfl_Module* module_;
  Dwarf_Die unit_;
  std::string_view directory_ = {};  // where the compiler ran, as it says
  Dwarf_Addr pc_;           // as the file numbers it
  std::uintptr_t address_;  // as loaded
};

}  // namespace gpa::detail

#endif
