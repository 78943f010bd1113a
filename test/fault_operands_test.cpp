// Which registers of an instruction point at memory.
#define BOOST_TEST_MODULE fault_operands
#include "fault_operands.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace {

using namespace gpa::detail;

// The values of registers are their numbers, from 100 on.
std::vector<std::uintptr_t> taken_by(std::initializer_list<std::uint8_t> code, std::uintptr_t rsp = 104)
{
  general_registers all{};
  for (std::size_t i = 0; i != all.size(); ++i) all[i] = 100 + i;
  all[4] = rsp;
  const std::vector<std::uint8_t> bytes(code);  // nothing behind them may be read: AddressSanitizer sees it
  const fault_operands found(bytes.data(), all);
  std::vector<std::uintptr_t> values(found.values().begin(), found.values().end());
  std::ranges::sort(values);
  return values;
}

using list = std::vector<std::uintptr_t>;

}  // namespace

BOOST_AUTO_TEST_CASE(base_and_index_are_pointers_and_other_registers_are_not)
{
  BOOST_TEST(taken_by({0x48, 0x8B, 0x08}) == list({100}));                    // mov (%rax),%rcx
  BOOST_TEST(taken_by({0x49, 0x8B, 0x4A, 0x08}) == list({110}));              // mov 8(%r10),%rcx
  BOOST_TEST(taken_by({0x48, 0x8B, 0x04, 0xC8}) == list({100, 101}));         // mov (%rax,%rcx,8),%rax
  BOOST_TEST(taken_by({0x4A, 0x8B, 0x04, 0x28}) == list({100, 113}));         // mov (%rax,%r13),%rax
  BOOST_TEST(taken_by({0x48, 0x8B, 0x04, 0x24}) == list({104}));              // mov (%rsp),%rax
  BOOST_TEST(taken_by({0x48, 0x89, 0x45, 0xF8}) == list({105}));              // mov %rax,-8(%rbp)
  BOOST_TEST(taken_by({0x0F, 0x28, 0x47, 0x01}) == list({107}));              // movaps 1(%rdi),%xmm0
  BOOST_TEST(taken_by({0xF3, 0x0F, 0x6F, 0x06}) == list({106}));              // movdqu (%rsi),%xmm0
  BOOST_TEST(taken_by({0xF0, 0x0F, 0xC1, 0x43, 0x08}) == list({103}));        // lock xadd %eax,8(%rbx)
  BOOST_TEST(taken_by({0xC5, 0xFE, 0x6F, 0x06}) == list({106}));              // vmovdqu (%rsi),%ymm0
  BOOST_TEST(taken_by({0xC4, 0xC1, 0x7E, 0x6F, 0x00}) == list({108}));        // vmovdqu (%r8),%ymm0
  BOOST_TEST(taken_by({0x62, 0xD1, 0xFE, 0x48, 0x6F, 0x01}) == list({109}));  // vmovdqu64 (%r9),%zmm0
  BOOST_TEST(taken_by({0xC4, 0xE2, 0x6D, 0x90, 0x04, 0x88}) == list({100}));  // vpgatherdd %ymm2,(%rax,%ymm1,4)
  BOOST_TEST(taken_by({0xF3, 0xA4}) == list({106, 107}));                     // rep movsb
  BOOST_TEST(taken_by({0xF3, 0x48, 0xAB}) == list({107}));                    // rep stos
}

BOOST_AUTO_TEST_CASE(what_is_jumped_to_is_a_pointer)
{
  const std::uintptr_t target = 0xDFDF'DFDF'DFDF'DFDF;
  const auto at = reinterpret_cast<std::uintptr_t>(&target);
  BOOST_TEST(taken_by({0xFF, 0xD0}) == list({100}));                                 // call *%rax
  BOOST_TEST(taken_by({0x41, 0xFF, 0xE3}) == list({111}));                           // jmp *%r11
  BOOST_TEST(taken_by({0xFF, 0x14, 0x24}, at) == list({at, target}));                // call *(%rsp)
  BOOST_TEST(taken_by({0xFF, 0x64, 0x24, 0xF8}, at + 8) == list({at + 8, target}));  // jmp *-8(%rsp)
  BOOST_TEST(taken_by({0xFF, 0x15, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 0}) ==
             list({0x0007'0605'0403'0201}));           // call *0(%rip)
  BOOST_TEST(taken_by({0xC3}, at) == list({target}));  // ret
}

BOOST_AUTO_TEST_CASE(instructions_without_memory_take_no_pointer)
{
  BOOST_TEST(taken_by({0xF4}).empty());              // hlt
  BOOST_TEST(taken_by({0x0F, 0x32}).empty());        // rdmsr
  BOOST_TEST(taken_by({0xCD, 0x21}).empty());        // int $0x21
  BOOST_TEST(taken_by({0x48, 0x89, 0xC8}).empty());  // mov %rcx,%rax
  BOOST_TEST(taken_by({0x0F, 0x22, 0xC0}).empty());  // mov %rax,%cr0
}
