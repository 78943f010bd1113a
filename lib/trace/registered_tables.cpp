#include "trace/registered_tables.hpp"

// As libgcc exports it, whose header is not installed. LLVM's unwinder has it, too; another may not.
extern "C" {
struct dwarf_eh_bases {
  void* text;
  void* data;
  void* function;
};
[[gnu::weak]] const void* _Unwind_Find_FDE(void* pc, dwarf_eh_bases* bases);
}

namespace gpa::detail {

std::optional<std::uintptr_t> registered_entry(std::uintptr_t code) noexcept
{
  if (_Unwind_Find_FDE == nullptr) return std::nullopt;
  dwarf_eh_bases bases{};
  return reinterpret_cast<std::uintptr_t>(_Unwind_Find_FDE(reinterpret_cast<void*>(code), &bases));
}

}  // namespace gpa::detail
