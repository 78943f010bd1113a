#define BOOST_TEST_MODULE unwind_rule
#include "trace/unwind_rule.hpp"

#include "trace/byte_reader.hpp"

#include <elf.h>
#include <link.h>
#include <sys/mman.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ostream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace gpa::detail {

std::ostream& operator<<(std::ostream& out, const unwind_rule& r)
{
  return out << "base " << static_cast<int>(r.base()) << " offset " << r.offset() << " saves rbp " << r.saves_bp()
             << " at " << r.bp_place();
}

}  // namespace gpa::detail

namespace {

using namespace gpa::detail;
using bytes = std::vector<std::uint8_t>;

const unwind_rule unknown;
const unwind_rule outermost(cfa_base::end, 0);
const unwind_rule lost(cfa_base::lost, 0);

// What a CIE says, and the instructions of one function.
struct entries {
  std::uint8_t version = 1;
  std::string augmentation = "zR";
  bytes augmentation_data = {0x1B};  // pointers count from themselves, in 4 signed bytes
  std::uint8_t return_column = 16;
  bytes common = {0x0C, 7, 8, 0x90, 1};  // def_cfa rsp + 8; the return address at CFA - 8
  bytes function = {};
  bool unlisted = false;  // no table of the linker's, but a 0 behind the entries, as __register_frame() wants it
};

// libgcc's, of no header.
extern "C" void __register_frame(void* entries);
extern "C" void __deregister_frame(void* entries);

// A module that consists of its file's header and unwind tables, at the very end of what can be read.
class module_file {
 public:
  static constexpr std::uintptr_t code = 0x400;  // of the file: where the one function with tables starts
  static constexpr std::size_t code_bytes = 0x100;

  explicit module_file(const entries& e = {}) : base_(map())
  {
    Elf64_Ehdr file = {};
    std::memcpy(file.e_ident, ELFMAG, SELFMAG);
    file.e_phoff = sizeof file;
    file.e_phentsize = sizeof(Elf64_Phdr);
    file.e_phnum = 1;
    Elf64_Phdr segment = {};
    segment.p_type = PT_LOAD;
    segment.p_flags = PF_R | PF_X;
    segment.p_filesz = segment.p_memsz = page;
    std::memcpy(base_, &file, sizeof file);
    std::memcpy(base_ + sizeof file, &segment, sizeof segment);
    write_tables(e);
  }
  ~module_file() { ::munmap(base_, 2 * page); }
  module_file(const module_file&) = delete;
  module_file& operator=(const module_file&) = delete;

  /// The rule of a call that ends `offset` bytes into the function.
  [[nodiscard]] unwind_rule at(std::uintptr_t offset) const { return read_rule(image(), address(code + offset)); }
  [[nodiscard]] code_image image() const { return {address(0), address(page), address(table)}; }
  [[nodiscard]] std::uintptr_t address(std::size_t offset) const
  {
    return reinterpret_cast<std::uintptr_t>(base_) + offset;
  }
  [[nodiscard]] std::uint8_t& byte(std::size_t offset) { return base_[offset]; }
  [[nodiscard]] std::size_t entry() const { return entry_; }
  [[nodiscard]] std::size_t common() const { return common_; }

  static constexpr std::size_t page = 4096;
  static constexpr std::size_t table = 0x200;
  static constexpr std::size_t table_end = table + 12 + 8;

 private:
  static std::uint8_t* map()
  {
    void* const p = ::mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    BOOST_REQUIRE(p != MAP_FAILED);
    BOOST_REQUIRE(::mprotect(static_cast<char*>(p) + page, page, PROT_NONE) == 0);
    return static_cast<std::uint8_t*>(p);
  }

  template <class T>
  void put(std::size_t offset, T value)
  {
    std::memcpy(base_ + offset, &value, sizeof value);
  }

  void write_tables(const entries& e)
  {
    bytes common = {0, 0, 0, 0, e.version};
    common.insert(common.end(), e.augmentation.begin(), e.augmentation.end());
    common.insert(common.end(), {0, 1, 0x78, e.return_column});  // code in bytes, data in -8
    if (e.augmentation.starts_with('z')) common.push_back(static_cast<std::uint8_t>(e.augmentation_data.size()));
    common.insert(common.end(), e.augmentation_data.begin(), e.augmentation_data.end());
    common.insert(common.end(), e.common.begin(), e.common.end());

    const std::size_t entry_bytes = 4 + 4 + 4 + 1 + e.function.size();
    entry_ = page - (4 + entry_bytes) - (e.unlisted ? 4 : 0);  // with a 0 behind it
    common_ = entry_ - (4 + common.size());
    put(common_, static_cast<std::uint32_t>(common.size()));
    std::memcpy(base_ + common_ + 4, common.data(), common.size());
    put(entry_, static_cast<std::uint32_t>(entry_bytes));
    put(entry_ + 4, static_cast<std::uint32_t>(entry_ + 4 - common_));
    put(entry_ + 8, static_cast<std::int32_t>(code - (entry_ + 8)));
    put(entry_ + 12, static_cast<std::uint32_t>(code_bytes));
    put(entry_ + 16, std::uint8_t{0});
    std::copy(e.function.begin(), e.function.end(), base_ + entry_ + 17);
    if (e.unlisted) return;

    const std::array<std::uint8_t, 4> forms = {1, 0x1B, 0x03, 0x3B};
    std::memcpy(base_ + table, forms.data(), forms.size());
    put(table + 8, std::uint32_t{1});
    put(table + 12, static_cast<std::int32_t>(code - table));
    put(table + 16, static_cast<std::int32_t>(entry_ - table));
  }

  std::uint8_t* base_;
  std::size_t entry_ = 0;
  std::size_t common_ = 0;
};

unwind_rule rule_after(const bytes& function, std::uintptr_t offset = 0x80)
{
  return module_file({.function = function}).at(offset);
}

constexpr std::uint8_t advance(std::uint8_t by)
{
  return static_cast<std::uint8_t>(0x40 | by);
}
constexpr std::array<std::uint8_t, 9> signal_return = {0x48, 0xC7, 0xC0, 0x0F, 0, 0, 0, 0x0F, 0x05};
constexpr std::uint8_t saved_bp = 0x80 | 6;
constexpr std::uint8_t restored_bp = 0xC0 | 6;

}  // namespace

BOOST_AUTO_TEST_CASE(a_function_without_instructions_keeps_what_all_share)
{
  BOOST_TEST(rule_after({}) == unwind_rule(cfa_base::sp, 8));
}

BOOST_AUTO_TEST_CASE(a_rule_holds_from_the_instruction_it_is_given_for)
{
  // push rbp; mov rbp, rsp; ...; pop rbp; ret
  const module_file m(
      {.function = {advance(1), 0x0E, 16, saved_bp, 2, advance(3), 0x0D, 6, advance(0x20), 0x0C, 7, 8, restored_bp}});
  const unwind_rule pushed = unwind_rule(cfa_base::sp, 16).with_saved_bp(-2);
  const unwind_rule framed = unwind_rule(cfa_base::bp, 16).with_saved_bp(-2);
  // A call that ends at n lies before n: the rule is that of the byte before.
  BOOST_TEST(m.at(1) == unwind_rule(cfa_base::sp, 8));
  BOOST_TEST(m.at(2) == pushed);
  BOOST_TEST(m.at(4) == pushed);
  BOOST_TEST(m.at(5) == framed);
  BOOST_TEST(m.at(0x24) == framed);
  BOOST_TEST(m.at(0x25) == unwind_rule(cfa_base::sp, 8));
  BOOST_TEST(m.at(module_file::code_bytes) == unwind_rule(cfa_base::sp, 8));
}

BOOST_AUTO_TEST_CASE(every_way_to_advance_is_known)
{
  const unwind_rule moved(cfa_base::sp, 32);
  BOOST_TEST(rule_after({0x02, 0x7F, 0x0E, 32}) == moved);
  BOOST_TEST(rule_after({0x02, 0x80, 0x0E, 32}) == unwind_rule(cfa_base::sp, 8));
  BOOST_TEST(rule_after({0x03, 0x7F, 0, 0x0E, 32}) == moved);
  BOOST_TEST(rule_after({0x03, 0x80, 0, 0x0E, 32}) == unwind_rule(cfa_base::sp, 8));
  BOOST_TEST(rule_after({0x04, 0x7F, 0, 0, 0, 0x0E, 32}) == moved);
  BOOST_TEST(rule_after({0x04, 0x80, 0, 0, 0, 0x0E, 32}) == unwind_rule(cfa_base::sp, 8));
}

BOOST_AUTO_TEST_CASE(large_and_signed_offsets_are_read_whole)
{
  BOOST_TEST(rule_after({0x0E, 0xC0, 0xB8, 0x02}) == unwind_rule(cfa_base::sp, 40'000));
  BOOST_TEST(rule_after({0x12, 6, 0x7E}) == unwind_rule(cfa_base::bp, 16));  // def_cfa_sf rbp, -2 * -8
  BOOST_TEST(rule_after({0x13, 0x7D}) == unwind_rule(cfa_base::sp, 24));
  BOOST_TEST(rule_after({0x05, 6, 0x80, 0x02}) == unwind_rule(cfa_base::sp, 8).with_saved_bp(-256));
  BOOST_TEST(rule_after({0x11, 6, 0x03}) == unwind_rule(cfa_base::sp, 8).with_saved_bp(-3));
}

BOOST_AUTO_TEST_CASE(remembered_rows_come_back_whole)
{
  const bytes epilogue_in_the_middle = {0x0E, 48,          saved_bp,      3,   0x0A, advance(0x10), 0x0E,
                                        8,    restored_bp, advance(0x01), 0x0B};
  BOOST_TEST(rule_after(epilogue_in_the_middle, 0x11) == unwind_rule(cfa_base::sp, 8));
  BOOST_TEST(rule_after(epilogue_in_the_middle, 0x12) == unwind_rule(cfa_base::sp, 48).with_saved_bp(-3));
}

BOOST_AUTO_TEST_CASE(an_undefined_return_address_ends_the_stack)
{
  BOOST_TEST(rule_after({0x07, 16}) == outermost);
}

BOOST_AUTO_TEST_CASE(a_realigned_frame_finds_its_caller_through_rbp)
{
  // def_cfa_expression rbp - 8, deref; expression rbp: rbp + 0
  const bytes realigned = {0x0F, 3, 0x76, 0x78, 0x06, 0x10, 6, 2, 0x76, 0x00};
  BOOST_TEST(rule_after(realigned) == unwind_rule(cfa_base::at_bp, -8).with_saved_bp(0));
}

BOOST_AUTO_TEST_CASE(other_registers_do_not_matter_until_the_frame_hangs_on_them)
{
  const unwind_rule plain(cfa_base::sp, 8);
  BOOST_TEST(rule_after({0x83, 2, 0x8F, 4}) == plain);         // rbx, r15
  BOOST_TEST(rule_after({0x09, 3, 12}) == plain);              // rbx is in r12
  BOOST_TEST(rule_after({0x10, 13, 2, 0x76, 0x78}) == plain);  // r13 by an expression
  BOOST_TEST(rule_after({0x16, 13, 2, 0x76, 0x78}) == plain);
  BOOST_TEST(rule_after({0x2E, 16}) == plain);       // bytes of arguments
  BOOST_TEST(rule_after({0x0C, 10, 0}) == unknown);  // the CFA from r10
  BOOST_TEST(rule_after({0x0D, 3}) == unknown);
}

BOOST_AUTO_TEST_CASE(what_is_not_known_is_unknown)
{
  BOOST_TEST(rule_after({0x0F, 2, 0x77, 0x08}) == unknown);  // CFA = rsp + 8, as an expression
  BOOST_TEST(rule_after({0x0F, 4, 0x76, 0x78, 0x06, 0x06}) == unknown);
  BOOST_TEST(rule_after({0x10, 6, 2, 0x77, 0x00}) == unknown);  // rbp was saved at rsp + 0
  BOOST_TEST(rule_after({0x10, 6, 2, 0x76, 0x00}) == unknown);  // at rbp + 0, with a CFA from rsp
  BOOST_TEST(rule_after({0x09, 6, 3}) == unknown);              // rbp is in rbx
  BOOST_TEST(rule_after({0x14, 6, 2}) == unknown);              // rbp is CFA - 16 itself
  BOOST_TEST(rule_after({0x16, 7, 1, 0x9C}) == unknown);        // rsp by an expression
  BOOST_TEST(rule_after({0x90, 2}) == unknown);                 // the return address at CFA - 16
  BOOST_TEST(rule_after({0x09, 16, 3}) == unknown);             // and in rbx
  BOOST_TEST(rule_after({0x10, 16, 2, 0x76, 0x00}) == unknown);
  BOOST_TEST(rule_after({0x3F}) == unknown);  // no such instruction
  BOOST_TEST(rule_after({0x1D, 0}) == unknown);
  BOOST_TEST(rule_after({0x0B}) == unknown);  // recalls what was not remembered
  BOOST_TEST(rule_after({0x0A, 0x0A, 0x0A, 0x0A, 0x0A}) == unknown);
  BOOST_TEST(rule_after({0x0E}) == unknown);                                            // ends within an instruction
  BOOST_TEST(rule_after({0x0E, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01}) == unknown);  // an offset of terabytes
}

BOOST_AUTO_TEST_CASE(what_a_common_entry_must_say)
{
  const auto rule = [](const entries& e) { return module_file(e).at(0x80); };
  const unwind_rule plain(cfa_base::sp, 8);
  BOOST_TEST(rule({.version = 3}) == plain);
  BOOST_TEST(rule({.version = 4}) == unknown);
  BOOST_TEST(rule({.return_column = 17}) == unknown);
  BOOST_TEST(rule({.augmentation = "zPLR", .augmentation_data = {0x9B, 1, 2, 3, 4, 0x1B, 0x1B}}) == plain);
  BOOST_TEST(rule({.augmentation = "zRS"}) == unknown);  // a signal frame
  BOOST_TEST(rule({.augmentation = "zRB"}) == unknown);
  BOOST_TEST(rule({.augmentation = "eh"}) == unknown);
  BOOST_TEST(rule({.common = {0x0C, 7, 8}}) == unknown);  // nobody says where the return address is
}

BOOST_AUTO_TEST_CASE(code_without_tables_ends_the_stack_unless_it_returns_from_a_signal)
{
  module_file m;
  BOOST_TEST(m.at(0) == lost);  // a call in front of the first function
  BOOST_TEST(m.at(module_file::code_bytes + 1) == lost);
  const std::size_t after = module_file::code + module_file::code_bytes + 0x20;
  std::copy(signal_return.begin(), signal_return.end(), &m.byte(after));
  BOOST_TEST(read_rule(m.image(), m.address(after)) == unknown);
  BOOST_TEST(read_rule(m.image(), m.address(after + 1)) == lost);
}

// What code of no module is (a just-in-time compiler wrote it) is asked of libgcc, and so is that of a module whose
// tables the linker did not list (g++ -static). Tables of the former may be anywhere.
BOOST_AUTO_TEST_CASE(tables_that_are_not_listed_are_libgccs_affair)
{
  module_file m({.unlisted = true});
  const code_image unlisted(m.address(0), m.address(module_file::page), 0);
  const std::uintptr_t pc = m.address(module_file::code + 0x80);
  BOOST_TEST(read_rule(unlisted, pc) == lost);
  BOOST_TEST(read_rule({}, pc) == lost);
  __register_frame(&m.byte(m.common()));
  BOOST_TEST(read_rule(unlisted, pc) == unwind_rule(cfa_base::sp, 8));
  BOOST_TEST(read_rule({}, pc) == unknown);
  __deregister_frame(&m.byte(m.common()));
  BOOST_TEST(read_rule(unlisted, pc) == lost);
  std::copy(signal_return.begin(), signal_return.end(), &m.byte(module_file::code + 0x80));
  BOOST_TEST(read_rule(unlisted, pc) == unknown);
  BOOST_TEST(read_rule({}, pc) == unknown);
}

BOOST_AUTO_TEST_CASE(a_table_larger_than_what_is_there_is_unknown)
{
  module_file m;
  m.byte(module_file::table + 10) = 1;  // 65 537 functions
  BOOST_TEST(m.at(0x80) == unknown);
}

BOOST_AUTO_TEST_CASE(an_entry_longer_than_what_is_there_is_unknown)
{
  module_file m;
  BOOST_TEST(m.at(0x80) == unwind_rule(cfa_base::sp, 8));
  ++m.byte(m.entry());
  BOOST_TEST(m.at(0x80) == unknown);
}

// Behind the module's last byte lies a page that cannot be read.
BOOST_AUTO_TEST_CASE(tables_of_any_bytes_are_read_without_leaving_them)
{
  std::mt19937 random(1);
  const bytes function = {advance(1), 0x0E, 16,   saved_bp, 2,    0x0A, advance(3), 0x0D,
                          6,          0x0B, 0x0F, 3,        0x76, 0x78, 0x06};
  std::size_t known = 0;
  for (int i = 0; i != 300; ++i) {
    module_file m({.augmentation = "zPLR", .augmentation_data = {0x9B, 1, 2, 3, 4, 0x1B, 0x1B}, .function = function});
    for (int j = 0; j != 200; ++j) {
      const std::size_t place = random() % 4 == 0
                                    ? module_file::table + random() % (module_file::table_end - module_file::table)
                                    : module_file::page - 1 - random() % 80;
      m.byte(place) = static_cast<std::uint8_t>(random());
      for (const std::uintptr_t offset : {1u, 8u, 0x80u, 0x200u}) known += m.at(offset) != unknown ? 1u : 0u;
    }
  }
  BOOST_TEST(known != 0u);
}

BOOST_AUTO_TEST_CASE(a_reader_answers_0_once_it_is_at_the_end)
{
  const std::array<std::byte, 3> some = {std::byte{1}, std::byte{0x80}, std::byte{0x80}};
  byte_reader in(some);
  BOOST_TEST(in.read<std::uint8_t>() == 1u);
  BOOST_TEST(!in.failed());
  BOOST_TEST(in.read_uleb() == 0u);  // goes on past the end
  BOOST_TEST(in.failed());
  BOOST_TEST(in.read<std::uint32_t>() == 0u);
  BOOST_TEST(in.take(1).at_end());
}
