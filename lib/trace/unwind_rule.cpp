#include "trace/unwind_rule.hpp"

#include "trace/byte_reader.hpp"
#include "trace/met_modules.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <limits>
#include <span>
#include <string_view>

namespace gpa::detail {

namespace {

// DWARF's numbers of x86-64's registers.
constexpr std::uint64_t rbp = 6;
constexpr std::uint64_t rsp = 7;
constexpr std::uint64_t return_address = 16;

constexpr std::int64_t word_size = 8;

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
  if ((version == 1 ? in.read<std::uint8_t>() : in.read_uleb()) != return_address) return false;
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

// Without tables libgcc takes a frame for the outermost one, unless the code there is the kernel's way out of a signal
// handler: mov $15, %rax; syscall.
unwind_rule rule_without_tables(const code_image& image, std::uintptr_t pc) noexcept
{
  constexpr std::array<unsigned char, 9> signal_return = {0x48, 0xC7, 0xC0, 0x0F, 0x00, 0x00, 0x00, 0x0F, 0x05};
  const auto code = image.readable_from(pc);
  if (code.size() < signal_return.size()) return {};
  if (std::memcmp(code.data(), signal_return.data(), signal_return.size()) == 0) return {};
  return {cfa_base::end, 0};
}

}  // namespace

unwind_rule read_rule(const code_image& image, std::uintptr_t pc) noexcept
{
  note_module(image, pc);
  if (image.empty() || image.unwind_header() == 0) return {};
  const std::uintptr_t call = pc - 1;  // inside the call instruction: the next one may belong to another function
  std::uintptr_t address = 0;
  const lookup l = find_entry(image, call, address);
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
