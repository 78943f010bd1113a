// The instructions of .eh_frame (DWARF 5, section 6.4), run up to the row that holds at one address of a function.
//
// Only what an unwind rule is made of is kept: the CFA, and where the caller's rbp and the return address were saved.
//
// Not thread-safe: a run is its caller's.
#pragma once

#include "trace/byte_reader.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace gpa::detail::dwarf {

// Numbers of x86-64's registers.
inline constexpr std::uint64_t rbp = 6;
inline constexpr std::uint64_t rsp = 7;
inline constexpr std::uint64_t return_address = 16;

// One row of the table that the instructions describe: where everything is, from some address of the function on.
struct row {
  enum class base : std::uint8_t { sp, bp, at_bp, other };
  enum class place : std::uint8_t { nowhere, from_cfa, from_bp, other };  // where a register of the caller was saved

  base cfa = base::other;
  std::int64_t offset = 0;
  place bp = place::nowhere;
  std::int64_t bp_at = 0;
  place ra = place::nowhere;
  std::int64_t ra_at = 0;
  bool ra_undefined = false;
  bool usual = true;  // false once something was said about rsp

  void set_cfa_register(std::uint64_t r) noexcept { cfa = r == rsp ? base::sp : r == rbp ? base::bp : base::other; }

  void save(std::uint64_t r, place where, std::int64_t at) noexcept
  {
    if (r == rbp) {
      bp = where;
      bp_at = at;
    } else if (r == return_address) {
      ra = where;
      ra_at = at;
      ra_undefined = false;
    } else if (r == rsp) {
      usual = false;
    }
  }

  void forget(std::uint64_t r, const row& initial) noexcept
  {
    if (r == rbp) {
      bp = initial.bp;
      bp_at = initial.bp_at;
    } else if (r == return_address) {
      ra = initial.ra;
      ra_at = initial.ra_at;
      ra_undefined = initial.ra_undefined;
    } else if (r == rsp) {
      usual = initial.usual;
    }
  }
};

// What the functions of one FDE share.
struct common_entry {
  byte_reader instructions{{}};
  std::uint64_t code_unit = 1;
  std::int64_t data_unit = 1;
  std::uint8_t pointer = pointer_form::absolute;
  bool augmented = false;
};

// Runs instructions up to the row that holds at `pc`.
class interpreter {
 public:
  interpreter(const common_entry& c, std::uintptr_t start, std::uintptr_t pc) noexcept
      : common_(c), location_(start), pc_(pc)
  {}

  /// False: something we do not know, or a table that ends too early.
  [[nodiscard]] bool run(byte_reader in, const row& initial, row& now) noexcept
  {
    while (!in.at_end() && !reached_) {
      if (!step(in, initial, now)) return false;
    }
    return !in.failed();
  }

 private:
  bool step(byte_reader& in, const row& initial, row& now) noexcept
  {
    const auto code = in.read<std::uint8_t>();
    const std::uint64_t low = code & 0x3Fu;
    switch (code & 0xC0) {
      case 0x40: advance(low); return true;                                              // advance_loc
      case 0x80: now.save(low, row::place::from_cfa, unsigned_offset(in)); return true;  // offset
      case 0xC0: now.forget(low, initial); return true;                                  // restore
      default: return extended(code, in, initial, now);
    }
  }

  bool extended(std::uint8_t code, byte_reader& in, const row& initial, row& now) noexcept
  {
    switch (code) {
      case 0x00: return true;                                                // nop
      case 0x01: move_to(in.read_pointer(common_.pointer, 0)); return true;  // set_loc
      case 0x02: advance(in.read<std::uint8_t>()); return true;
      case 0x03: advance(in.read<std::uint16_t>()); return true;
      case 0x04: advance(in.read<std::uint32_t>()); return true;
      case 0x0A: return remember(now);
      case 0x0B: return recall(now);
      case 0x0C:  // def_cfa
        now.set_cfa_register(in.read_uleb());
        now.offset = static_cast<std::int64_t>(in.read_uleb());
        return true;
      case 0x0D: now.set_cfa_register(in.read_uleb()); return true;
      case 0x0E: now.offset = static_cast<std::int64_t>(in.read_uleb()); return true;
      case 0x0F: define_cfa(in, now); return true;
      case 0x12:  // def_cfa_sf
        now.set_cfa_register(in.read_uleb());
        now.offset = signed_offset(in);
        return true;
      case 0x13: now.offset = signed_offset(in); return true;
      case 0x2E: static_cast<void>(in.read_uleb()); return true;  // GNU_args_size: of landing pads only
      default: return about_register(code, in, initial, now);
    }
  }

  // Instructions whose first operand is a register of the caller.
  bool about_register(std::uint8_t code, byte_reader& in, const row& initial, row& now) noexcept
  {
    const std::uint64_t r = in.read_uleb();
    switch (code) {
      case 0x05: now.save(r, row::place::from_cfa, unsigned_offset(in)); return true;  // offset_extended
      case 0x06: now.forget(r, initial); return true;
      case 0x07:  // undefined: of the return address, there is no caller
        now.save(r, r == rbp ? row::place::nowhere : row::place::other, 0);
        if (r == return_address) now.ra_undefined = true;
        return true;
      case 0x08: now.save(r, r == rbp ? row::place::nowhere : row::place::other, 0); return true;  // same_value
      case 0x09:                                                                                   // register
        static_cast<void>(in.read_uleb());
        now.save(r, row::place::other, 0);
        return true;
      case 0x10: save_by_expression(r, in, now); return true;
      case 0x11: now.save(r, row::place::from_cfa, signed_offset(in)); return true;  // offset_extended_sf
      case 0x14:                                                                     // val_offset
      case 0x15:
        static_cast<void>(in.read_uleb());
        now.save(r, row::place::other, 0);
        return true;
      case 0x16:  // val_expression
        in.skip(in.read_uleb());
        now.save(r, row::place::other, 0);
        return true;
      default: return false;
    }
  }

  // "rbp + n", as the one expression we take: the register it is for was saved there.
  static bool reads_bp(byte_reader& expression, std::int64_t& offset) noexcept
  {
    constexpr std::uint8_t rbp_plus = 0x70 + rbp;
    if (expression.read<std::uint8_t>() != rbp_plus) return false;
    offset = expression.read_sleb();
    return !expression.failed();
  }

  static void save_by_expression(std::uint64_t r, byte_reader& in, row& now) noexcept
  {
    byte_reader expression = in.take(in.read_uleb());
    std::int64_t offset = 0;
    const bool known = reads_bp(expression, offset) && expression.at_end();
    now.save(r, known ? row::place::from_bp : row::place::other, offset);
  }

  // "the word at rbp + n": g++ keeps the CFA of a realigned frame there.
  static void define_cfa(byte_reader& in, row& now) noexcept
  {
    constexpr std::uint8_t dereference = 0x06;
    byte_reader expression = in.take(in.read_uleb());
    const bool known = reads_bp(expression, now.offset) && expression.read<std::uint8_t>() == dereference &&
                       expression.at_end() && !expression.failed();
    now.cfa = known ? row::base::at_bp : row::base::other;
  }

  bool remember(const row& now) noexcept
  {
    if (remembered_count_ == remembered_.size()) return false;
    remembered_[remembered_count_++] = now;
    return true;
  }

  bool recall(row& now) noexcept
  {
    if (remembered_count_ == 0) return false;
    now = remembered_[--remembered_count_];
    return true;
  }

  void advance(std::uint64_t units) noexcept { move_to(location_ + units * common_.code_unit); }

  void move_to(std::uintptr_t location) noexcept
  {
    location_ = location;
    reached_ = location > pc_;
  }

  std::int64_t unsigned_offset(byte_reader& in) const noexcept
  {
    return static_cast<std::int64_t>(in.read_uleb()) * common_.data_unit;
  }
  std::int64_t signed_offset(byte_reader& in) const noexcept { return in.read_sleb() * common_.data_unit; }

  const common_entry& common_;
  std::uintptr_t location_;
  std::uintptr_t pc_;
  bool reached_ = false;
  std::array<row, 4> remembered_ = {};
  std::size_t remembered_count_ = 0;
};

}  // namespace gpa::detail::dwarf
