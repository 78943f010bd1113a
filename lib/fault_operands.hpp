// Which values an x86-64 instruction takes for addresses: what of its registers points at memory, and where it jumps to
// by a pointer. A register that happens to hold the same is none of them.
//
// Thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace gpa::detail {

/// By the numbers that instructions have for them: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15.
using general_registers = std::array<std::uintptr_t, 16>;

class fault_operands {
 public:
  /// Reads no byte behind the instruction. Of one that takes none, or that is not understood, there are none.
  fault_operands(const std::uint8_t* code, const general_registers& registers) noexcept;

  [[nodiscard]] std::span<const std::uintptr_t> values() const noexcept { return {values_.data(), count_}; }

 private:
  struct decoder;

  void add(std::uintptr_t value) noexcept { values_[count_++] = value; }

  std::array<std::uintptr_t, 3> values_{};  // base, index, and the pointer that was read there
  std::size_t count_ = 0;
};

}  // namespace gpa::detail
