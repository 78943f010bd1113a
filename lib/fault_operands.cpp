#include "fault_operands.hpp"

#include "base/attributes.hpp"

#include <cstring>

namespace gpa::detail {

namespace {

constexpr unsigned rsp = 4;
constexpr unsigned rbp = 5;
constexpr unsigned rsi = 6;
constexpr unsigned rdi = 7;

enum class table : std::uint8_t { one_byte, after_0f, other };  // of opcodes

constexpr bool is_prefix(unsigned byte) noexcept
{
  switch (byte) {
    case 0x26:
    case 0x2E:
    case 0x36:
    case 0x3E:
    case 0x64:
    case 0x65:
    case 0x66:
    case 0xF0:
    case 0xF2:
    case 0xF3: return true;
    default: return false;
  }
}

// Whether a byte follows that names registers and memory.
constexpr bool names_operands(table t, unsigned opcode) noexcept
{
  const unsigned row = opcode >> 4;
  switch (t) {
    case table::one_byte:
      return (row < 4 && (opcode & 7) < 4) || row == 8 || (row == 0xD && opcode != 0xD7) || opcode == 0x63 ||
             opcode == 0x69 || opcode == 0x6B || opcode == 0xC0 || opcode == 0xC1 || opcode == 0xC6 || opcode == 0xC7 ||
             opcode == 0xF6 || opcode == 0xF7 || opcode == 0xFE || opcode == 0xFF;
    case table::after_0f:
      return row != 3 && row != 8 && opcode > 0x0B && opcode != 0x77 && (opcode < 0xA0 || opcode > 0xA2) &&
             (opcode < 0xA8 || opcode > 0xAA) && (opcode < 0xC8 || opcode > 0xCF);
    case table::other: return true;
  }
  return false;
}

constexpr bool is_canonical(std::uintptr_t address) noexcept
{
  return address >> 47 == 0;
}

using word_anywhere [[gnu::aligned(1), gnu::may_alias]] = std::uintptr_t;

GPA_NO_SANITIZE std::uintptr_t word_at(std::uintptr_t address) noexcept
{
  return *reinterpret_cast<const word_anywhere*>(address);
}

}  // namespace

struct fault_operands::decoder {
  const std::uint8_t* at;
  bool segment = false;  // fs or gs
  bool vector_index = false;
  unsigned base_high = 0;  // of the register's number
  unsigned index_high = 0;
  table opcodes = table::one_byte;

  unsigned next() noexcept { return *at++; }

  // To the opcode.
  unsigned skip_prefixes() noexcept
  {
    unsigned byte = next();
    for (; is_prefix(byte); byte = next()) segment = segment || byte == 0x64 || byte == 0x65;
    if (byte >> 4 == 4) {  // REX
      base_high = (byte & 1) << 3;
      index_high = (byte & 2) << 2;
      byte = next();
    }
    if (byte == 0xC5) {  // VEX, short
      opcodes = table::after_0f;
      next();
      return next();
    }
    if (byte == 0xC4 || byte == 0x62) {  // VEX, EVEX
      const unsigned first = next();
      base_high = (~first & 0x20) >> 2;
      index_high = (~first & 0x40) >> 3;
      opcodes = (first & 7) == 1 ? table::after_0f : table::other;
      at += byte == 0xC4 ? 1 : 2;
      const unsigned opcode = next();
      // Gather and scatter: what would be the index is a vector of such.
      vector_index =
          opcodes == table::other && ((opcode >= 0x90 && opcode <= 0x93) || (opcode >= 0xA0 && opcode <= 0xA3));
      return opcode;
    }
    if (byte != 0x0F) return byte;
    opcodes = table::after_0f;
    byte = next();
    if (byte != 0x38 && byte != 0x3A) return byte;
    opcodes = table::other;
    return next();
  }

  std::uintptr_t displacement(unsigned bytes) noexcept
  {
    std::int32_t wide = 0;
    if (bytes == 4) std::memcpy(&wide, at, sizeof wide);
    if (bytes == 1) wide = static_cast<std::int8_t>(*at);
    at += bytes;
    return static_cast<std::uintptr_t>(std::intptr_t{wide});
  }
};

fault_operands::fault_operands(const std::uint8_t* code, const general_registers& registers) noexcept
{
  decoder d{.at = code};
  const unsigned opcode = d.skip_prefixes();
  if (!names_operands(d.opcodes, opcode)) {
    if (d.opcodes != table::one_byte) return;
    const bool moves = (opcode >= 0xA4 && opcode <= 0xA7) || (opcode >= 0xAA && opcode <= 0xAF);  // rep movsb
    if (moves && opcode != 0xAA && opcode != 0xAB && opcode < 0xAE) add(registers[rsi]);
    if (moves && opcode != 0xAC && opcode != 0xAD) add(registers[rdi]);
    if (opcode == 0xC9) add(registers[rbp]);                                                               // leave
    if ((opcode == 0xC2 || opcode == 0xC3) && is_canonical(registers[rsp])) add(word_at(registers[rsp]));  // ret
    return;
  }
  const unsigned operands = d.next();
  const unsigned mode = operands >> 6;
  const unsigned low = operands & 7;
  const unsigned field = operands >> 3 & 7;
  const bool jumps = d.opcodes == table::one_byte && opcode == 0xFF && (field == 2 || field == 4);
  if (mode == 3) {
    if (jumps) add(registers[low | d.base_high]);
    return;
  }
  std::uintptr_t address = 0;
  bool has_base = mode != 0 || low != rbp;
  unsigned base = low | d.base_high;
  const bool by_pc = !has_base;
  if (low == rsp) {  // a byte more
    const unsigned scaled = d.next();
    has_base = mode != 0 || (scaled & 7) != rbp;
    base = (scaled & 7) | d.base_high;
    const unsigned index = (scaled >> 3 & 7) | d.index_high;
    if (index != rsp && !d.vector_index) {
      address = registers[index] << (scaled >> 6);
      add(registers[index]);
    }
  }
  if (has_base) {
    address += registers[base];
    add(registers[base]);
  }
  if (!jumps || d.segment) return;
  address += d.displacement(mode == 1 ? 1 : mode == 2 || !has_base ? 4 : 0);
  if (by_pc) address += reinterpret_cast<std::uintptr_t>(d.at);
  if (is_canonical(address)) add(word_at(address));
}

}  // namespace gpa::detail
