#include "trace/unwind_rule.hpp"

#include "base/attributes.hpp"
#include "trace/byte_reader.hpp"
#include "trace/frame_instructions.hpp"
#include "trace/met_modules.hpp"
#include "trace/registered_tables.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <limits>
#include <span>
#include <string_view>

namespace gpa::detail {

namespace {

using dwarf::common_entry;
using dwarf::interpreter;
using dwarf::row;

constexpr std::int64_t word_size = 8;

// The length and then the entry itself; DWARF's 64-bit form, and the end of the section, fail.
byte_reader read_entry(const code_image& image, std::uintptr_t address) noexcept
{
  byte_reader section(image.readable_from(address));
  const auto length = section.read<std::uint32_t>();
  if (length == 0 || length == 0xFFFFFFFF) section.fail();
  if (section.failed() || length > section.left()) return byte_reader({});
  return section.take(length);
}

bool read_augmentation(std::string_view letters, byte_reader data, common_entry& c) noexcept
{
  for (const char letter : letters) {
    switch (letter) {
      case 'R': c.pointer = data.read<std::uint8_t>(); break;
      case 'L': data.skip(1); break;
      case 'P': {
        const auto form = data.read<std::uint8_t>();
        if ((form & 0x70) == 0x50) return false;  // aligned
        static_cast<void>(data.read_pointer(form & 0x0F, 0));
        break;
      }
      default: return false;  // 'S', a signal frame, among them
    }
  }
  return !data.failed();
}

bool read_common_entry(const code_image& image, std::uintptr_t address, common_entry& c) noexcept
{
  byte_reader in = read_entry(image, address);
  if (in.read<std::uint32_t>() != 0) return false;
  const auto version = in.read<std::uint8_t>();
  if (version != 1 && version != 3) return false;
  const auto rest = in.rest();
  const auto nul = std::find(rest.begin(), rest.end(), std::byte{0});
  if (nul == rest.end()) return false;
  const std::string_view letters(reinterpret_cast<const char*>(rest.data()),
                                 static_cast<std::size_t>(nul - rest.begin()));
  in.skip(letters.size() + 1);
  c.code_unit = in.read_uleb();
  c.data_unit = in.read_sleb();
  if ((version == 1 ? in.read<std::uint8_t>() : in.read_uleb()) != dwarf::return_address) return false;
  c.augmented = letters.starts_with('z');
  if (c.augmented) {
    if (!read_augmentation(letters.substr(1), in.take(in.read_uleb()), c)) return false;
  } else if (!letters.empty()) {
    return false;
  }
  c.instructions = in;
  return !in.failed();
}

unwind_rule rule_of(const row& r) noexcept
{
  using limits = std::numeric_limits<std::int32_t>;
  if (r.ra_undefined) return {cfa_base::end, 0};
  if (!r.usual || r.cfa == row::base::other || r.bp == row::place::other) return {};
  if (r.ra != row::place::from_cfa || r.ra_at != -word_size) return {};
  if (r.offset < limits::min() || r.offset > limits::max()) return {};
  const unwind_rule rule(r.cfa == row::base::sp   ? cfa_base::sp
                         : r.cfa == row::base::bp ? cfa_base::bp
                                                  : cfa_base::at_bp,
                         static_cast<std::int32_t>(r.offset));
  if (r.bp == row::place::nowhere) return rule;
  // From rbp is only written together with a CFA that rbp leads to; from the CFA with the others.
  if ((r.bp == row::place::from_bp) != (r.cfa == row::base::at_bp)) return {};
  const auto words = static_cast<std::int16_t>(r.bp_at / word_size);
  return words * word_size == r.bp_at ? rule.with_saved_bp(words) : unwind_rule();
}

// What stands in the linker's sorted table: where a function starts, and its FDE; both count from the table's header.
struct table_row {
  std::int32_t start;
  std::int32_t entry;
};

enum class lookup : std::uint8_t { found, none, unreadable };

// Binary search for the last row that starts at or before `pc`.
lookup find_entry(const code_image& image, std::uintptr_t pc, std::uintptr_t& entry) noexcept
{
  byte_reader in(image.readable_from(image.unwind_header()));
  const auto version = in.read<std::uint8_t>();
  const auto section_form = in.read<std::uint8_t>();
  const auto count_form = in.read<std::uint8_t>();
  const auto table_form = in.read<std::uint8_t>();
  if (version != 1 || count_form == pointer_form::omitted || table_form != pointer_form::table_of_signed_words)
    return lookup::unreadable;
  if (section_form != pointer_form::omitted) static_cast<void>(in.read_pointer(section_form, image.unwind_header()));
  const std::uint64_t count = in.read_pointer(count_form, image.unwind_header());
  if (in.failed() || count > in.left() / sizeof(table_row)) return lookup::unreadable;
  const std::byte* const table = in.rest().data();
  const auto row_at = [table](std::uint64_t i) {
    table_row r;
    std::memcpy(&r, table + i * sizeof r, sizeof r);
    return r;
  };
  const auto wanted = static_cast<std::int64_t>(pc - image.unwind_header());
  std::uint64_t low = 0;
  std::uint64_t high = count;
  while (low != high) {
    const std::uint64_t middle = low + (high - low) / 2;
    if (row_at(middle).start <= wanted) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == 0) return lookup::none;
  entry = image.unwind_header() + static_cast<std::uintptr_t>(std::int64_t{row_at(low - 1).entry});
  return lookup::found;
}

// The kernel's way out of a signal handler: mov $15, %rax; syscall.
constexpr std::array<unsigned char, 9> signal_return = {0x48, 0xC7, 0xC0, 0x0F, 0x00, 0x00, 0x00, 0x0F, 0x05};

// Without tables libgcc takes a frame for the outermost one, unless a signal handler returns there.
unwind_rule rule_without_tables(const code_image& image, std::uintptr_t pc) noexcept
{
  const auto code = image.readable_from(pc);
  if (code.size() < signal_return.size()) return {};
  if (std::memcmp(code.data(), signal_return.data(), signal_return.size()) == 0) return {};
  return {cfa_base::lost, 0};
}

// Of code that no module contains. Tables that libgcc has for it may lie anywhere, and are left to libgcc. It looks at
// one byte after the other, too: where the first differs, the next may be on a page that cannot be read.
GPA_NO_SANITIZE unwind_rule rule_of_written_code(std::uintptr_t pc) noexcept
{
  if (registered_entry(pc - 1) != std::uintptr_t{0}) return {};
  const auto* const code = reinterpret_cast<const unsigned char*>(pc);
  for (std::size_t i = 0; i != signal_return.size(); ++i)
    if (code[i] != signal_return[i]) return {cfa_base::lost, 0};
  return {};
}

lookup find_registered_entry(std::uintptr_t pc, std::uintptr_t& entry) noexcept
{
  const auto found = registered_entry(pc);
  if (!found) return lookup::unreadable;
  entry = *found;
  if (entry != 0) return lookup::found;
  // Where our own code has no tables, the program has not registered any yet.
  const auto own = registered_entry(reinterpret_cast<std::uintptr_t>(&find_registered_entry) + 1);
  return own == std::uintptr_t{0} ? lookup::unreadable : lookup::none;
}

}  // namespace

unwind_rule read_rule(const code_image& image, std::uintptr_t pc) noexcept
{
  if (image.empty()) return rule_of_written_code(pc);
  note_module(image, pc);
  const std::uintptr_t call = pc - 1;  // inside the call instruction: the next one may belong to another function
  std::uintptr_t address = 0;
  const lookup l = image.unwind_header() == 0 ? find_registered_entry(call, address) : find_entry(image, call, address);
  if (l == lookup::unreadable) return {};
  if (l == lookup::none) return rule_without_tables(image, pc);

  byte_reader in = read_entry(image, address);
  const std::uintptr_t here = address + sizeof(std::uint32_t);
  const auto distance = in.read<std::uint32_t>();
  common_entry c;
  if (in.failed() || distance == 0 || !read_common_entry(image, here - distance, c)) return {};
  const std::uintptr_t start = in.read_pointer(c.pointer, 0);
  const std::uintptr_t bytes = in.read_pointer(c.pointer & 0x0F, 0);
  if (c.augmented) in.skip(in.read_uleb());
  if (in.failed() || call < start) return {};
  if (call - start >= bytes) return rule_without_tables(image, pc);

  row now;
  if (!interpreter(c, start, call).run(c.instructions, row{}, now)) return {};
  const row initial = now;
  if (!interpreter(c, start, call).run(in, initial, now)) return {};
  return rule_of(now);
}

}  // namespace gpa::detail
